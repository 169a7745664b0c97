// Family::rows: softmax, normalisation and their kin, one row of the last axis at a time. A row is read from memory
// once and from the cache after that; sums have the order of lanes.h and are accumulated in compute_t<T>.
#include <twingrad/kernels.h>
#include <twingrad/op.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

#include "cpu/families.h"
#include "cpu/lane_math.h"
#include "cpu/lanes.h"
#include "cpu/parallel.h"

namespace twingrad::cpu {
namespace {

template <class C>
C largest(const C* x, std::int64_t n) {
  return reduce_values<MaximumStep, C>(n, [x](std::int64_t i) { return x[i]; });
}

// float32 has functions that are vectorised; float64 takes the C library's.
TWINGRAD_LANE float exponential(float x) {
  return lane_math::exp(x);
}
double exponential(double x) {
  return std::exp(x);
}
float logarithm(float x) {
  return lane_math::log(x);
}
double logarithm(double x) {
  return std::log(x);
}

/// e[i] = exp(x[i] - shift), and their sum. e may be x.
template <class C>
C exponentials(const C* x, C shift, C* e, std::int64_t n) {
#pragma GCC ivdep
  for (std::int64_t i = 0; i < n; ++i) {
    e[i] = exponential(x[i] - shift);
  }
  return reduce_values<AddStep, C>(n, [e](std::int64_t i) { return e[i]; });
}

template <class C>
void softmax_row(C* x, std::int64_t n) {
  const C sum = exponentials(x, largest(x, n), x, n);
  for (std::int64_t i = 0; i < n; ++i) {
    x[i] = x[i] / sum;
  }
}

template <class C>
void log_softmax_row(C* x, C* scratch, std::int64_t n) {
  const C shift = largest(x, n);
  const C log_sum = logarithm(exponentials(x, shift, scratch, n));
  for (std::int64_t i = 0; i < n; ++i) {
    x[i] = (x[i] - shift) - log_sum;
  }
}

template <class C>
C logsumexp_row(C* x, std::int64_t n) {
  const C shift = largest(x, n);
  if (std::abs(shift) == std::numeric_limits<C>::infinity()) {
    return shift;  // x - shift would be inf - inf
  }
  return shift + logarithm(exponentials(x, shift, x, n));
}

template <class C>
void layer_norm_row(C* x, const C* weight, const C* bias, C eps, std::int64_t n) {
  const C count = static_cast<C>(n);
  const C mean = reduce_values<AddStep, C>(n, [x](std::int64_t i) { return x[i]; }) / count;
  // Centred first: mean(x^2) - mean^2 would cancel.
  const C variance = reduce_values<AddStep, C>(n,
                                               [x, mean](std::int64_t i) {
                                                 const C centred = x[i] - mean;
                                                 return centred * centred;
                                               }) /
                     count;
  const C deviation = std::sqrt(variance + eps);
  for (std::int64_t i = 0; i < n; ++i) {
    x[i] = (x[i] - mean) / deviation * weight[i] + bias[i];
  }
}

template <class C>
void rms_norm_row(C* x, const C* weight, C eps, std::int64_t n) {
  const C square = reduce_values<AddStep, C>(n, [x](std::int64_t i) { return x[i] * x[i]; }) / static_cast<C>(n);
  const C scale = std::sqrt(square + eps);
  for (std::int64_t i = 0; i < n; ++i) {
    x[i] = x[i] / scale * weight[i];
  }
}

/// A vector operand in the type of the computation; a copy only where that differs.
template <class T, class C>
class Widened {
 public:
  explicit Widened(const TensorView& view) : data_(nullptr) {
    if constexpr (std::is_same_v<T, C>) {
      data_ = view.as<const C>();
    } else {
      copy_.resize(static_cast<std::size_t>(view.numel()));
      for (std::size_t i = 0; i < copy_.size(); ++i) {
        copy_[i] = static_cast<C>(view.as<const T>()[i]);
      }
      data_ = copy_.data();
    }
  }
  const C* data() const { return data_; }

 private:
  std::vector<C> copy_;
  const C* data_;
};

/// Room for one row: short ones, as classes are, need no memory from the heap.
template <class C>
class RowBuffer {
 public:
  explicit RowBuffer(std::int64_t n) : heap_(n > most ? static_cast<std::size_t>(n) : 0) {}
  C* data() { return heap_.empty() ? stack_.data() : heap_.data(); }

 private:
  static constexpr std::int64_t most = 512;
  std::vector<C> heap_;
  alignas(64) std::array<C, most> stack_;
};

/// Calls row(values, scratch) for every row: `values` holds the row's n elements in compute_t<T> and is written back
/// to the output, unless the output is one value per row: then it takes what `row` returns.
template <class T, class Row>
void for_each_row(const KernelCall& call, double nanoseconds, const Row& row) {
  using C = compute_t<T>;
  const std::int64_t n = call.inputs[0].shape.back();
  const T* in = call.inputs[0].as<const T>();
  T* out = call.output.as<T>();
  constexpr bool one_value = !std::is_void_v<decltype(row(static_cast<C*>(nullptr), static_cast<C*>(nullptr)))>;
  const std::int64_t count = one_value ? call.output.numel() : call.output.numel() / n;
  parallel_for(count, 20.0 + nanoseconds * static_cast<double>(n), [&](std::int64_t begin, std::int64_t end) {
    RowBuffer<C> values_memory(n);
    RowBuffer<C> scratch_memory(n);
    C* const values = values_memory.data();
    C* const scratch = scratch_memory.data();
    for (std::int64_t r = begin; r < end; ++r) {
      for (std::int64_t i = 0; i < n; ++i) {
        values[i] = static_cast<C>(in[r * n + i]);
      }
      if constexpr (one_value) {
        out[r] = static_cast<T>(row(values, scratch));
      } else {
        row(values, scratch);
        for (std::int64_t i = 0; i < n; ++i) {
          out[r * n + i] = static_cast<T>(values[i]);
        }
      }
    }
  });
}

template <class T>
void rows_as(const KernelCall& call) {
  using C = compute_t<T>;
  const std::int64_t n = call.inputs[0].shape.back();
  constexpr double exponential = std::is_same_v<C, float> ? 1.0 : 6.0;  // nanoseconds per element
  constexpr double normalisation = 0.8;
  const C eps = static_cast<C>(call.attributes.reals[0]);
  switch (static_cast<Rows>(call.op->kernel)) {
    case Rows::softmax:
      return for_each_row<T>(call, exponential, [n](C* x, C*) { softmax_row(x, n); });
    case Rows::log_softmax:
      return for_each_row<T>(call, exponential, [n](C* x, C* scratch) { log_softmax_row(x, scratch, n); });
    case Rows::logsumexp:
      return for_each_row<T>(call, exponential, [n](C* x, C*) { return logsumexp_row(x, n); });
    case Rows::layer_norm: {
      const Widened<T, C> weight(call.inputs[1]);
      const Widened<T, C> bias(call.inputs[2]);
      return for_each_row<T>(call, normalisation,
                             [&](C* x, C*) { layer_norm_row(x, weight.data(), bias.data(), eps, n); });
    }
    case Rows::rms_norm: {
      const Widened<T, C> weight(call.inputs[1]);
      return for_each_row<T>(call, normalisation, [&](C* x, C*) { rms_norm_row(x, weight.data(), eps, n); });
    }
  }
}

}  // namespace

void rows(const KernelCall& call) {
  const Dtype dtype = call.inputs[0].dtype;
  visit(dtype, [&]<class T>(Type<T>) {
    if constexpr (std::is_floating_point_v<compute_t<T>>) {
      rows_as<T>(call);
    } else {
      refuse_dtype(call, dtype);
    }
  });
}

}  // namespace twingrad::cpu
