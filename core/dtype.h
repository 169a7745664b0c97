// Element types. float32 is the default; float64 is there on both devices for gradient checks;
// bfloat16 and float16 are for storage and for products that accumulate in float32.
#pragma once

#include <twingrad/annotations.h>
#include <twingrad/error.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace twingrad {

enum class Dtype : std::uint8_t { f32, f64, bf16, f16, i32, i64, u8, boolean };

inline constexpr Dtype f32 = Dtype::f32;
inline constexpr Dtype f64 = Dtype::f64;
inline constexpr Dtype bf16 = Dtype::bf16;
inline constexpr Dtype f16 = Dtype::f16;
inline constexpr Dtype i32 = Dtype::i32;
inline constexpr Dtype i64 = Dtype::i64;
inline constexpr Dtype u8 = Dtype::u8;
inline constexpr Dtype boolean = Dtype::boolean;

/// Bytes of one element.
constexpr std::size_t size_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::f32:
    case Dtype::i32:
      return 4;
    case Dtype::f64:
    case Dtype::i64:
      return 8;
    case Dtype::bf16:
    case Dtype::f16:
      return 2;
    case Dtype::u8:
    case Dtype::boolean:
      return 1;
  }
  return 0;
}

/// "float32", "int64", "bool", ...
constexpr std::string_view name(Dtype dtype) {
  switch (dtype) {
    case Dtype::f32:
      return "float32";
    case Dtype::f64:
      return "float64";
    case Dtype::bf16:
      return "bfloat16";
    case Dtype::f16:
      return "float16";
    case Dtype::i32:
      return "int32";
    case Dtype::i64:
      return "int64";
    case Dtype::u8:
      return "uint8";
    case Dtype::boolean:
      return "bool";
  }
  return "?";
}

constexpr bool is_floating(Dtype dtype) {
  return dtype == Dtype::f32 || dtype == Dtype::f64 || dtype == Dtype::bf16 || dtype == Dtype::f16;
}
constexpr bool is_integer(Dtype dtype) {
  return dtype == Dtype::i32 || dtype == Dtype::i64 || dtype == Dtype::u8;
}

/// bfloat16: the upper half of a float32, rounded to nearest even.
struct bfloat16 {
  std::uint16_t bits = 0;
  bfloat16() = default;
  TWINGRAD_HOST_DEVICE explicit bfloat16(float value) {
    const auto u = std::bit_cast<std::uint32_t>(value);
    if ((u & 0x7fffffffU) > 0x7f800000U) {
      bits = static_cast<std::uint16_t>((u >> 16) | 0x40U);  // a quiet NaN stays one
    } else {
      bits = static_cast<std::uint16_t>((u + 0x7fffU + ((u >> 16) & 1U)) >> 16);
    }
  }
  TWINGRAD_HOST_DEVICE explicit operator float() const {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
  }
};

/// IEEE binary16, rounded to nearest even, with subnormals.
struct float16 {
  std::uint16_t bits = 0;
  float16() = default;
  TWINGRAD_HOST_DEVICE explicit float16(float value) {
    const auto u = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t sign = (u >> 16) & 0x8000U;
    const std::uint32_t magnitude = u & 0x7fffffffU;
    if (magnitude > 0x7f800000U) {
      bits = static_cast<std::uint16_t>(sign | 0x7e00U);
    } else if (magnitude >= 0x477ff000U) {  // rounds to 65536 or beyond
      bits = static_cast<std::uint16_t>(sign | 0x7c00U);
    } else if (magnitude < 0x38800000U) {
      // Subnormal: adding 0.5 aligns the mantissa so that the FPU rounds at the right place.
      const float aligned = std::bit_cast<float>(magnitude) + 0.5F;
      bits = static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(aligned) - 0x3f000000U));
    } else {
      const std::uint32_t rounded = magnitude + 0xfffU + ((magnitude >> 13) & 1U) - 0x38000000U;
      bits = static_cast<std::uint16_t>(sign | (rounded >> 13));
    }
  }
  TWINGRAD_HOST_DEVICE explicit operator float() const {
    const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000U) << 16;
    const std::uint32_t magnitude = bits & 0x7fffU;
    if (magnitude >= 0x7c00U) {
      return std::bit_cast<float>(sign | 0x7f800000U | ((magnitude & 0x3ffU) << 13));
    }
    if (magnitude < 0x400U) {
      const float value = static_cast<float>(magnitude) * 5.9604644775390625e-8F;  // 2^-24
      return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(value));
    }
    return std::bit_cast<float>(sign | ((magnitude << 13) + 0x38000000U));
  }
};

/// The C++ element type of a dtype, as a tag that templates can deduce.
template <class T>
struct Type {
  using type = T;
};

template <class T>
struct dtype_of;
template <>
struct dtype_of<float> {
  static constexpr Dtype value = Dtype::f32;
};
template <>
struct dtype_of<double> {
  static constexpr Dtype value = Dtype::f64;
};
template <>
struct dtype_of<bfloat16> {
  static constexpr Dtype value = Dtype::bf16;
};
template <>
struct dtype_of<float16> {
  static constexpr Dtype value = Dtype::f16;
};
template <>
struct dtype_of<std::int32_t> {
  static constexpr Dtype value = Dtype::i32;
};
template <>
struct dtype_of<std::int64_t> {
  static constexpr Dtype value = Dtype::i64;
};
template <>
struct dtype_of<std::uint8_t> {
  static constexpr Dtype value = Dtype::u8;
};
template <>
struct dtype_of<bool> {
  static constexpr Dtype value = Dtype::boolean;
};
template <class T>
inline constexpr Dtype dtype_of_v = dtype_of<T>::value;

/// The type arithmetic on T is done in: float for the 16-bit floats, T itself otherwise.
template <class T>
struct compute_type {
  using type = T;
};
template <>
struct compute_type<bfloat16> {
  using type = float;
};
template <>
struct compute_type<float16> {
  using type = float;
};
template <class T>
using compute_t = typename compute_type<T>::type;

/// Calls function(Type<T>{}) with the C++ type of `dtype`.
template <class Function>
decltype(auto) visit(Dtype dtype, Function&& function) {
  switch (dtype) {
    case Dtype::f32:
      return function(Type<float>{});
    case Dtype::f64:
      return function(Type<double>{});
    case Dtype::bf16:
      return function(Type<bfloat16>{});
    case Dtype::f16:
      return function(Type<float16>{});
    case Dtype::i32:
      return function(Type<std::int32_t>{});
    case Dtype::i64:
      return function(Type<std::int64_t>{});
    case Dtype::u8:
      return function(Type<std::uint8_t>{});
    case Dtype::boolean:
      return function(Type<bool>{});
  }
  throw DtypeError("unknown dtype");
}

}  // namespace twingrad
