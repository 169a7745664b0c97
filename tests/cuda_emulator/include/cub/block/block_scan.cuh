// Stands in for CUB's header: the inclusive sums over a block, several neighbours per thread.
#pragma once

#include <cuda_runtime.h>

namespace cub {

template <class T, int threads>
class BlockScan {
 public:
  struct TempStorage {
    T value[threads];
  };

  explicit BlockScan(TempStorage& storage) : storage_(storage) {}

  template <int items>
  void InclusiveSum(T (&input)[items], T (&output)[items]) {
    T sums[items];
    sums[0] = input[0];
    for (int item = 1; item < items; ++item) {
      sums[item] = sums[item - 1] + input[item];
    }
    storage_.value[threadIdx.x] = sums[items - 1];
    __syncthreads();
    for (unsigned distance = 1; distance < threads; distance *= 2) {
      const bool adds = threadIdx.x >= distance;
      const T before = adds ? storage_.value[threadIdx.x - distance] : T(0);
      __syncthreads();
      if (adds) {
        storage_.value[threadIdx.x] = before + storage_.value[threadIdx.x];
      }
      __syncthreads();
    }
    for (int item = 0; item < items; ++item) {
      output[item] = threadIdx.x == 0 ? sums[item] : storage_.value[threadIdx.x - 1] + sums[item];
    }
  }

 private:
  TempStorage& storage_;
};

}  // namespace cub
