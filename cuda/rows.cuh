// How kernels over rows hold a row: a warp or a block of G threads per row, the row in registers where it fits. Thread
// t adds elements t, t + G, t + 2G, ... in that order; then the threads are folded in halves (t takes t + G/2, ...).
#pragma once

#include "cuda/element.cuh"
#include "cuda/fold.cuh"
#include "cuda/launch.h"
#include "cuda/row_plan.h"

#include <cstdint>

namespace twingrad::cuda::rows {

template <class A>
struct SumOf {
  __device__ static A identity() { return A(0); }
  __device__ static A combine(A a, A b) { return a + b; }
};
/// NaN wins.
template <class A>
struct LargestOf {
  __device__ static A identity() {
    if constexpr (sizeof(A) == 4) {
      return -__int_as_float(0x7f800000);
    } else {
      return -__longlong_as_double(0x7ff0000000000000LL);
    }
  }
  __device__ static A combine(A a, A b) { return a != a ? a : (b != b || b > a ? b : a); }
};

/// Folds one value per thread of a group of G = 32 or a whole block of G in halves; every thread gets the result.
template <template <class> class Op, int G, class A>
__device__ __forceinline__ A fold_group(A value) {
  if constexpr (G > 32) {
    __shared__ A shared[G];
    value = fold_block<Op<A>, G>(value, shared);
  }
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) {
    value = Op<A>::combine(value, __shfl_xor_sync(0xffffffffU, value, distance));
  }
  return value;
}

/// A row of n elements in registers, `Items` per thread. Elements beyond n are never passed to a function.
template <class T, int G, int Items>
struct HeldRow {
  using A = compute_t<T>;
  A value[Items];
  unsigned thread;
  std::int64_t n;

  __device__ HeldRow(const T* row, unsigned thread_in_group, std::int64_t length) : thread(thread_in_group), n(length) {
#pragma unroll
    for (int item = 0; item < Items; ++item) {
      const unsigned i = thread + item * G;
      value[item] = i < n ? to_compute(row[i]) : A(0);
    }
  }
  /// Op over function(x) of all elements.
  template <template <class> class Op, class Function>
  __device__ A combine(const Function& function) const {
    A all = Op<A>::identity();
#pragma unroll
    for (int item = 0; item < Items; ++item) {
      if (thread + item * G < n) {
        all = Op<A>::combine(all, function(value[item]));
      }
    }
    return fold_group<Op, G>(all);
  }
  /// Calls function(i, x) for this thread's elements.
  template <class Function>
  __device__ void each(const Function& function) const {
#pragma unroll
    for (int item = 0; item < Items; ++item) {
      const unsigned i = thread + item * G;
      if (i < n) {
        function(i, value[item]);
      }
    }
  }
};

/// A row too long for registers: read again from memory by every use, mostly from the L2 cache.
template <class T, int G>
struct StreamedRow {
  using A = compute_t<T>;
  const T* row;
  unsigned thread;
  std::int64_t n;

  __device__ StreamedRow(const T* memory, unsigned thread_in_group, std::int64_t length)
      : row(memory), thread(thread_in_group), n(length) {}
  template <template <class> class Op, class Function>
  __device__ A combine(const Function& function) const {
    A all = Op<A>::identity();
    for (std::int64_t i = thread; i < n; i += G) {
      all = Op<A>::combine(all, function(to_compute(row[i])));
    }
    return fold_group<Op, G>(all);
  }
  template <class Function>
  __device__ void each(const Function& function) const {
    for (std::int64_t i = thread; i < n; i += G) {
      function(i, to_compute(row[i]));
    }
  }
};

/// Kernel parameters of one rows call.
template <class T>
struct Arguments {
  const T* x;
  const T* weight;
  const T* bias;
  T* out;
  std::int64_t rows;
  std::int64_t n;
  double epsilon;
};

/// One group of G threads per row. Reads x once (a streamed row: once per use, from the L2 cache where it fits) and
/// writes the output once; limit: memory bandwidth, for rows of a few elements partly used warps.
template <class Kernel, class T, class Row, int G, int Threads>
__global__ void __launch_bounds__(Threads) row_kernel(const Arguments<T> arguments) {
  const std::int64_t index = std::int64_t{blockIdx.x} * (Threads / G) + threadIdx.x / G;
  if (index >= arguments.rows) {
    return;  // a whole warp or block
  }
  const Row row(arguments.x + index * arguments.n, threadIdx.x % G, arguments.n);
  Kernel::template run<T>(row, index, arguments);
}

template <int count>
using Items = std::integral_constant<int, count>;

/// Picks group and registers by the row's length.
template <class Kernel, class T>
void run(const KernelCall& call, Context& context, const Arguments<T>& arguments) {
  const std::string_view op = call.op->name;
  const std::int64_t n = arguments.n;
  const auto by_warp = [&](auto items) {
    constexpr int threads = 128;
    launch(context, op, row_kernel<Kernel, T, HeldRow<T, 32, decltype(items)::value>, 32, threads>,
           blocks_for(arguments.rows, threads / 32), threads, arguments);
  };
  const auto by_block = [&](auto group, auto items) {
    constexpr int threads = decltype(group)::value;
    launch(context, op, row_kernel<Kernel, T, HeldRow<T, threads, decltype(items)::value>, threads, threads>,
           blocks_for(arguments.rows, 1), threads, arguments);
  };
  switch (row_threads(n)) {
    case 32:
      return n <= 32 ? by_warp(Items<1>{}) : (n <= 128 ? by_warp(Items<4>{}) : by_warp(Items<16>{}));
    case 256:
      return n <= 1024 ? by_block(Items<256>{}, Items<4>{}) : by_block(Items<256>{}, Items<16>{});
    default:
      if (n <= 512 * 16) {
        return by_block(Items<512>{}, Items<16>{});
      }
      launch(context, op, row_kernel<Kernel, T, StreamedRow<T, 512>, 512, 512>, blocks_for(arguments.rows, 1), 512U,
             arguments);
  }
}

}  // namespace twingrad::cuda::rows
