// argmax and argmin: the pair (element, index) reduced by the loops of reduce.cuh. Which pair is better is a total
// order, so the result does not depend on the order of combination.
#include "cuda/reduce.cuh"

#include "cuda/families.h"

#include <twingrad/kernels.h>

namespace twingrad::cuda {
namespace {

/// index < 0 is no element at all.
template <class V>
struct alignas(8) Candidate {
  std::int64_t index;
  V value;
};

/// A NaN beats any number; among NaNs and among equals the first wins.
template <class V, bool largest>
__device__ __forceinline__ bool beats(const Candidate<V>& a, const Candidate<V>& b) {
  if (a.index < 0 || b.index < 0) {
    return b.index < 0;
  }
  const bool a_is_nan = is_nan(a.value);
  const bool b_is_nan = is_nan(b.value);
  if (a_is_nan || b_is_nan) {
    return a_is_nan && (!b_is_nan || a.index < b.index);
  }
  if (a.value == b.value) {
    return a.index < b.index;
  }
  return largest ? a.value > b.value : a.value < b.value;
}

template <class In, class V, bool largest>
struct ArgReducer {
  using Accumulator = Candidate<V>;
  using Output = std::int64_t;
  using Second = ArgReducer<Accumulator, V, largest>;
  __device__ static Accumulator identity() { return {-1, V(0)}; }
  __device__ static Accumulator combine(const Accumulator& a, const Accumulator& b) {
    return beats<V, largest>(b, a) ? b : a;
  }
  __device__ static Accumulator load(const In& element, std::int64_t r) {
    if constexpr (std::is_same_v<In, Accumulator>) {
      return element;
    } else {
      return {r, to_compute(element)};
    }
  }
  __device__ static Output finish(const Accumulator& value, const Finish&) { return value.index; }
};

template <class T>
void run(const KernelCall& call, Context& context) {
  const Axes axis{call.attributes.ints[0]};
  switch (static_cast<ArgReduce>(call.op->kernel)) {
    case ArgReduce::argmax:
      return reduce<ArgReducer<T, compute_t<T>, true>, T>(call, context, axis, false);
    case ArgReduce::argmin:
      return reduce<ArgReducer<T, compute_t<T>, false>, T>(call, context, axis, false);
  }
}

}  // namespace

void run_arg_reduce(const KernelCall& call, Context& context) {
  visit(call.inputs[0].dtype, [&]<class T>(Type<T>) { run<T>(call, context); });
}

}  // namespace twingrad::cuda
