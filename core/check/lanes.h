// Eight doubles side by side, as the compiler's vector types have them, the few operations on them that the cross-check
// needs, and how they take branches. Private to the cross-check.
//
//   Doubles y = select(x > 0.0, x, Doubles{});
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#ifdef __AVX512F__
#include <immintrin.h>
#endif

// Vectors wider than the processor's registers are taken apart. How they would be passed to a function depends on the
// processor, but none is passed from one source file to another.
#pragma GCC diagnostic ignored "-Wpsabi"

namespace twingrad::check {

inline constexpr int lane_count = 8;
using Doubles = double __attribute__((vector_size(lane_count * sizeof(double))));
using Floats = float __attribute__((vector_size(lane_count * sizeof(float))));
/// What comparing Doubles gives: all bits set where it holds, none where not.
using Mask = std::int64_t __attribute__((vector_size(lane_count * sizeof(std::int64_t))));

[[gnu::always_inline]] inline Doubles splat(double x) {
  return Doubles{x, x, x, x, x, x, x, x};
}
[[gnu::always_inline]] inline Doubles load(const double* x) {
  Doubles result;
  std::memcpy(&result, x, sizeof result);
  return result;
}
[[gnu::always_inline]] inline void store(Doubles x, double* to) {
  std::memcpy(to, &x, sizeof x);
}
[[gnu::always_inline]] inline Mask load(const std::int64_t* x) {
  Mask result;
  std::memcpy(&result, x, sizeof result);
  return result;
}
[[gnu::always_inline]] inline void store(Mask x, std::int64_t* to) {
  std::memcpy(to, &x, sizeof x);
}
[[gnu::always_inline]] inline Doubles select(Mask mask, Doubles where_set, Doubles elsewhere) {
  return mask ? where_set : elsewhere;
}
[[gnu::always_inline]] inline Doubles magnitude(Doubles x) {
  return reinterpret_cast<Doubles>(reinterpret_cast<Mask>(x) & std::numeric_limits<std::int64_t>::max());
}
[[gnu::always_inline]] inline Doubles larger(Doubles x, Doubles y) {
  return x < y ? y : x;
}
[[gnu::always_inline]] inline Doubles smaller(Doubles x, Doubles y) {
  return y < x ? y : x;
}
/// The nearest numbers that float32 has.
[[gnu::always_inline]] inline Doubles in_float(Doubles x) {
  return __builtin_convertvector(__builtin_convertvector(x, Floats), Doubles);
}
[[gnu::always_inline]] inline Mask is_finite(Doubles x) {
  return magnitude(x) <= std::numeric_limits<double>::max();
}
[[gnu::always_inline]] inline Mask all_lanes() {
  return Mask{} == Mask{};
}
[[gnu::always_inline]] inline bool any(Mask mask) {
#ifdef __AVX512F__
  const auto lanes = reinterpret_cast<__m512i>(mask);
  return _mm512_test_epi64_mask(lanes, lanes) != 0;
#else
  std::int64_t bits = 0;
  for (int i = 0; i < lane_count; ++i) {
    bits |= mask[i];
  }
  return bits != 0;
#endif
}
[[gnu::always_inline]] inline double total(Doubles x) {
  double sum = 0;
  for (int i = 0; i < lane_count; ++i) {
    sum += x[i];
  }
  return sum;
}
/// function(x) for the lanes that are set; 0 in the others.
template <class Function>
[[gnu::always_inline]] inline Doubles for_lanes(Mask lanes, Doubles x, const Function& function) {
  Doubles result{};
  for (int i = 0; i < lane_count; ++i) {
    if (lanes[i] != 0) {
      result[i] = function(x[i]);
    }
  }
  return result;
}
[[gnu::always_inline]] inline Doubles rooted(Doubles x) {
  double each[lane_count];
  store(x, each);
  for (double& element : each) {
    element = std::sqrt(element);
  }
  return load(each);
}
[[gnu::always_inline]] inline Doubles truncated(Doubles x) {
  double each[lane_count];
  store(x, each);
  for (double& element : each) {
    element = std::trunc(element);
  }
  return load(each);
}

/// Which lanes a pass through a formula is for. A comparison goes one way for all of them: lanes that would go the
/// other way leave the pass, and take part in a later one.
struct Pass {
  Mask active;
  Mask ambiguous;  ///< a comparison in these lanes hung on a rounding
  static Pass& current() {
    thread_local Pass pass;
    return pass;
  }
  /// Whether this pass takes the way that `outcome` allows.
  [[gnu::always_inline]] static bool decide(Mask outcome) {
    Pass& pass = current();
    const bool way = any(pass.active & outcome);
    pass.active &= way ? outcome : ~outcome;
    return way;
  }
};

}  // namespace twingrad::check
