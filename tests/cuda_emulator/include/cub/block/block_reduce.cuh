// Stands in for CUB's header: the sum over a block. Only thread 0 gets it, as CUB promises no more.
#pragma once

#include <cuda_runtime.h>

#include <cstring>

namespace cub {

template <class T, int threads>
class BlockReduce {
 public:
  struct TempStorage {
    T value[threads];
  };

  explicit BlockReduce(TempStorage& storage) : storage_(storage) {}

  T Sum(T value) {
    storage_.value[threadIdx.x] = value;
    __syncthreads();
    for (unsigned half = threads / 2; half > 0; half /= 2) {
      if (threadIdx.x < half) {
        storage_.value[threadIdx.x] = storage_.value[threadIdx.x] + storage_.value[threadIdx.x + half];
      }
      __syncthreads();
    }
    T result;
    if (threadIdx.x == 0) {
      return storage_.value[0];
    }
    std::memset(&result, 0xff, sizeof result);
    return result;
  }

 private:
  static_assert((threads & (threads - 1)) == 0);
  TempStorage& storage_;
};

}  // namespace cub
