// Elements in registers: 16-bit floats to and from float by the hardware's conversions, and short vectors that move in
// one memory access. Bits equal those of the conversions in core/dtype.h, except for a NaN's payload.
#pragma once

#include <twingrad/dtype.h>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace twingrad::cuda {

/// The value of an element in the type its arithmetic is done in.
template <class T>
__device__ __forceinline__ compute_t<T> to_compute(T value) {
  if constexpr (std::is_same_v<T, bfloat16>) {
    return __uint_as_float(static_cast<unsigned>(value.bits) << 16);
  } else if constexpr (std::is_same_v<T, float16>) {
    return __half2float(__ushort_as_half(value.bits));
  } else {
    return value;
  }
}

/// Rounds to nearest even.
template <class T>
__device__ __forceinline__ T from_compute(compute_t<T> value) {
  if constexpr (std::is_same_v<T, bfloat16>) {
    T out;
    out.bits = __bfloat16_as_ushort(__float2bfloat16_rn(value));
    return out;
  } else if constexpr (std::is_same_v<T, float16>) {
    T out;
    out.bits = __half_as_ushort(__float2half_rn(value));
    return out;
  } else {
    return value;
  }
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
