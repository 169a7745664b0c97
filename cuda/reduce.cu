// sum, mean, prod, amax and amin. The order of combination stands in reduce.cuh.
#include "cuda/reduce.cuh"

#include "cuda/families.h"

#include <twingrad/kernels.h>

#include <limits>

namespace twingrad::cuda {
namespace {

/// Sums and products of integers and bool are int64 and wrap around.
template <class T>
using Total = std::conditional_t<std::is_floating_point_v<compute_t<T>>, compute_t<T>, std::int64_t>;

template <class T>
__device__ __forceinline__ T lowest() {
  if constexpr (std::is_same_v<T, float>) {
    return -__int_as_float(0x7f800000);
  } else if constexpr (std::is_same_v<T, double>) {
    return -__longlong_as_double(0x7ff0000000000000LL);
  } else {
    return std::numeric_limits<T>::lowest();
  }
}
template <class T>
__device__ __forceinline__ T highest() {
  if constexpr (std::is_floating_point_v<T>) {
    return -lowest<T>();
  } else {
    return std::numeric_limits<T>::max();
  }
}

template <class A>
struct SumOf {
  __device__ static A identity() { return A(0); }
  __device__ static A combine(A a, A b) {
    if constexpr (std::is_same_v<A, std::int64_t>) {
      return static_cast<A>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
    } else {
      return a + b;
    }
  }
};
template <class A>
struct ProductOf {
  __device__ static A identity() { return A(1); }
  __device__ static A combine(A a, A b) {
    if constexpr (std::is_same_v<A, std::int64_t>) {
      return static_cast<A>(static_cast<std::uint64_t>(a) * static_cast<std::uint64_t>(b));
    } else {
      return a * b;
    }
  }
};
/// NaN wins.
template <class A>
struct LargestOf {
  __device__ static A identity() { return lowest<A>(); }
  __device__ static A combine(A a, A b) { return is_nan(a) ? a : (is_nan(b) || b > a ? b : a); }
};
template <class A>
struct SmallestOf {
  __device__ static A identity() { return highest<A>(); }
  __device__ static A combine(A a, A b) { return is_nan(a) ? a : (is_nan(b) || b < a ? b : a); }
};

/// Elements of type In, accumulated in A, given as Out.
template <template <class> class Combine, class In, class A, class Out>
struct Reducer : Combine<A> {
  using Accumulator = A;
  using Output = Out;
  using Second = Reducer<Combine, A, A, Out>;
  __device__ static A load(In element, std::int64_t) { return static_cast<A>(to_compute(element)); }
  __device__ static Out finish(A value, const Finish& finish) {
    if constexpr (std::is_floating_point_v<A>) {
      return from_compute<Out>(finish.mean ? value / static_cast<A>(finish.count) : value);
    } else {
      return static_cast<Out>(value);
    }
  }
};

template <class T>
void run(const KernelCall& call, Context& context) {
  using Kept = compute_t<T>;
  using Sum = Total<T>;
  using SumOut = std::conditional_t<std::is_floating_point_v<Kept>, T, std::int64_t>;
  const Axes& axes = call.attributes.ints;
  switch (static_cast<Reduce>(call.op->kernel)) {
    case Reduce::sum:
      return reduce<Reducer<SumOf, T, Sum, SumOut>, T>(call, context, axes, false);
    case Reduce::mean:
      if constexpr (std::is_floating_point_v<Kept>) {
        return reduce<Reducer<SumOf, T, Sum, SumOut>, T>(call, context, axes, true);
      }
      break;
    case Reduce::prod:
      return reduce<Reducer<ProductOf, T, Sum, SumOut>, T>(call, context, axes, false);
    case Reduce::amax:
      return reduce<Reducer<LargestOf, T, Kept, T>, T>(call, context, axes, false);
    case Reduce::amin:
      return reduce<Reducer<SmallestOf, T, Kept, T>, T>(call, context, axes, false);
  }
  throw DtypeError(std::string(call.op->name) + ": does not take " + std::string(name(call.inputs[0].dtype)));
}

}  // namespace

void run_reduce(const KernelCall& call, Context& context) {
  visit(call.inputs[0].dtype, [&]<class T>(Type<T>) { run<T>(call, context); });
}

}  // namespace twingrad::cuda
