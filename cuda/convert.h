// One number from one type to another, with the edges defined: what a cast gives for NaN and beyond the range. The
// 16-bit floats are widened before and rounded after by element.cuh.
#pragma once

#include <twingrad/annotations.h>

#include <limits>
#include <type_traits>

namespace twingrad::cuda {

/// bool: whether value != 0. Float to integer: truncated; NaN is 0, and what lies beyond the range is its nearer end.
/// Integer to narrower integer: the low bits.
template <class To, class From>
TWINGRAD_HOST_DEVICE To convert_number(From value) {
  if constexpr (std::is_same_v<To, bool>) {
    return value != From(0);
  } else if constexpr (std::is_integral_v<To> && std::is_floating_point_v<From>) {
    using Limits = std::numeric_limits<To>;
    constexpr To half = static_cast<To>(Limits::max() / 2 + 1);
    constexpr From end = static_cast<From>(half) * From(2);  // the power of two above max(), exact in every float
    if (value >= end) {
      return Limits::max();
    }
    if (value < static_cast<From>(Limits::min())) {
      return Limits::min();
    }
    return value == value ? static_cast<To>(value) : To(0);
  } else {
    return static_cast<To>(value);
  }
}

}  // namespace twingrad::cuda
