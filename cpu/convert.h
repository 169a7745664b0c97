// Conversion of one element between any two element types: what Family::copy's cast and arange do, and how the 16-bit
// floats get in and out of float32.
#pragma once

#include <twingrad/dtype.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace twingrad::cpu {

/// bool is != 0. Float to integer truncates, NaN gives 0, values beyond the range give its end. Integer to narrower
/// integer keeps the low bits. The 16-bit floats go by way of float32.
template <class To, class From>
To convert(From value) {
  if constexpr (std::is_same_v<To, From>) {
    return value;
  } else if constexpr (!std::is_same_v<From, compute_t<From>>) {
    return convert<To>(static_cast<float>(value));
  } else if constexpr (!std::is_same_v<To, compute_t<To>>) {
    return To(static_cast<float>(value));
  } else if constexpr (std::is_same_v<To, bool>) {
    return value != From(0);
  } else if constexpr (std::is_integral_v<To> && std::is_floating_point_v<From>) {
    // The largest integer may not be a float; the power of two above it is.
    constexpr From above = From(2) * static_cast<From>(std::numeric_limits<To>::max() / 2 + 1);
    constexpr From lowest = static_cast<From>(std::numeric_limits<To>::min());
    if (!(value >= lowest)) {
      return value < lowest ? std::numeric_limits<To>::min() : To(0);
    }
    return value < above ? static_cast<To>(value) : std::numeric_limits<To>::max();
  } else {
    return static_cast<To>(value);
  }
}

}  // namespace twingrad::cpu
