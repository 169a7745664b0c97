// The two loops behind reduce and arg_reduce, and the order in which they combine.
//
// The reduced elements of one output are numbered r = 0 .. length-1: reduced axes sorted by stride, largest first, then
// row-major. They are cut into chunks of a length that depends on `length` alone, never on the GPU. Within a chunk:
//   rows:    a group of G threads (a power of two up to 32, or 256 where length > 1024). Thread t combines elements
//            t + G * (U * j + u) into accumulator u = 0 .. U-1 for j = 0, 1, ...
//   columns: `lanes` = 512 / width threads per output, the same with G = lanes.
// So element i goes to lane i mod (G * U), and the lanes are folded in halves (l takes l + G * U / 2, ...), across
// accumulators first, then across threads. A second pass does all of this again with the chunks' results as elements.
// fused_sums.cuh sums what a chain makes in the same order.
// A sum of n elements passes each leaf through at most ceil(chunk / (G * U)) + log2(G * U) additions per pass.
#pragma once

#include "cuda/element.cuh"
#include "cuda/fold.cuh"
#include "cuda/launch.h"
#include "cuda/reduce_plan.h"
#include "cuda/slice.cuh"

#include <cstdint>

namespace twingrad::cuda {

/// What is done with the combined value of an output at the end.
struct Finish {
  bool partial;        ///< stays an accumulator, for the second pass
  bool mean;           ///< is divided by `count`
  std::int64_t count;  ///< reduced elements
};

/// Copies a small struct from another lane, 4 bytes at a time.
template <class T>
__device__ __forceinline__ T shuffle_down(T value, unsigned distance, int width) {
  static_assert(sizeof(T) % 4 == 0 || sizeof(T) < 4);
  if constexpr (sizeof(T) < 4) {
    return static_cast<T>(__shfl_down_sync(0xffffffffU, static_cast<int>(value), distance, width));
  } else {
    constexpr int words = sizeof(T) / 4;
    struct Words {
      unsigned word[words];
    };
    auto raw = __builtin_bit_cast(Words, value);
#pragma unroll
    for (int i = 0; i < words; ++i) {
      raw.word[i] = __shfl_down_sync(0xffffffffU, raw.word[i], distance, width);
    }
    return __builtin_bit_cast(T, raw);
  }
}

/// Elements first, first + step, ... below stop, combined into one accumulator in the documented order.
template <class Op, class In>
__device__ __forceinline__ typename Op::Accumulator reduce_slice(const In* x, const Offsets64<1>& reduced,
                                                                 std::int64_t first, std::int64_t stop,
                                                                 std::int64_t step) {
  return combine_slice<Op, slice_unroll<typename Op::Accumulator, In>>(
      [&](std::int64_t element) { return Op::load(x[reduced.offset(element)], element); }, first, stop, step);
}

template <class Op>
__device__ __forceinline__ void write_result(void* out, std::int64_t place, typename Op::Accumulator value,
                                             const Finish& finish) {
  if (finish.partial) {
    static_cast<typename Op::Accumulator*>(out)[place] = value;
  } else {
    static_cast<typename Op::Output*>(out)[place] = Op::finish(value, finish);
  }
}

/// Neighbouring threads walk the reduced elements of one output: for contiguous rows. Reads x once; limit: memory
/// bandwidth where rows are contiguous and long enough to fill a group, else partly used sectors.
/// Writes out[output * chunks + chunk].
template <class Op, class In>
__global__ void __launch_bounds__(default_threads)
    reduce_rows(const In* x, const __grid_constant__ Offsets64<1> kept, const __grid_constant__ Offsets64<1> reduced,
                std::int64_t items, std::int64_t length, std::int64_t chunk, Divisor64 chunks, unsigned group,
                void* out, Finish finish) {
  using Accumulator = typename Op::Accumulator;
  const unsigned lane = threadIdx.x % group;
  const std::int64_t item = std::int64_t{blockIdx.x} * (default_threads / group) + threadIdx.x / group;
  const bool live = item < items;  // all threads stay for the shuffles
  Accumulator value = Op::identity();
  if (live) {
    const std::int64_t output = chunks.quotient(item);
    const std::int64_t start = (item - output * chunks.size()) * chunk;
    const std::int64_t stop = start + chunk < length ? start + chunk : length;
    value = reduce_slice<Op>(x + kept.offset(output), reduced, start + lane, stop, group);
  }
  if (group == default_threads) {
    __shared__ Accumulator shared[default_threads];
    value = fold_block<Op, default_threads>(value, shared);
  }
  const int width = group < 32 ? static_cast<int>(group) : 32;
  for (int distance = width / 2; distance > 0; distance /= 2) {
    value = Op::combine(value, shuffle_down(value, static_cast<unsigned>(distance), width));
  }
  if (live && lane == 0) {
    write_result<Op>(out, item, value, finish);
  }
}

/// Neighbouring threads walk neighbouring outputs: for sums over the outer axes (bias gradients). `width` outputs per
/// block, a power of two up to 32. Reads x once; limit: memory bandwidth.
/// Writes out[chunk * outputs + output].
template <class Op, class In>
__global__ void __launch_bounds__(column_threads)
    reduce_columns(const In* x, const __grid_constant__ Offsets64<1> kept, const __grid_constant__ Offsets64<1> reduced,
                   std::int64_t outputs, std::int64_t length, std::int64_t chunk, unsigned width, void* out,
                   Finish finish) {
  using Accumulator = typename Op::Accumulator;
  __shared__ Accumulator shared[column_threads];
  const unsigned lanes = column_threads / width;
  const unsigned lane = threadIdx.x / width;
  const std::int64_t output = std::int64_t{blockIdx.x} * width + threadIdx.x % width;
  const std::int64_t start = blockIdx.y * chunk;
  const std::int64_t stop = start + chunk < length ? start + chunk : length;
  Accumulator value = Op::identity();
  if (output < outputs) {
    value = reduce_slice<Op>(x + kept.offset(output), reduced, start + lane, stop, lanes);
  }
  for (unsigned half = lanes / 2; half > 0; half /= 2) {
    shared[threadIdx.x] = value;
    __syncthreads();
    if (lane < half) {
      value = Op::combine(value, shared[threadIdx.x + half * width]);
    }
    __syncthreads();
  }
  if (lane == 0 && output < outputs) {
    write_result<Op>(out, blockIdx.y * outputs + output, value, finish);
  }
}

/// One pass over x by the plan's loop. Writes plan.outputs * plan.chunks results.
template <class Op, class In>
void reduce_pass(const KernelCall& call, Context& context, const In* x, const ReducePlan& plan, void* out,
                 const Finish& finish) {
  if (plan.columns) {
    const dim3 across = blocks_for(plan.outputs, plan.group);
    const dim3 blocks(across.x, static_cast<unsigned>(plan.chunks));
    launch(context, call.op->name, reduce_columns<Op, In>, blocks, column_threads, x, Offsets64<1>(plan.kept),
           Offsets64<1>(plan.reduced), plan.outputs, plan.length, plan.chunk, plan.group, out, finish);
  } else {
    const std::int64_t items = plan.outputs * plan.chunks;
    launch(context, call.op->name, reduce_rows<Op, In>, blocks_for(items, default_threads / plan.group),
           default_threads, x, Offsets64<1>(plan.kept), Offsets64<1>(plan.reduced), items, plan.length, plan.chunk,
           Divisor64(plan.chunks), plan.group, out, finish);
  }
}

/// Reduces call.inputs[0] over `axes` into call.output. Op gives load(element, r), identity(), combine(), finish();
/// Op::Second is the same for accumulators as input.
template <class Op, class In>
void reduce(const KernelCall& call, Context& context, const Axes& axes, bool mean) {
  const TensorView& input = call.inputs[0];
  const ReducePlan plan = plan_reduction(input.shape, input.strides, axes);
  const auto* x = static_cast<const In*>(input.data);
  Finish finish{false, mean, plan.length};
  if (plan.chunks == 1) {
    reduce_pass<Op, In>(call, context, x, plan, call.output.data, finish);
    return;
  }
  using Accumulator = typename Op::Accumulator;
  const auto bytes = static_cast<std::size_t>(plan.outputs * plan.chunks) * sizeof(Accumulator);
  auto* partials = reinterpret_cast<Accumulator*>(context.workspace.take(bytes, call.op->name));
  finish.partial = true;
  reduce_pass<Op, In>(call, context, x, plan, partials, finish);
  finish.partial = false;
  reduce_pass<typename Op::Second, Accumulator>(call, context, partials, plan_second_pass(plan), call.output.data,
                                                finish);
}

}  // namespace twingrad::cuda
