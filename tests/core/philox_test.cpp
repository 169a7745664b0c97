// The generator against its published vectors, and its conversions against exact values.
#include <gtest/gtest.h>
#include <twingrad/philox.h>

#include <cmath>
#include <cstdint>
#include <limits>

namespace twingrad {
namespace {

struct KnownAnswer {
  std::uint64_t counter_low, counter_high, key;
  std::uint32_t expected[4];
};

TEST(Philox, KnownAnswers) {
  // The three vectors of philox4x32-10 that Random123 publishes: all zeros, all ones, digits of pi.
  const KnownAnswer answers[] = {
      {0, 0, 0, {0x6627e8d5U, 0xe169c58dU, 0xbc57ac4cU, 0x9b00dbd8U}},
      {~0ULL, ~0ULL, ~0ULL, {0x408f276dU, 0x41c83b0eU, 0xa20bc7c6U, 0x6d5451fdU}},
      {0x85a308d3243f6a88ULL,
       0x0370734413198a2eULL,
       0x299f31d0a4093822ULL,
       {0xd16cfe09U, 0x94fdccebU, 0x5001e420U, 0x24126ea1U}},
  };
  for (const KnownAnswer& answer : answers) {
    const Philox4 block = philox4x32_10(answer.counter_low, answer.counter_high, answer.key);
    for (int i = 0; i < 4; ++i) {
      EXPECT_EQ(block.word[i], answer.expected[i]) << "word " << i;
    }
  }
}

TEST(Philox, UniformEndsAndSteps) {
  EXPECT_EQ(uniform_float(0), 0.0F);
  EXPECT_EQ(uniform_float(0x100), 0x1p-24F);
  EXPECT_EQ(uniform_float(~0U), 1.0F - 0x1p-24F);
  EXPECT_EQ(uniform_double(0, 0), 0.0);
  EXPECT_EQ(uniform_double(0, 0x800), 0x1p-53);
  EXPECT_EQ(uniform_double(~0U, ~0U), 1.0 - 0x1p-53);
  EXPECT_EQ(open_uniform_double(0, 0), 0x1p-53);
  EXPECT_EQ(open_uniform_double(~0U, ~0U), 1.0 - 0x1p-53);
}

TEST(Philox, NarrowUniformsStayBelowOne) {
  const Philox4 ones{{~0U, ~0U, ~0U, ~0U}};
  EXPECT_EQ(static_cast<float>(uniform_lane<float16>(ones, 3)), 1.0F - 0x1p-11F);
  EXPECT_EQ(static_cast<float>(uniform_lane<bfloat16>(ones, 3)), 1.0F - 0x1p-8F);
  const Philox4 block = random_block(7, 1, 0);
  for (int lane = 0; lane < 4; ++lane) {
    const float wide = uniform_lane<float>(block, lane);
    EXPECT_EQ(static_cast<float>(uniform_lane<float16>(block, lane)), std::floor(wide * 2048.0F) / 2048.0F);
    EXPECT_EQ(static_cast<float>(uniform_lane<bfloat16>(block, lane)), std::floor(wide * 256.0F) / 256.0F);
  }
}

TEST(Philox, InverseNormalMatchesExactQuantiles) {
  // Quantiles of these very doubles, found with 50 digits; around each seam of the three approximations.
  const double exact[][2] = {
      {0x1p-53, -8.20953615160138686},
      {0x1.19799812dea11p-40, -7.03448382530113193},
      {0x1.4f8b588e368f1p-17, -4.26489079392282461},
      {0x1.47ae147ae147bp-7, -2.32634787404084109},
      {0x1.32ca57a786c22p-4, -1.44023826752796366},
      {0x1.339c0ebedfa44p-4, -1.43882539275253998},
      {0x1.3333333333333p-2, -0.524400512708040816},
      {0x1.000000089705fp-1, 2.50662820373871144e-9},
      {0x1.999999999999ap-1, 0.841621233572914364},
      {0x1.d98c7e28240b8p-1, 1.43882539275254037},
      {0x1.d9a6b50b0f27cp-1, 1.44023826752796386},
      {0x1.ff7ced916872bp-1, 3.09023230616781328},
      {0x1.fffffffffffffp-1, 8.20953615160138686},
  };
  for (const auto& [u, x] : exact) {
    EXPECT_LE(std::abs(normal_from_uniform(u) - x), 1e-15 * std::abs(x)) << "u = " << u;
  }
  EXPECT_EQ(normal_from_uniform(0.5), 0.0);
}

TEST(Philox, LogarithmIsWithinTwoUnitsOfTheLibrary) {
  for (std::int64_t i = 0; i < 20000; ++i) {
    const Philox4 block = random_block(11, 0, i);
    const double u = open_uniform_double(block.word[0], block.word[1]) * 0.075;  // what the tails ask for
    const double expected = std::log(u);
    EXPECT_LE(std::abs(detail::natural_log(u) - expected),
              2.0 * std::numeric_limits<double>::epsilon() * std::abs(expected))
        << "u = " << u;
  }
}

TEST(Philox, NormalHasTheMomentsOfANormal) {
  const int n = 200000;
  double sum = 0.0;
  double squares = 0.0;
  double fourths = 0.0;
  for (std::int64_t i = 0; i < n / normal_lanes; ++i) {
    for (int lane = 0; lane < normal_lanes; ++lane) {
      const auto x = normal_lane<double>(random_block(5, 9, i), lane);
      sum += x;
      squares += x * x;
      fourths += x * x * x * x;
    }
  }
  // Five standard errors: the variances of x, x^2 and x^4 are 1, 2 and 96.
  EXPECT_LE(std::abs(sum / n), 5.0 * std::sqrt(1.0 / n));
  EXPECT_LE(std::abs(squares / n - 1.0), 5.0 * std::sqrt(2.0 / n));
  EXPECT_LE(std::abs(fourths / n - 3.0), 5.0 * std::sqrt(96.0 / n));
}

TEST(Philox, StreamsAndSeedsDiffer) {
  const Philox4 a = random_block(1, 0, 0);
  const Philox4 b = random_block(1, 1, 0);
  const Philox4 c = random_block(2, 0, 0);
  EXPECT_NE(permutation_key(a, 0), permutation_key(b, 0));
  EXPECT_NE(permutation_key(a, 0), permutation_key(c, 0));
  EXPECT_NE(permutation_key(a, 0), permutation_key(a, 1));
}

}  // namespace
}  // namespace twingrad
