#include "test_files.h"

#include <twingrad/data/synthetic.h>
#include <twingrad/error.h>

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

namespace twingrad::data {
namespace {

using test::expect_error;

using Numbers = std::vector<double>;
using Labels = std::vector<std::int64_t>;

Numbers features(const Dataset& dataset) {
  return std::get<Numbers>(dataset.features);
}

TEST(Moons, LieOnTwoHalfCirclesWithoutNoise) {
  const Dataset set = moons({.rows = 6, .noise = 0.0});
  EXPECT_NO_THROW(set.check());
  EXPECT_EQ(set.labels, (Labels{0, 1, 0, 1, 0, 1}));
  EXPECT_EQ(set.class_names, (std::vector<std::string>{"upper", "lower"}));
  const Numbers expected = {1, 0, 0, 0.5, 0, 1, 1, -0.5, -1, 0, 2, 0.5};
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(features(set)[i], expected[i], 2 * std::numeric_limits<double>::epsilon()) << i;
  }
}

TEST(Moons, SpreadByTheNoiseAskedFor) {
  const std::int64_t rows = 20'000;
  const Numbers exact = features(moons({.rows = rows, .noise = 0.0}));
  const Numbers noisy = features(moons({.rows = rows, .noise = 0.2, .seed = 5}));
  double sum = 0;
  double squares = 0;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    sum += noisy[i] - exact[i];
    squares += (noisy[i] - exact[i]) * (noisy[i] - exact[i]);
  }
  // 40,000 draws: the mean's standard error is 0.2 / 200 = 0.001, the deviation's 0.2 / sqrt(80,000) = 0.0007.
  EXPECT_NEAR(sum / 40'000, 0.0, 0.005);
  EXPECT_NEAR(std::sqrt(squares / 40'000), 0.2, 0.0035);
}

TEST(Moons, ComeInOddSizes) {
  for (const std::int64_t rows : {1, 2, 3, 31, 33}) {
    const Dataset set = moons({.rows = rows});
    EXPECT_EQ(set.rows, rows);
    EXPECT_NO_THROW(set.check());
  }
}

TEST(Blobs, SurroundOneCentrePerClass) {
  const Dataset set = blobs({.rows = 7, .columns = 3, .classes = 3, .deviation = 0.0, .box = 5.0, .seed = 2});
  EXPECT_NO_THROW(set.check());
  EXPECT_EQ(set.labels, (Labels{0, 1, 2, 0, 1, 2, 0}));
  EXPECT_EQ(set.class_names, (std::vector<std::string>{"0", "1", "2"}));
  for (std::int64_t column = 0; column < 3; ++column) {
    EXPECT_EQ(set.feature(0, column), set.feature(3, column));
    EXPECT_EQ(set.feature(0, column), set.feature(6, column));
    EXPECT_NE(set.feature(0, column), set.feature(1, column));
    EXPECT_LT(std::abs(set.feature(0, column)), 5.0);
  }
  const Dataset spread = blobs({.rows = 7, .columns = 3, .classes = 3, .deviation = 1.0, .box = 5.0, .seed = 2});
  EXPECT_NE(spread.feature(0, 0), spread.feature(3, 0));
}

TEST(LinearRegression, HoldsItsOwnAnswer) {
  const LinearSet set = linear_regression({.rows = 50, .columns = 3, .targets = 2, .seed = 9});
  EXPECT_NO_THROW(set.data.check());
  EXPECT_EQ(set.data.outputs(), 2);
  ASSERT_EQ(set.weight.size(), 6U);
  ASSERT_EQ(set.bias.size(), 2U);
  for (std::int64_t row = 0; row < 50; ++row) {
    for (std::size_t target = 0; target < 2; ++target) {
      const double* const w = set.weight.data() + 3 * target;
      const double y = w[0] * set.data.feature(row, 0) + w[1] * set.data.feature(row, 1) +
                       w[2] * set.data.feature(row, 2) + set.bias[target];
      // Three products and three sums of terms below 20, each rounded to half an ulp.
      EXPECT_NEAR(set.data.targets[static_cast<std::size_t>(row) * 2 + target], y, 1e-14);
    }
  }
  const LinearSet noisy = linear_regression({.rows = 50, .columns = 3, .targets = 2, .noise = 0.5, .seed = 9});
  EXPECT_EQ(noisy.weight, set.weight);
  EXPECT_EQ(features(noisy.data), features(set.data));
  EXPECT_NE(noisy.data.targets, set.data.targets);
}

TEST(Synthetic, DependsOnTheSeedAlone) {
  EXPECT_EQ(features(moons({.seed = 1})), features(moons({.seed = 1})));
  EXPECT_NE(features(moons({.seed = 1})), features(moons({.seed = 2})));
  EXPECT_EQ(features(blobs({.seed = 1})), features(blobs({.seed = 1})));
  EXPECT_NE(features(blobs({.seed = 1})), features(blobs({.seed = 2})));
  EXPECT_EQ(linear_regression({.seed = 1}).data.targets, linear_regression({.seed = 1}).data.targets);
  EXPECT_NE(linear_regression({.seed = 1}).weight, linear_regression({.seed = 2}).weight);
}

TEST(Synthetic, RefusesOptionsOutsideTheirRange) {
  expect_error<ArgumentError>([] { moons({.rows = 0}); }, {"moons", "rows", "0"});
  expect_error<ArgumentError>([] { moons({.noise = -1}); }, {"moons", "noise", "-1"});
  expect_error<ArgumentError>([] { moons({.noise = std::numeric_limits<double>::quiet_NaN()}); }, {"moons", "noise"});
  expect_error<ArgumentError>([] { blobs({.rows = -1}); }, {"blobs", "rows", "-1"});
  expect_error<ArgumentError>([] { blobs({.columns = 0}); }, {"blobs", "columns", "0"});
  expect_error<ArgumentError>([] { blobs({.classes = 0}); }, {"blobs", "classes", "0"});
  expect_error<ArgumentError>([] { blobs({.deviation = -1}); }, {"blobs", "deviation", "-1"});
  expect_error<ArgumentError>([] { blobs({.box = -1}); }, {"blobs", "box", "-1"});
  expect_error<ArgumentError>([] { linear_regression({.rows = 0}); }, {"linear_regression", "rows", "0"});
  expect_error<ArgumentError>([] { linear_regression({.columns = 0}); }, {"linear_regression", "columns", "0"});
  expect_error<ArgumentError>([] { linear_regression({.targets = 0}); }, {"linear_regression", "targets", "0"});
  expect_error<ArgumentError>([] { linear_regression({.noise = -1}); }, {"linear_regression", "noise", "-1"});
}

}  // namespace
}  // namespace twingrad::data
