// Elements in registers: 16-bit floats to and from float by the hardware's conversions, and short vectors that move in
// one memory access. Bits equal those of the conversions in core/dtype.h, except for a NaN's payload. The conversions
// are named as instructions, so that kernels compiled at run time need no header of the toolkit.
#pragma once

#include <twingrad/dtype.h>

#include <type_traits>

namespace twingrad::cuda {

/// The value of an element in the type its arithmetic is done in.
template <class T>
__device__ __forceinline__ compute_t<T> to_compute(T value) {
#if defined(__CUDA_ARCH__)
  if constexpr (std::is_same_v<T, bfloat16>) {
    return __uint_as_float(static_cast<unsigned>(value.bits) << 16);
  } else if constexpr (std::is_same_v<T, float16>) {
    float out;
    asm("cvt.f32.f16 %0, %1;" : "=f"(out) : "h"(value.bits));
    return out;
  } else {
    return value;
  }
#else
  return static_cast<compute_t<T> >(value);
#endif
}

/// Rounds to nearest even.
template <class T>
__device__ __forceinline__ T from_compute(compute_t<T> value) {
#if defined(__CUDA_ARCH__)
  if constexpr (std::is_same_v<T, bfloat16>) {
    T out;
#if __CUDA_ARCH__ >= 800
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(out.bits) : "f"(value));
#else
    out = T(value);
    if (value != value) {
      out.bits = 0x7fff;  // the NaN that later hardware gives
    }
#endif
    return out;
  } else if constexpr (std::is_same_v<T, float16>) {
    T out;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(out.bits) : "f"(value));
    return out;
  } else {
    return value;
  }
#else
  return static_cast<T>(value);
#endif
}

/// `Count` elements that are loaded and stored in one access.
template <class T, int Count>
struct alignas(sizeof(T) * Count) Vector {
  T lane[Count];
};

/// Elements of type T in 16 bytes.
template <class T>
inline constexpr int lanes_of = 16 / static_cast<int>(sizeof(T));

/// NaN of any floating type; false for integers.
template <class T>
__device__ __forceinline__ bool is_nan(T value) {
  if constexpr (std::is_floating_point_v<T>) {
    return value != value;
  } else {
    return false;
  }
}

}  // namespace twingrad::cuda
