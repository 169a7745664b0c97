// Mathematical functions of float32 that need float64 inside: sin and cos, because x - n pi loses what float32 has, and
// pow, because y log(x) does. Like those of lane_math.h they have no branches or calls and give the same bits on every
// processor. sin and cos come within a few thousandths of the half unit in the last place of a correctly rounded
// result, pow within a few hundredths; error_model.cpp states the largest errors.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "cpu/lane_math.h"

namespace twingrad::cpu::lane_math {

TWINGRAD_LANE std::uint64_t bits_of(double x) {
  return std::bit_cast<std::uint64_t>(x);
}
TWINGRAD_LANE double from_bits(std::uint64_t bits) {
  return std::bit_cast<double>(bits);
}

/// As `rounder`, for float64.
inline constexpr double wide_rounder = 0x1.8p52;

/// sin(pi (n + r / pi)) for the whole number that rounding left in the low bits of `shifted`, |r| <= pi / 2.
TWINGRAD_LANE double sine_of_rest(double r, std::uint64_t parity) {
  const double z = r * r;
  const double sine = r * (1.0 + z * polynomial(z, -0x1.555555475217fp-3, 0x1.11110c43a549dp-7, -0x1.a017d77ca5eacp-13,
                                                0x1.7170381200684p-19, -0x1.9a62089a68548p-26));
  return from_bits(bits_of(sine) ^ (parity << 63));
}

/// Below it, x - n pi is exact enough with pi in two parts.
inline constexpr float near_limit = 0x1p20F;

/// sin(a + quarter pi) for 0 <= a < near_limit; quarter = 0 or 1/2: sine or cosine.
TWINGRAD_LANE double near_sine(double a, double quarter) {
  constexpr double pi_high = 0x1.921fb544p+1;  // 33 bits, so that its products with n are exact
  constexpr double pi_low = 0x1.0b4611a626331p-33;
  constexpr double inverse_pi = 0x1.45f306dc9c883p-2;
  // a + quarter pi = n pi + r
  const double shifted = a * inverse_pi + quarter + wide_rounder;
  const double n = (shifted - wide_rounder) - quarter;
  return sine_of_rest((a - n * pi_high) - n * pi_low, bits_of(shifted));
}

/// For every exponent of a float from near_limit on: the bits of 2^exponent / pi with weights from 1 downwards, the
/// others being multiples of 2, in three parts. A float's 24 bits times `high` or `middle` is exact.
struct InverseOfPi {
  static constexpr int first = 147;  ///< biased exponent of near_limit
  static constexpr int count = 255 - first;
  std::array<double, count> high{}, middle{}, low{};
};
constexpr InverseOfPi inverse_of_pi() {
  // 1 / pi = 0.0101000101111100110..., cut off after 320 bits.
  constexpr std::array<std::uint64_t, 5> words{0x517cc1b727220a94U, 0xfe13abe8fa9a6ee0U, 0x6db14acc9e21c820U,
                                               0xff28b1d5ef5de2b0U, 0xdb92371d2126e970U};
  const auto window = [&](int from, int length, double weight) {  // bit 1 has weight 1/2
    double sum = 0;
    for (int i = from; i < from + length; ++i, weight /= 2) {
      const int at = i - 1;
      if (at >= 0 && ((words.at(static_cast<std::size_t>(at / 64)) >> (63 - at % 64)) & 1U) != 0) {
        sum += weight;
      }
    }
    return sum;
  };
  InverseOfPi table;
  for (int i = 0; i < InverseOfPi::count; ++i) {
    const auto at = static_cast<std::size_t>(i);
    const int exponent = InverseOfPi::first + i - 150;  // of a float's last bit
    table.high.at(at) = window(exponent, 29, 1.0);
    table.middle.at(at) = window(exponent + 29, 29, 0x1p-29);
    table.low.at(at) = window(exponent + 58, 53, 0x1p-58);
  }
  return table;
}
inline constexpr InverseOfPi inverse_of_pi_table = inverse_of_pi();

/// As near_sine(), for near_limit <= a: Payne and Hanek's reduction (1983).
TWINGRAD_LANE double far_sine(float a, double quarter) {
  constexpr double pi = 0x1.921fb54442d18p+1;
  const auto exponent = static_cast<std::int32_t>(bits_of(a) >> 23) - InverseOfPi::first;
  const std::int32_t above = exponent < 0 ? 0 : exponent;
  const std::int32_t row = above >= InverseOfPi::count ? InverseOfPi::count - 1 : above;
  const auto significand = static_cast<double>(static_cast<std::int32_t>((bits_of(a) & 0x7fffffU) | 0x800000U));
  const double high = significand * inverse_of_pi_table.high[static_cast<std::size_t>(row)];
  const double middle = significand * inverse_of_pi_table.middle[static_cast<std::size_t>(row)];
  const double low = significand * inverse_of_pi_table.low[static_cast<std::size_t>(row)];
  const double shifted = high + wide_rounder;
  const double rest = high - (shifted - wide_rounder);
  const double shifted_rest = (rest + middle) + quarter + wide_rounder;
  const double n = (shifted_rest - wide_rounder) - quarter;
  return sine_of_rest((((rest - n) + middle) + low) * pi, bits_of(shifted) ^ bits_of(shifted_rest));
}

/// sin(a + quarter pi) for finite a >= 0, rounded. Any: all of them; otherwise a < near_limit.
template <bool Any>
TWINGRAD_LANE float sine(float a, double quarter) {
  double result = near_sine(static_cast<double>(a), quarter);
  if constexpr (Any) {
    const double far = far_sine(a, quarter);
    result = a < near_limit ? result : far;
  }
  return static_cast<float>(result);
}

/// Sine and cosine of radians. Any: all floats; otherwise |x| < near_limit or NaN, in a third of the time. Both give
/// the same bits there.
template <bool Any>
TWINGRAD_LANE float sin(float x) {
  const float a = magnitude(x);
  const float odd = from_bits(bits_of(sine<Any>(a, 0.0)) ^ (bits_of(x) & 0x80000000U));
  return a < infinity ? odd : not_a_number;
}
template <bool Any>
TWINGRAD_LANE float cos(float x) {
  const float a = magnitude(x);
  const float result = sine<Any>(a, 0.5);
  return a < infinity ? result : not_a_number;
}

/// log2(a) of a positive float.
TWINGRAD_LANE double wide_log2(double a) {
  constexpr std::uint64_t one = 0x3ff0000000000000U;
  constexpr std::uint64_t half_root = 0x3fe6a09e667f3bcdU;
  // a = 2^k m, sqrt(1/2) <= m < sqrt(2); k is still biased by 1023.
  const std::uint64_t biased = (bits_of(a) - half_root + one) >> 52;
  const double m = from_bits(bits_of(a) - (biased << 52) + one);
  const double k = from_bits(biased | 0x4330000000000000U) - (0x1p52 + 1023.0);
  const double s = (m - 1.0) / (m + 1.0);
  return k + s * polynomial(s * s, 0x1.71547652b8250p+1, 0x1.ec709dc53da51p-1, 0x1.2776c291f4beap-1,
                            0x1.a61a2fb8f8b03p-2, 0x1.479532d6a560bp-2, 0x1.21b2beaed684bp-2);
}

/// x^y, with the special cases of C's pow.
TWINGRAD_LANE float pow(float x, float y) {
  const float a = magnitude(x);
  const float size = magnitude(y);
  const double finite_log = wide_log2(static_cast<double>(a));
  const double beyond = a == 0.0F ? -static_cast<double>(infinity) : static_cast<double>(a);  // infinity, NaN
  const double logarithm = (a > 0.0F) & (a < infinity) ? finite_log : beyond;
  const double t = static_cast<double>(y) * logarithm;
  const double above = t < -200.0 ? -200.0 : t;
  const double inside = above > 200.0 ? 200.0 : above;
  const double shifted = inside + wide_rounder;
  const double g = inside - (shifted - wide_rounder);
  const double fraction =
      polynomial(g, 0x1.000000026248dp+0, 0x1.62e430c82aad2p-1, 0x1.ebfbdadb207c7p-3, 0x1.c6aed45fee7bep-5,
                 0x1.3b2dbc5eedd30p-7, 0x1.5f4597d9ef0c9p-10, 0x1.41d313b4e97b3p-13);
  // Rounding to float32 gives the infinity, the subnormal or the 0 that it is.
  const float power = static_cast<float>(from_bits(bits_of(fraction) + (bits_of(shifted) << 52)));

  // What depends on y alone are bits, not truth values: those of a whole loop GCC does not vectorise.
  const auto small = static_cast<double>(size < 0x1p24F ? y : 0.0F);  // larger ones are even
  const double shifted_y = small + wide_rounder;
  const std::uint32_t whole = shifted_y - wide_rounder == small ? 0xffffffffU : 0U;
  const auto odd_sign = static_cast<std::uint32_t>(bits_of(shifted_y) << 31) & 0x80000000U & whole;
  const std::uint32_t unless_whole = bits_of(not_a_number) & ~whole;
  const std::uint32_t finite_bits = a < infinity ? unless_whole : 0U;
  const std::uint32_t undefined_bits = x < 0.0F ? finite_bits : 0U;
  const float in_general = from_bits(bits_of(power) | (bits_of(x) & odd_sign) | undefined_bits);
  const float of_infinity = size == infinity ? 1.0F : in_general;
  const float of_minus_1 = x == -1.0F ? of_infinity : in_general;
  const float of_1 = x == 1.0F ? 1.0F : of_minus_1;
  return y == 0.0F ? 1.0F : of_1;
}

}  // namespace twingrad::cpu::lane_math
