// The comparator must fail where it should: what passes everything proves nothing.
#include <gtest/gtest.h>
#include <twingrad/check/compare.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

namespace twingrad::check {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

struct Pair {
  std::vector<double> actual;
  std::vector<Tracked> expected;
};

/// Zero-mean numbers in float32 with one rounding predicted, and errors of that size.
Pair correct(std::size_t count) {
  std::mt19937 random(1);
  std::normal_distribution<double> draw;
  Pair pair;
  for (std::size_t i = 0; i < count; ++i) {
    Tracked x;
    x.value = draw(random);
    const double step = 0x1p-24 * std::abs(x.value);
    x.variance = step * step;
    x.worst = step;
    pair.actual.push_back(static_cast<double>(static_cast<float>(x.value)));
    pair.expected.push_back(x);
  }
  return pair;
}

Comparison compared(const Pair& pair) {
  return compare(pair.actual, pair.expected, Dtype::f32, {.lambda = lambda_for(1000000, 1e-6)});
}

TEST(CompareTest, PassesRoundedNumbers) {
  const Comparison result = compared(correct(10000));
  EXPECT_EQ(result.finding, Finding::none) << to_string(result);
  EXPECT_EQ(result.checked, 10000);
  EXPECT_GT(result.rms_ratio, 0.3);
  EXPECT_LT(result.rms_ratio, 1.0);
}

TEST(CompareTest, FailsOnNaN) {
  Pair pair = correct(1000);
  pair.actual[517] = nan;
  const Comparison result = compared(pair);
  EXPECT_EQ(result.finding, Finding::not_finite);
  EXPECT_EQ(result.worst_index, 517);
  EXPECT_FALSE(result.passes());
}

TEST(CompareTest, FailsOnInfinityAndOnAMissingOne) {
  Pair pair = correct(100);
  pair.actual[3] = infinity;
  EXPECT_EQ(compared(pair).finding, Finding::not_finite);
  pair = correct(100);
  pair.expected[3].value = -infinity;
  EXPECT_EQ(compared(pair).finding, Finding::not_finite);
  pair.actual[3] = -infinity;
  EXPECT_EQ(compared(pair).finding, Finding::none);
}

TEST(CompareTest, ABoundThatIsNaNFails) {
  Pair pair = correct(100);
  pair.expected[3].variance = nan;
  pair.expected[3].worst = nan;
  pair.actual[3] += 1;
  EXPECT_FALSE(compared(pair).passes());
}

TEST(CompareTest, FindsOneWrongElementInAMillion) {
  Pair pair = correct(1000000);
  EXPECT_EQ(compared(pair).finding, Finding::none);
  pair.actual[777777] += 1e-5;
  const Comparison result = compared(pair);
  EXPECT_EQ(result.finding, Finding::element);
  EXPECT_EQ(result.worst_index, 777777);
  EXPECT_EQ(result.outside, 1);
  EXPECT_EQ(result.outside_mod_32[777777 % 32], 1);
  EXPECT_EQ(result.outside_mod_128[777777 % 128], 1);
}

TEST(CompareTest, FindsSwappedTensors) {
  Pair pair = correct(1000);
  std::rotate(pair.actual.begin(), pair.actual.begin() + 500, pair.actual.end());
  EXPECT_EQ(compared(pair).finding, Finding::element);
}

TEST(CompareTest, FindsZerosInPlaceOfZeroMeanNumbers) {
  Pair pair = correct(1000);
  std::fill(pair.actual.begin(), pair.actual.end(), 0.0);
  EXPECT_EQ(compared(pair).finding, Finding::element);
}

TEST(CompareTest, FailsOnAnotherSize) {
  Pair pair = correct(100);
  pair.actual.pop_back();
  EXPECT_EQ(compared(pair).finding, Finding::size);
  EXPECT_FALSE(compared(pair).passes());
}

TEST(CompareTest, FailsWhenNothingIsChecked) {
  EXPECT_EQ(compared({}).finding, Finding::nothing_checked);
  Pair pair = correct(3);
  for (Tracked& x : pair.expected) {
    x.overflow = true;
  }
  const Comparison result = compared(pair);
  EXPECT_EQ(result.finding, Finding::nothing_checked);
  EXPECT_EQ(result.skipped, 3);
  EXPECT_FALSE(result.passes());
}

TEST(CompareTest, ErrorsThatAreTogetherTooLargeAreATileFinding) {
  Pair pair = correct(1000);
  for (std::size_t i = 0; i < pair.actual.size(); ++i) {
    // Each inside its own bound, but four deviations on average are no roundings.
    pair.expected[i].worst *= 16;
    pair.actual[i] = pair.expected[i].value + 4 * pair.expected[i].sigma();
  }
  EXPECT_EQ(compared(pair).finding, Finding::tile);
  EXPECT_FALSE(compared(pair).passes());
}

/// `count` elements that are off by `deviations`, the first `distinct` of them unlike each other.
Pair off_by(double deviations, std::size_t count, std::size_t distinct) {
  Pair pair = correct(distinct);
  for (std::size_t i = 0; i < distinct; ++i) {
    pair.expected[i].worst *= 16;
    pair.actual[i] = pair.expected[i].value + deviations * pair.expected[i].sigma();
  }
  for (std::size_t i = distinct; i < count; ++i) {
    pair.expected.push_back(pair.expected[i % distinct]);
    pair.actual.push_back(pair.actual[i % distinct]);
  }
  return pair;
}

TEST(CompareTest, ElementsThatRoundAlikeAreOneSampleOfTheTileRule) {
  // One rounding may be 3.4 deviations off, however often it comes; twelve that are so far off by chance do not occur.
  for (const std::size_t distinct : {1U, 2U, 5U}) {
    EXPECT_EQ(compared(off_by(3.4, 5, distinct)).finding, Finding::none) << distinct;
    EXPECT_EQ(compared(off_by(3.4, 1000, distinct)).finding, Finding::none) << distinct;
  }
  EXPECT_EQ(compared(off_by(3.4, 12, 12)).finding, Finding::tile);
  EXPECT_EQ(compared(off_by(3.4, 1000, 12)).finding, Finding::tile);
  // Five of them may not all be five deviations off.
  EXPECT_EQ(compared(off_by(5, 5, 5)).finding, Finding::tile);
  EXPECT_EQ(compared(off_by(5, 5, 1)).finding, Finding::none);
}

TEST(CompareTest, ErrorsBetweenTheBoundsWarn) {
  Pair pair = correct(1000);
  pair.expected[5].worst *= 1000;
  pair.actual[5] = pair.expected[5].value + 20 * pair.expected[5].sigma();
  const Comparison result = compared(pair);
  EXPECT_EQ(result.finding, Finding::drift);
  EXPECT_TRUE(result.passes());
}

TEST(CompareTest, ExactResultsMustBeEqual) {
  Pair pair;
  pair.expected.assign(3, Tracked(7));
  pair.actual = {7, 7, 7.0000005};
  EXPECT_EQ(compared(pair).finding, Finding::element);
  pair.actual[2] = 7;
  EXPECT_EQ(compared(pair).finding, Finding::none);
}

TEST(CompareTest, TheEdgeOfTheRangeMayRoundEitherWay) {
  Pair pair;
  Tracked x;
  x.value = 65519;  // float16: below the middle of 65504 and 65536
  x.worst = 32;
  x.variance = 32 * 32;
  pair.expected = {x};
  for (const double actual : {65504.0, infinity}) {
    pair.actual = {actual};
    EXPECT_TRUE(compare(pair.actual, pair.expected, Dtype::f16).passes()) << actual;
  }
  pair.actual = {-infinity};
  EXPECT_FALSE(compare(pair.actual, pair.expected, Dtype::f16).passes());
}

TEST(CompareTest, BitsTellZerosApart) {
  EXPECT_TRUE(compare_bits(std::vector{0.0, nan}, std::vector{0.0, nan}, Dtype::f32).passes());
  EXPECT_FALSE(compare_bits(std::vector{-0.0}, std::vector{0.0}, Dtype::f32).passes());
  EXPECT_FALSE(compare_bits(std::vector<double>{}, std::vector<double>{}, Dtype::f32).passes());
}

TEST(CompareTest, LambdaIsTheBudgetsQuantile) {
  EXPECT_NEAR(lambda_for(1000000, 1e-6), 7.5, 0.05);
  EXPECT_GT(lambda_for(1000, 1e-9), lambda_for(1000, 1e-6));
}

}  // namespace
}  // namespace twingrad::check
