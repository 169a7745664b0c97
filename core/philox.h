// Random numbers that are the same bits on every device: a counter-based generator, the conversions from its words to
// numbers, and the rule which element of a tensor takes which words. The kernels of Family::random on each backend
// are loops around these functions, so initial weights, shuffles and dropout masks do not depend on the device.
//
//   const Philox4 block = random_block(seed, stream, e / uniform_lanes<float>);
//   out[e] = uniform_lane<float>(block, static_cast<int>(e % uniform_lanes<float>));
//
// Only +, -, *, / and sqrt of IEEE doubles are used, each rounded on its own: whoever includes this compiles without
// contraction (-ffp-contract=off, --fmad=false).
#pragma once

#include <twingrad/annotations.h>
#include <twingrad/dtype.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <type_traits>

namespace twingrad {

/// One block of four random words.
struct Philox4 {
  std::uint32_t word[4];
};

/// Philox4x32 with 10 rounds (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", 2011).
/// The counter's words are {low half, high half of counter_low, low half, high half of counter_high}; the key's are
/// its low and high half.
TWINGRAD_HOST_DEVICE inline Philox4 philox4x32_10(std::uint64_t counter_low, std::uint64_t counter_high,
                                                  std::uint64_t key) {
  auto x0 = static_cast<std::uint32_t>(counter_low);
  auto x1 = static_cast<std::uint32_t>(counter_low >> 32);
  auto x2 = static_cast<std::uint32_t>(counter_high);
  auto x3 = static_cast<std::uint32_t>(counter_high >> 32);
  auto k0 = static_cast<std::uint32_t>(key);
  auto k1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = std::uint64_t{0xD2511F53U} * x0;
    const std::uint64_t product1 = std::uint64_t{0xCD9E8D57U} * x2;
    x0 = static_cast<std::uint32_t>(product1 >> 32) ^ x1 ^ k0;
    x1 = static_cast<std::uint32_t>(product1);
    x2 = static_cast<std::uint32_t>(product0 >> 32) ^ x3 ^ k1;
    x3 = static_cast<std::uint32_t>(product0);
    k0 += 0x9E3779B9U;  // the golden ratio, and sqrt(3) - 1, in 32 bits
    k1 += 0xBB67AE85U;
  }
  return Philox4{{x0, x1, x2, x3}};
}

/// In [0, 1), a multiple of 2^-24: the upper 24 bits of the word.
TWINGRAD_HOST_DEVICE inline float uniform_float(std::uint32_t word) {
  return static_cast<float>(word >> 8) * 5.9604644775390625e-8F;  // 2^-24
}

/// In [0, 1), a multiple of 2^-53: the upper 53 bits of high and low side by side.
TWINGRAD_HOST_DEVICE inline double uniform_double(std::uint32_t high, std::uint32_t low) {
  const std::uint64_t bits = ((std::uint64_t{high} << 32) | low) >> 11;
  return static_cast<double>(bits) * 1.1102230246251565404e-16;  // 2^-53
}

/// In (0, 1), never an end: (upper 52 bits + 0.5) * 2^-52, which is exact. A 53rd bit would round the largest to 1.
TWINGRAD_HOST_DEVICE inline double open_uniform_double(std::uint32_t high, std::uint32_t low) {
  const std::uint64_t bits = ((std::uint64_t{high} << 32) | low) >> 12;
  const double centred = static_cast<double>(bits) + 0.5;
  return centred * 2.2204460492503130808e-16;  // 2^-52
}

namespace detail {

/// c0 + x (c1 + x (c2 + ...)), each step rounded on its own.
TWINGRAD_HOST_DEVICE inline double horner(double, double c0) {
  return c0;
}
template <class... Rest>
TWINGRAD_HOST_DEVICE inline double horner(double x, double c0, Rest... rest) {
  const double product = x * horner(x, rest...);
  const double sum = c0 + product;
  return sum;
}

/// Natural logarithm of a normal, positive double, within about one unit in the last place away from 1.
/// x = 2^e m with m in [sqrt(1/2), sqrt(2)); log m = 2 artanh(s) with s = (m - 1) / (m + 1), |s| < 0.172, by its
/// Taylor series: the first term left out is below 2^-56 of the sum.
TWINGRAD_HOST_DEVICE inline double natural_log(double x) {
  const auto bits = std::bit_cast<std::uint64_t>(x);
  auto exponent = static_cast<double>(static_cast<std::int64_t>(bits >> 52) - 1023);
  double m = std::bit_cast<double>((bits & 0x000fffffffffffffULL) | 0x3ff0000000000000ULL);
  if (m > 1.4142135623730951) {
    m = m * 0.5;
    exponent = exponent + 1.0;
  }
  const double s = (m - 1.0) / (m + 1.0);
  const double square = s * s;
  const double series = horner(square, 1.0 / 3.0, 1.0 / 5.0, 1.0 / 7.0, 1.0 / 9.0, 1.0 / 11.0, 1.0 / 13.0, 1.0 / 15.0,
                               1.0 / 17.0, 1.0 / 19.0, 1.0 / 21.0, 1.0 / 23.0);
  const double twice = s + s;
  const double curved = twice * square;
  const double tail = curved * series;
  // log 2 in two parts; the upper one has 32 bits, so its product with the exponent is exact.
  const double whole = exponent * 0x1.62e42feep-1;
  const double rest = exponent * 0x1.a39ef35793c76p-33;
  const double small = tail + rest;
  const double mantissa = twice + small;
  return whole + mantissa;
}

}  // namespace detail

/// The standard normal's inverse distribution function of u in (0, 1): Wichura, "Algorithm AS 241: the percentage
/// points of the normal distribution", 1988, routine PPND16. Relative error about 1e-15.
TWINGRAD_HOST_DEVICE inline double normal_from_uniform(double u) {
  using detail::horner;
  const double q = u - 0.5;
  if (q >= -0.425 && q <= 0.425) {
    const double square = q * q;
    const double r = 0.180625 - square;
    const double numerator =
        horner(r, 3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
               4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3);
    const double denominator =
        horner(r, 1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
               2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4, 5.2264952788528545610e3);
    const double scaled = q * numerator;
    return scaled / denominator;
  }
  const double tail = q < 0.0 ? u : 1.0 - u;
  double r = std::sqrt(-detail::natural_log(tail));
  double numerator = 0.0;
  double denominator = 0.0;
  if (r <= 5.0) {
    r = r - 1.6;
    numerator = horner(r, 1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0,
                       3.64784832476320460504e0, 1.27045825245236838258e0, 2.41780725177450611770e-1,
                       2.27238449892691845833e-2, 7.74545014278341407640e-4);
    denominator = horner(r, 1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
                         1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4,
                         1.05075007164441684324e-9);
  } else {
    r = r - 5.0;
    numerator = horner(r, 6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0,
                       2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
                       2.71155556874348757815e-5, 2.01033439929228813265e-7);
    denominator = horner(r, 1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
                         7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7,
                         2.04426310338993978564e-15);
  }
  const double magnitude = numerator / denominator;
  return q < 0.0 ? -magnitude : magnitude;
}

// Which element takes which words. Element e of a tensor lies in block e / lanes, at lane e % lanes. The block's
// counter is {block's index, stream} and its key is the seed, so any element can be had alone, in any order.

/// Block number `index` of a {seed, stream} pair.
TWINGRAD_HOST_DEVICE inline Philox4 random_block(std::int64_t seed, std::int64_t stream, std::int64_t index) {
  return philox4x32_10(static_cast<std::uint64_t>(index), static_cast<std::uint64_t>(stream),
                       static_cast<std::uint64_t>(seed));
}

/// Random::uniform: elements per block. A float64 takes two words, the others take one.
template <class T>
inline constexpr int uniform_lanes = std::is_same_v<T, double> ? 2 : 4;
/// Random::normal: elements per block, the same for all dtypes.
inline constexpr int normal_lanes = 2;
/// Random::permutation: sort keys per block.
inline constexpr int permutation_lanes = 2;

/// Random::uniform of one lane: in [0, 1), a multiple of 2^-53 (float64), 2^-24 (float32), 2^-11 (float16) or
/// 2^-8 (bfloat16). The narrow ones keep the word's upper bits, as rounding would give 1.
template <class T>
TWINGRAD_HOST_DEVICE inline T uniform_lane(const Philox4& block, int lane) {
  if constexpr (std::is_same_v<T, double>) {
    return uniform_double(block.word[2 * lane], block.word[2 * lane + 1]);
  } else if constexpr (std::is_same_v<T, float16>) {
    return float16(static_cast<float>(block.word[lane] >> 21) * 4.8828125e-4F);  // 2^-11
  } else if constexpr (std::is_same_v<T, bfloat16>) {
    return bfloat16(static_cast<float>(block.word[lane] >> 24) * 3.90625e-3F);  // 2^-8
  } else {
    static_assert(std::is_same_v<T, float>);
    return uniform_float(block.word[lane]);
  }
}

/// Random::normal of one lane, rounded to T (the 16-bit floats by way of float32).
template <class T>
TWINGRAD_HOST_DEVICE inline T normal_lane(const Philox4& block, int lane) {
  const double value = normal_from_uniform(open_uniform_double(block.word[2 * lane], block.word[2 * lane + 1]));
  return static_cast<T>(static_cast<compute_t<T>>(value));
}

/// Random::permutation: the 64-bit sort key of one lane. The permutation lists 0..n-1 by (key, index).
TWINGRAD_HOST_DEVICE inline std::uint64_t permutation_key(const Philox4& block, int lane) {
  return (std::uint64_t{block.word[2 * lane]} << 32) | block.word[2 * lane + 1];
}

}  // namespace twingrad
