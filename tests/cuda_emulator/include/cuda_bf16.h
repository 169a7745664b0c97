// Stands in for CUDA's header of the same name: bfloat16 to and from float, as far as twingrad's kernels use it.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

struct __nv_bfloat16 {
  std::uint16_t bits;
};

inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short bits) {
  return __nv_bfloat16{bits};
}
inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 value) {
  return value.bits;
}

inline float __bfloat162float(__nv_bfloat16 value) {
  const std::uint32_t bits = static_cast<std::uint32_t>(value.bits) << 16;
  float result = 0.0F;
  std::memcpy(&result, &bits, sizeof bits);
  return result;
}

/// To nearest, ties to even.
inline __nv_bfloat16 __float2bfloat16_rn(float value) {
  if (std::isnan(value)) {
    return __nv_bfloat16{0x7fff};
  }
  std::uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  const std::uint32_t kept = bits >> 16;
  const std::uint32_t lost = bits & 0xffffU;
  const bool up = lost > 0x8000U || (lost == 0x8000U && (kept & 1U) != 0);
  return __nv_bfloat16{static_cast<std::uint16_t>(kept + (up ? 1U : 0U))};
}
