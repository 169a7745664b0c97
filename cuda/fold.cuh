// The fold of a block's values in halves across its warps, the first steps of the order that reduce.cuh and rows.cuh
// state: thread t takes t + threads / 2, then t + threads / 4, down to the 32 values of one warp.
#pragma once

namespace twingrad::cuda {

/// What `survivors` warps would hold: the values of warp `warp` and of all that were folded into it, at one lane.
/// `values` holds one value per thread of `warps` warps. A recursion, so that nothing needs an array of registers.
template <class Op, int warps, int survivors, class A>
__device__ __forceinline__ A fold_warps(const A* values, int warp, int lane) {
  if constexpr (survivors == warps) {
    return values[warp * 32 + lane];
  } else {
    const A mine = fold_warps<Op, warps, 2 * survivors>(values, warp, lane);
    return Op::combine(mine, fold_warps<Op, warps, 2 * survivors>(values, warp + survivors, lane));
  }
}

/// Folds one value per thread of a block of `threads` to 32 values: every warp's lane l gets the same one. `shared` is
/// the block's, for `threads` values.
template <class Op, int threads, class A>
__device__ __forceinline__ A fold_block(A value, A* shared) {
  __syncthreads();  // of the last use
  shared[threadIdx.x] = value;
  __syncthreads();
  return fold_warps<Op, threads / 32, 1>(shared, 0, static_cast<int>(threadIdx.x % 32));
}

}  // namespace twingrad::cuda
