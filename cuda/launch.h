// Checked kernel launches, and launch geometry. Included by .cu files only.
//
//   launch(context, call.op->name, my_kernel<float>, blocks_for(n, 256), 256, x, out, n);
#pragma once

#include "cuda/check.h"
#include "cuda/context.h"

#include <twingrad/op.h>

#include <cuda_runtime.h>

#include <cstdint>
#include <string_view>

namespace twingrad::cuda {

/// Threads of a block where nothing speaks for another number.
inline constexpr unsigned default_threads = 256;

/// Blocks that give each of `count` items a thread.
inline dim3 blocks_for(std::int64_t count, std::int64_t items_per_block = default_threads) {
  const std::int64_t blocks = (count + items_per_block - 1) / items_per_block;
  if (blocks > 0x7fffffff) {
    throw ShapeError("a kernel over " + std::to_string(count) + " elements is beyond what one launch can do");
  }
  return dim3(static_cast<unsigned>(blocks));
}

/// Queues one kernel without dynamic shared memory and checks that it was accepted. Does nothing for zero blocks.
template <class... Parameters, class... Arguments>
void launch(Context& context, std::string_view op, void (*kernel)(Parameters...), dim3 blocks, unsigned threads,
            const Arguments&... arguments) {
  if (blocks.x == 0 || blocks.y == 0) {
    return;
  }
  cudaLaunchConfig_t config{};
  config.gridDim = blocks;
  config.blockDim = dim3(threads);
  config.stream = context.stream;
  check(cudaLaunchKernelEx(&config, kernel, arguments...), "kernel launch", op);
}

}  // namespace twingrad::cuda
