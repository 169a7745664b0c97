// Cumulative sums. The order is fixed: along a strided axis one after the other; along the last axis in chunks of 2048,
// each thread its 8 neighbours in order, then a block scan over the threads, then the sum of all chunks before.
#include "cuda/element.cuh"
#include "cuda/families.h"
#include "cuda/launch.h"
#include "cuda/strided.h"

#include <cub/block/block_reduce.cuh>
#include <cub/block/block_scan.cuh>

#include <algorithm>

namespace twingrad::cuda {
namespace {

constexpr int items_per_thread = 8;
constexpr int chunk_length = static_cast<int>(default_threads) * items_per_thread;

template <class Out>
using Total = std::conditional_t<std::is_floating_point_v<compute_t<Out>>, compute_t<Out>, std::int64_t>;

struct Geometry {
  std::int64_t length;
  std::int64_t inner;
  bool reverse;

  /// Where element `position` in the order of summation lies in a contiguous line.
  __device__ std::int64_t place(std::int64_t position) const { return reverse ? length - 1 - position : position; }
};

/// One thread per line, neighbouring threads on neighbouring lines. Reads and writes once; limit: memory bandwidth for
/// many lines, latency (one load after the other) for few.
template <class In, class Out>
__global__ void __launch_bounds__(default_threads)
    scan_strided(const In* x, Out* out, std::int64_t lines, Geometry geometry, Divisor64 inner) {
  const std::int64_t line = std::int64_t{blockIdx.x} * default_threads + threadIdx.x;
  if (line >= lines) {
    return;
  }
  const std::int64_t outer = inner.quotient(line);
  const std::int64_t base = outer * geometry.length * geometry.inner + (line - outer * geometry.inner);
  Total<Out> sum(0);
  for (std::int64_t position = 0; position < geometry.length; ++position) {
    const std::int64_t place = base + geometry.place(position) * geometry.inner;
    sum += static_cast<Total<Out>>(to_compute(x[place]));
    out[place] = from_compute<Out>(static_cast<compute_t<Out>>(sum));
  }
}

/// The sum of each chunk of each contiguous line: block (line, chunk) writes sums[line * chunks + chunk]. Reads x once.
template <class In, class Out>
__global__ void __launch_bounds__(default_threads)
    chunk_sums(const In* x, Total<Out>* sums, Geometry geometry, Divisor64 chunks) {
  using BlockReduce = cub::BlockReduce<Total<Out>, default_threads>;
  __shared__ typename BlockReduce::TempStorage storage;
  const std::int64_t line = chunks.quotient(blockIdx.x);
  const std::int64_t start = (blockIdx.x - line * chunks.size()) * chunk_length;
  Total<Out> mine(0);
  for (int item = 0; item < items_per_thread; ++item) {
    const std::int64_t position = start + item * static_cast<int>(default_threads) + threadIdx.x;
    if (position < geometry.length) {
      mine += static_cast<Total<Out>>(to_compute(x[line * geometry.length + geometry.place(position)]));
    }
  }
  const Total<Out> sum = BlockReduce(storage).Sum(mine);
  if (threadIdx.x == 0) {
    sums[blockIdx.x] = sum;
  }
}

/// Turns each line's chunk sums into the sums of all chunks before, in order: one thread per line, few elements.
template <class A>
__global__ void __launch_bounds__(default_threads)
    exclusive_in_place(A* sums, std::int64_t lines, std::int64_t chunks) {
  const std::int64_t line = std::int64_t{blockIdx.x} * default_threads + threadIdx.x;
  if (line >= lines) {
    return;
  }
  A before(0);
  for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
    const A sum = sums[line * chunks + chunk];
    sums[line * chunks + chunk] = before;
    before += sum;
  }
}

/// Scans one chunk of one contiguous line per block, from the sum before it (nullptr: 0). Reads and writes once; limit:
/// memory bandwidth.
template <class In, class Out>
__global__ void __launch_bounds__(default_threads)
    scan_chunks(const In* x, Out* out, const Total<Out>* before, Geometry geometry, Divisor64 chunks) {
  using BlockScan = cub::BlockScan<Total<Out>, default_threads>;
  __shared__ typename BlockScan::TempStorage storage;
  const std::int64_t line = chunks.quotient(blockIdx.x);
  const std::int64_t first = (blockIdx.x - line * chunks.size()) * chunk_length + threadIdx.x * items_per_thread;
  Total<Out> sums[items_per_thread];
#pragma unroll
  for (int item = 0; item < items_per_thread; ++item) {
    const std::int64_t position = first + item;
    sums[item] = position < geometry.length
                     ? static_cast<Total<Out>>(to_compute(x[line * geometry.length + geometry.place(position)]))
                     : Total<Out>(0);
  }
  BlockScan(storage).InclusiveSum(sums, sums);
  const Total<Out> start = before == nullptr ? Total<Out>(0) : before[blockIdx.x];
#pragma unroll
  for (int item = 0; item < items_per_thread; ++item) {
    const std::int64_t position = first + item;
    if (position < geometry.length) {
      out[line * geometry.length + geometry.place(position)] =
          from_compute<Out>(static_cast<compute_t<Out>>(start + sums[item]));
    }
  }
}

template <class In, class Out>
void run(const KernelCall& call, Context& context) {
  const TensorView& input = call.inputs[0];
  const auto axis = static_cast<int>(call.attributes.ints[0]);
  Geometry geometry{input.shape[axis], 1, call.attributes.ints[1] == 1};
  std::int64_t outer = 1;
  for (int i = 0; i < input.shape.size(); ++i) {
    if (i != axis) {
      (i < axis ? outer : geometry.inner) *= input.shape[i];
    }
  }
  const auto* x = static_cast<const In*>(input.data);
  auto* out = call.output.as<Out>();
  const std::string_view op = call.op->name;
  if (geometry.inner > 1) {
    const std::int64_t lines = outer * geometry.inner;
    launch(context, op, scan_strided<In, Out>, blocks_for(lines), default_threads, x, out, lines, geometry,
           Divisor64(geometry.inner));
    return;
  }
  const std::int64_t chunks = (geometry.length + chunk_length - 1) / chunk_length;
  const Divisor64 by_chunks(chunks);
  const dim3 blocks = blocks_for(outer * chunks, 1);
  Total<Out>* before = nullptr;
  if (chunks > 1) {
    const auto bytes = static_cast<std::size_t>(outer * chunks) * sizeof(Total<Out>);
    before = reinterpret_cast<Total<Out>*>(context.workspace.take(bytes, op));
    launch(context, op, chunk_sums<In, Out>, blocks, default_threads, x, before, geometry, by_chunks);
    launch(context, op, exclusive_in_place<Total<Out>>, blocks_for(outer), default_threads, before, outer, chunks);
  }
  launch(context, op, scan_chunks<In, Out>, blocks, default_threads, x, out, static_cast<const Total<Out>*>(before),
         geometry, by_chunks);
}

}  // namespace

void run_scan(const KernelCall& call, Context& context) {
  const Dtype in = call.inputs[0].dtype;
  const Dtype out = call.output.dtype;
  visit(in, [&]<class T>(Type<T>) {
    if constexpr (!std::is_same_v<T, bool>) {
      if (out == in) {
        return run<T, T>(call, context);
      }
    }
    if constexpr (!std::is_floating_point_v<compute_t<T>>) {
      if (out == Dtype::i64) {
        return run<T, std::int64_t>(call, context);
      }
    }
    throw DtypeError(std::string(call.op->name) + ": no cumulative sum of " + std::string(name(in)) + " as " +
                     std::string(name(out)));
  });
}

}  // namespace twingrad::cuda
