// Stands in for CUDA's header of the same name: IEEE binary16 to and from float, as far as twingrad's kernels use it.
// The conversions are written with arithmetic on doubles, unlike those of core/dtype.h, which they are compared with.
#pragma once

#include <cmath>
#include <cstdint>

struct __half {
  std::uint16_t bits;
};
using half = __half;

inline __half __ushort_as_half(unsigned short bits) {
  return __half{bits};
}
inline unsigned short __half_as_ushort(__half value) {
  return value.bits;
}

inline float __half2float(__half value) {
  const int exponent = (value.bits >> 10) & 0x1f;
  const int mantissa = value.bits & 0x3ff;
  double magnitude = 0.0;
  if (exponent == 0x1f) {
    magnitude = mantissa == 0 ? HUGE_VAL : std::nan("");
  } else if (exponent == 0) {
    magnitude = std::ldexp(static_cast<double>(mantissa), -24);
  } else {
    magnitude = std::ldexp(static_cast<double>(mantissa + 1024), exponent - 25);
  }
  return static_cast<float>((value.bits & 0x8000) != 0 ? -magnitude : magnitude);
}

/// To nearest, ties to even.
inline __half __float2half_rn(float value) {
  const auto sign = static_cast<std::uint16_t>(std::signbit(value) ? 0x8000 : 0);
  const double magnitude = std::fabs(static_cast<double>(value));
  if (std::isnan(value)) {
    return __half{0x7fff};
  }
  if (magnitude >= 65520.0) {  // half way from the largest number to the next power of two
    return __half{static_cast<std::uint16_t>(sign | 0x7c00)};
  }
  int exponent = -14;  // of the smallest normal number; subnormal ones share its step
  if (magnitude >= 0x1p-14) {
    exponent = std::ilogb(magnitude);
  }
  // In steps of 2^(exponent - 10); a sum that rounds up to 2048 runs into the exponent as it should.
  const auto steps = static_cast<int>(std::nearbyint(std::ldexp(magnitude, 10 - exponent)));
  const int bits = steps < 1024 ? steps : ((exponent + 15) << 10) + (steps - 1024);
  return __half{static_cast<std::uint16_t>(sign | bits)};
}
