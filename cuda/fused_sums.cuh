// A chain with sums of its results behind it, as one kernel: the gradient of a bias along with the gradient that it
// sums, a loss along with its terms. The chain's results that are summed wait in shared memory, and are added up there
// in the order of reduce.cuh, so the bits are those of the kernels one by one. For small tensors, where starting a
// kernel is what costs: fused_plan.h says which.
//
//   // a gradient through relu, float32, and its sum over rows
//   using Chain = Summed<Kernel<Axis32, 1, 4, 0, 0,
//                               Elementwise<formula of relu_grad, float, -1, 2, Dense<0, float>, Dense<1, float>>>,
//                        Sum<0, float, 3, false>>;
//   extern "C" __global__ void name(const __grid_constant__ Chain::Arguments a) { Chain::run(a); }
#pragma once

#include "cuda/fused_kernel.cuh"
#include "cuda/slice.cuh"

namespace twingrad::cuda::fused {

/// Bytes of all values of a block that wait to be summed.
inline constexpr unsigned summed_bytes = 16384;
/// Accumulators that a block folds at once: no order of reduce.cuh has more lanes.
inline constexpr unsigned summed_lanes = 512;

/// One sum's shape, for Summed::Arguments.
struct SumShape {
  unsigned lanes;   ///< G of the order, a power of two
  unsigned whole;   ///< 1: over all elements; 0: over the rows, a sum for each column
  unsigned staged;  ///< where its values wait: bytes, a multiple of 8
  unsigned unused;
};

template <class A>
struct Added {
  __device__ static A identity() { return A(0); }
  __device__ static A combine(A a, A b) { return a + b; }
};

/// The sum of part `part`, whose results are of T, or its mean. `stored`: the address of the result.
template <int part_, class T, int stored, bool mean>
struct Sum {
  static constexpr int part = part_;
  using Element = T;

  template <class Arguments>
  __device__ __forceinline__ static void run(const Arguments& arguments, const SumShape& shape, const T* values,
                                             unsigned first_column, unsigned width, double* room) {
    using A = compute_t<T>;
    constexpr int unroll = slice_unroll<A, T>;
    A* const lanes = reinterpret_cast<A*>(room);
    const unsigned outputs = shape.whole != 0 ? 1 : width;
    const unsigned length = shape.whole != 0 ? arguments.rows * width : arguments.rows;
    T* const out = static_cast<T*>(arguments.chain.data[stored]) + (shape.whole != 0 ? 0 : first_column);
    for (unsigned first = 0; first < outputs; first += summed_lanes / shape.lanes) {
      // Neighbouring threads take neighbouring outputs.
      const unsigned some = outputs - first < summed_lanes / shape.lanes ? outputs - first : summed_lanes / shape.lanes;
      __syncthreads();  // of what is staged, and of the last use of the room
      for (unsigned i = threadIdx.x; i < some * shape.lanes; i += threads) {
        const unsigned lane = i / some;
        const T* const own = values + first + (i - lane * some);
        lanes[i] = combine_slice<Added<A>, unroll>([&](unsigned r) { return A(to_compute(own[r * outputs])); }, lane,
                                                   length, shape.lanes);
      }
      for (unsigned half = shape.lanes / 2; half > 0; half /= 2) {
        __syncthreads();
        for (unsigned i = threadIdx.x; i < some * half; i += threads) {
          lanes[i] = Added<A>::combine(lanes[i], lanes[i + some * half]);
        }
      }
      __syncthreads();
      for (unsigned i = threadIdx.x; i < some; i += threads) {
        out[first + i] = from_compute<T>(mean ? lanes[i] / static_cast<A>(length) : lanes[i]);
      }
    }
  }
};

/// Each block takes a strip of columns, all rows of it. Reads and writes what the chain alone does, and writes the
/// sums; limit: the latency of one block.
template <class Chain, class... Sums>
struct Summed;

template <class Axis, int addresses, int parameter_sets, int axes, class... Parts, class... Sums>
struct Summed<Kernel<Axis, 1, addresses, parameter_sets, axes, Parts...>, Sums...> {
  /// Laid out so that the host can write it without knowing the type: see fused_plan.h.
  struct Arguments {
    typename Kernel<Axis, 1, addresses, parameter_sets, axes, Parts...>::Arguments chain;
    unsigned rows;
    unsigned columns;
    unsigned strip;  ///< columns of one block
    unsigned unused;
    SumShape sums[sizeof...(Sums)];
  };

  __device__ __forceinline__ static void run(const Arguments& arguments) {
    using Index = typename Axis::Index;
    using Results = Slots<1, 0, Parts...>;
    __shared__ double staged[summed_bytes / sizeof(double)];
    __shared__ double lanes[summed_lanes];
    const unsigned first_column = blockIdx.x * arguments.strip;
    const unsigned rest = arguments.columns - first_column;
    const unsigned width = rest < arguments.strip ? rest : arguments.strip;
    for (unsigned i = threadIdx.x; i < arguments.rows * width; i += threads) {
      const unsigned row = i / width;
      const auto element = static_cast<Index>(row) * static_cast<Index>(arguments.columns) +
                           static_cast<Index>(first_column + (i - row * width));
      Results results;
      const Place<decltype(arguments.chain), Index, Results> place{arguments.chain, results, element, 1, true};
      compute_from<0, 1, decltype(place), Parts...>(place);
      store_from<0, 1, decltype(place), Parts...>(place);
      stage<0, Results, Sums...>(arguments, results, staged, i);
    }
    add<0, Sums...>(arguments, staged, first_column, width, lanes);
  }

 private:
  template <class T>
  __device__ __forceinline__ static T* values_of(double* staged, const SumShape& shape) {
    return reinterpret_cast<T*>(reinterpret_cast<char*>(staged) + shape.staged);
  }

  template <int sum, class Results>
  __device__ __forceinline__ static void stage(const Arguments&, Results&, double*, unsigned) {}
  template <int sum, class Results, class First, class... Rest>
  __device__ __forceinline__ static void stage(const Arguments& arguments, Results& results, double* staged,
                                               unsigned i) {
    values_of<typename First::Element>(staged, arguments.sums[sum])[i] = result_of<First::part>(results).lane[0];
    stage<sum + 1, Results, Rest...>(arguments, results, staged, i);
  }

  template <int sum>
  __device__ __forceinline__ static void add(const Arguments&, double*, unsigned, unsigned, double*) {}
  template <int sum, class First, class... Rest>
  __device__ __forceinline__ static void add(const Arguments& arguments, double* staged, unsigned first_column,
                                             unsigned width, double* lanes) {
    const SumShape& shape = arguments.sums[sum];
    First::run(arguments, shape, values_of<typename First::Element>(staged, shape), first_column, width, lanes);
    add<sum + 1, Rest...>(arguments, staged, first_column, width, lanes);
  }
};

}  // namespace twingrad::cuda::fused
