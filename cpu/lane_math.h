// Mathematical functions of float32 without branches, calls or tables, so that a loop over them is vectorised for
// whatever registers the processor has: exp, expm1, log, log1p, tanh and erf, computed in float32. lane_wide.h has
// those that need float64 inside. Loops use them through the type of lane.h, or directly (rows.cpp).
//
//   for (std::int64_t i = 0; i < n; ++i) {
//     y[i] = lane_math::exp(x[i]);   // one vector at a time
//   }
//
// All of IEEE float32 is taken: subnormal numbers in and out, infinities, NaN, signed zeros. Products and sums are
// rounded one by one, never fused, although fused ones would save a third of the instructions: so every processor, with
// or without FMA and however wide its registers are, gives the same bits. The largest errors, over all 2^32 floats
// against float64, are stated in error_model.cpp.
//
// The polynomials are minimax in the error of the result, fitted by Remez' exchange with 40 digits, the coefficients
// rounded to float32 afterwards. Constants cut in two (a high part with few bits, so that its products are exact) are
// Cody and Waite's (1980).
#pragma once

#include <bit>
#include <cstdint>
#include <limits>

namespace twingrad::cpu::lane_math {

#define TWINGRAD_LANE [[gnu::always_inline]] inline

TWINGRAD_LANE std::uint32_t bits_of(float x) {
  return std::bit_cast<std::uint32_t>(x);
}
TWINGRAD_LANE float from_bits(std::uint32_t bits) {
  return std::bit_cast<float>(bits);
}
TWINGRAD_LANE float magnitude(float x) {
  return from_bits(bits_of(x) & 0x7fffffffU);
}
TWINGRAD_LANE float with_sign_of(float size, float sign) {
  return from_bits(bits_of(size) | (bits_of(sign) & 0x80000000U));
}

/// 2^n for -126 <= n <= 127.
TWINGRAD_LANE float power_of_2(std::int32_t n) {
  return from_bits((static_cast<std::uint32_t>(n) + 127U) << 23);
}

/// c0 + x (c1 + x (c2 + ...)), by Horner.
template <class T>
TWINGRAD_LANE T horner(T, T c0) {
  return c0;
}
template <class T, class... Rest>
TWINGRAD_LANE T horner(T x, T c0, Rest... rest) {
  return c0 + x * horner(x, rest...);
}

template <class T>
TWINGRAD_LANE T every_second(T, T c0) {
  return c0;
}
template <class T>
TWINGRAD_LANE T every_second(T, T c0, T) {
  return c0;
}
template <class T, class... Rest>
TWINGRAD_LANE T every_second(T square, T c0, T, Rest... rest) {
  return c0 + square * every_second(square, rest...);
}
/// The same from its even and its odd powers, each by Horner: half as many steps that wait for each other, which is
/// what limits a loop of long functions.
template <class T, class... Rest>
TWINGRAD_LANE T polynomial(T x, T c0, T c1, Rest... rest) {
  const T square = x * x;
  return every_second(square, c0, c1, rest...) + x * every_second(square, c1, rest...);
}

inline constexpr float infinity = std::numeric_limits<float>::infinity();
inline constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
inline constexpr float smallest_normal = 0x1p-126F;
/// Added to a smaller number it rounds that to a whole one, which then lies in the low bits of the sum.
inline constexpr float rounder = 0x1.8p23F;
inline constexpr float log2_e = 0x1.715476p+0F;
inline constexpr float ln2_high = 0x1.62e4p-1F;
inline constexpr float ln2_low = 0x1.7f7d1cp-20F;
inline constexpr float half_root_2 = 0x1.6a09e6p-1F;

/// x = n ln 2 + rest, |rest| <= ln 2 / 2, for |x| < 120.
struct Reduced {
  float rest;
  std::int32_t n;
};
TWINGRAD_LANE Reduced reduce_exponent(float x) {
  const float shifted = x * log2_e + rounder;
  const float n = shifted - rounder;
  return {(x - n * ln2_high) - n * ln2_low, static_cast<std::int32_t>(bits_of(shifted) - bits_of(rounder))};
}

/// e^r for |r| <= ln 2 / 2.
TWINGRAD_LANE float exp_of_rest(float r) {
  return 1.0F +
         (r + r * r * polynomial(r, 0x1.fffffcp-2F, 0x1.555490p-3F, 0x1.5558f6p-5F, 0x1.123a8ep-7F, 0x1.6a2318p-10F));
}

/// e^x for -87 < x < 88: no subnormal result, no overflow.
TWINGRAD_LANE float exp_of_moderate(float x) {
  const Reduced reduced = reduce_exponent(x);
  return exp_of_rest(reduced.rest) * power_of_2(reduced.n);
}

/// e^x
TWINGRAD_LANE float exp(float x) {
  const float above = x < -104.0F ? -104.0F : x;       // rounds to 0
  const float inside = above > 89.0F ? 89.0F : above;  // overflows
  const Reduced reduced = reduce_exponent(inside);
  // In two steps, of which only the second rounds, since 2^n alone may be out of range.
  const std::int32_t half = reduced.n >> 1;
  return exp_of_rest(reduced.rest) * power_of_2(half) * power_of_2(reduced.n - half);
}

/// e^x - 1
TWINGRAD_LANE float expm1(float x) {
  const float above = x < -20.0F ? -20.0F : x;         // rounds to -1
  const float inside = above > 88.8F ? 88.8F : above;  // overflows
  const auto [r, n] = reduce_exponent(inside);
  const float rest =
      r + r * r * polynomial(r, 0.5F, 0x1.555554p-3F, 0x1.5554b0p-5F, 0x1.11118ap-7F, 0x1.6d72c0p-10F, 0x1.a032cep-13F);
  // 2^n rest + (2^n - 1), of the half, since 2^128 is out of range.
  const float half_scale = power_of_2(n - 1);
  const float scaled = 2.0F * (half_scale * rest + (half_scale - 0.5F));
  const float result = n == 0 ? rest : scaled;
  return magnitude(x) < 0x1p-25F ? x : result;  // as x is, a signed zero or subnormal
}

/// k ln 2 + log(1 + f) + low for sqrt(1/2) <= 1 + f <= sqrt(2).
TWINGRAD_LANE float log_of_parts(float k, float f, float low) {
  const float square = f * f;
  const float cubic = square * f *
                      polynomial(f, 0x1.555548p-2F, -0x1.000006p-2F, 0x1.99a4b6p-3F, -0x1.555c4ep-3F, 0x1.233768p-3F,
                                 -0x1.fc2206p-4F, 0x1.e6f066p-4F, -0x1.de3c1ep-4F, 0x1.1457bep-4F);
  const float whole = k * ln2_high;  // exact
  const float sum = whole + f;
  const float lost = (whole - sum) + f;  // exact: |whole| > |f|, or it is 0
  return sum + (lost + (low - (0.5F * square - (cubic + k * ln2_low))));
}

/// log(x); NaN below 0
TWINGRAD_LANE float log(float x) {
  const bool subnormal = x < smallest_normal;
  const std::uint32_t bits = bits_of(subnormal ? x * 0x1p23F : x);
  const std::int32_t k = static_cast<std::int32_t>(bits - bits_of(half_root_2)) >> 23;
  const float f = from_bits(bits - (static_cast<std::uint32_t>(k) << 23)) - 1.0F;
  const float result = log_of_parts(static_cast<float>(k) - (subnormal ? 23.0F : 0.0F), f, 0.0F);
  const float below_infinity = x < infinity ? result : x;  // NaN, too
  return x > 0.0F ? below_infinity : (x == 0.0F ? -infinity : not_a_number);
}

/// log(1 + x); NaN below -1
TWINGRAD_LANE float log1p(float x) {
  const float y = 1.0F + x;
  // 1 + x = 2^k (1 + f), where 1 + f is the sum of a = 2^-k x and b = 2^-k - 1, whose rounding error is kept.
  const std::int32_t k = static_cast<std::int32_t>(bits_of(y) - bits_of(half_root_2)) >> 23;
  const float scale = power_of_2(2 - k);  // 2^-k itself may be subnormal
  const float a = 0.25F * x * scale;
  const float b = 0.25F * scale - 1.0F;
  const float f = a + b;
  const float from_b = f - a;
  const float lost = (a - (f - from_b)) + (b - from_b);
  const float result = log_of_parts(static_cast<float>(k), f, lost - lost * f);
  const float below_infinity = x < infinity ? result : x;  // NaN, too
  const float inside = x > -1.0F ? below_infinity : (x == -1.0F ? -infinity : not_a_number);
  return magnitude(x) < 0x1p-25F ? x : inside;  // as x is, a signed zero or subnormal
}

/// tanh(x)
TWINGRAD_LANE float tanh(float x) {
  const float a = magnitude(x);
  const float square = a * a;
  const float small =
      a + a * square *
              polynomial(square, -0x1.55554ap-2F, 0x1.110d26p-3F, -0x1.b9287ap-5F, 0x1.593d08p-6F, -0x1.9b304ep-8F);
  const float inside = a > 10.0F ? 10.0F : a;  // rounds to 1
  const float large = 1.0F - 2.0F / (exp_of_moderate(2.0F * inside) + 1.0F);
  return with_sign_of(a < 0.55F ? small : large, x);
}

/// erf(x)
TWINGRAD_LANE float erf(float x) {
  const float a = magnitude(x);
  const float small = a + a * polynomial(a * a, 0x1.06eba8p-3F, -0x1.81273ep-2F, 0x1.ce2cf8p-4F, -0x1.b7f90cp-6F,
                                         0x1.5405b0p-8F, -0x1.a3f6fap-11F, 0x1.496a26p-14F);
  const float inside = a > 4.0F ? 4.0F : a;  // rounds to 1
  // The polynomial is -log(1 - erf(a)).
  const float large =
      1.0F - exp_of_moderate(-polynomial(inside, 0x1.70f9f6p-11F, 0x1.2025a4p+0F, 0x1.480ea2p-1F, 0x1.9cd2b0p-4F,
                                         -0x1.530b2ap-6F, 0x1.5bb84ap-9F, -0x1.45fce8p-13F));
  return with_sign_of(a < 1.0F ? small : large, x);
}

}  // namespace twingrad::cpu::lane_math
