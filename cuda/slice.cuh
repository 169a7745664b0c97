// What one thread adds up of an output, the first step of the order that reduce.cuh states. Kernels that are compiled
// at run time include this file as it is.
#pragma once

namespace twingrad::cuda {

/// U, the loads in flight per thread: 8 of narrow elements, else 4; 2 where an accumulator is so large that more would
/// not fit the registers.
template <class Accumulator, class In>
inline constexpr int slice_unroll = sizeof(Accumulator) > 8 ? 2 : (sizeof(In) <= 2 ? 8 : 4);

/// Elements first, first + step, ... below stop, as load(element) gives them, combined into one accumulator in the
/// documented order.
template <class Op, int unroll, class Index, class Load>
__device__ __forceinline__ auto combine_slice(const Load& load, Index first, Index stop, Index step) {
  using Accumulator = decltype(Op::identity());
  Accumulator accumulators[unroll];
#pragma unroll
  for (int u = 0; u < unroll; ++u) {
    accumulators[u] = Op::identity();
  }
  for (Index r = first; r < stop; r += step * unroll) {
    Accumulator loaded[unroll];
#pragma unroll
    for (int u = 0; u < unroll; ++u) {
      const Index element = r + step * static_cast<Index>(u);
      loaded[u] = element < stop ? load(element) : Op::identity();
    }
#pragma unroll
    for (int u = 0; u < unroll; ++u) {
      accumulators[u] = Op::combine(accumulators[u], loaded[u]);
    }
  }
#pragma unroll
  for (int half = unroll / 2; half > 0; half /= 2) {
#pragma unroll
    for (int u = 0; u < half; ++u) {
      accumulators[u] = Op::combine(accumulators[u], accumulators[u + half]);
    }
  }
  return accumulators[0];
}

}  // namespace twingrad::cuda
