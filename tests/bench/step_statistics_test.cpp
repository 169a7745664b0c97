// Order statistics and agreement of the training-step benchmark.
#include <gtest/gtest.h>
#include <twingrad/error.h>

#include <cmath>
#include <limits>

#include "bench/step/compare.h"
#include "bench/step/run_work.h"
#include "bench/step/statistics.h"

namespace {

using namespace stepbench;

TEST(StepStatistics, QuantilesInterpolateBetweenNeighbours) {
  const std::vector<double> values = {4, 1, 3, 2};
  EXPECT_DOUBLE_EQ(quantile(values, 0), 1);
  EXPECT_DOUBLE_EQ(quantile(values, 1), 4);
  EXPECT_DOUBLE_EQ(quantile(values, 0.5), 2.5);
  EXPECT_DOUBLE_EQ(quantile(values, 0.25), 1.75);
  EXPECT_DOUBLE_EQ(quantile({7}, 0.9), 7);
}

TEST(StepStatistics, QuantilesRefuseNothingAndSharesOutsideOne) {
  EXPECT_THROW(quantile({}, 0.5), twingrad::ArgumentError);
  EXPECT_THROW(quantile({1}, 1.5), twingrad::ArgumentError);
  EXPECT_THROW(quantile({1}, std::nan("")), twingrad::ArgumentError);
  EXPECT_THROW(spread({}), twingrad::ArgumentError);
}

TEST(StepStatistics, RatiosArePairedTurnByTurn) {
  // A machine that slows both down by ten leaves their ratio alone.
  EXPECT_EQ(paired_ratios({2, 20, 2}, {1, 10, 1}), (std::vector<double>{2, 2, 2}));
  EXPECT_THROW(paired_ratios({1, 2}, {1}), twingrad::ArgumentError);
}

TEST(StepStatistics, MedianIntervalFollowsTheBinomialDistribution) {
  // Published for n = 10: the second to the ninth value hold the median with 97.9 %, the first to the tenth with 99.8
  // %.
  const std::vector<double> ten = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
  EXPECT_EQ(median_interval(ten, 0.975), (std::pair<double, double>{2, 9}));
  EXPECT_EQ(median_interval(ten, 0.98), (std::pair<double, double>{1, 10}));
  EXPECT_EQ(median_interval(ten, 0.99), (std::pair<double, double>{1, 10}));
  // Too few values for the confidence: all of them.
  EXPECT_EQ(median_interval({3, 1, 2}, 0.99), (std::pair<double, double>{1, 3}));
  EXPECT_EQ(median_interval({5}, 0.99), (std::pair<double, double>{5, 5}));
  EXPECT_THROW(median_interval({}, 0.99), twingrad::ArgumentError);
  EXPECT_THROW(median_interval({1}, 1), twingrad::ArgumentError);
}

TEST(StepAgreement, LossErrorIsRelativeToWhatTrainingMoved) {
  EXPECT_DOUBLE_EQ(loss_error({1.0, 0.75, 0.5625}, {1.0, 0.75, 0.5}), 0.125);
  EXPECT_DOUBLE_EQ(loss_error({1.0, 0.8}, {1.0, 0.8}), 0);
  EXPECT_EQ(loss_error({1.0, std::numeric_limits<double>::quiet_NaN()}, {1.0, 0.8}), INFINITY);
  EXPECT_THROW(loss_error({1.0}, {1.0, 0.8}), twingrad::ArgumentError);
  EXPECT_THROW(loss_error({}, {}), twingrad::ArgumentError);
}

TEST(StepAgreement, OutputErrorTellsFloat32FromTf32AndBfloat16) {
  std::vector<double> exact;
  std::vector<double> float32;
  std::vector<double> tf32;
  for (int i = 1; i <= 64; ++i) {
    const double value = std::sin(i);
    const double sign = i % 2 == 0 ? 1 : -1;
    exact.push_back(value);
    float32.push_back(value * (1 + sign * 8 * float32_roundoff));
    tf32.push_back(value * (1 + sign * tf32_roundoff));
  }
  EXPECT_LT(relative_error(float32, exact), output_error_limits("float32").second);
  EXPECT_GT(relative_error(tf32, exact), output_error_limits("float32").second);
  EXPECT_NEAR(relative_error(tf32, exact), tf32_roundoff, 1e-12);
  EXPECT_THROW(relative_error({1}, {1, 2}), twingrad::ArgumentError);
}

TEST(StepAgreement, LimitsFollowThePrecision) {
  EXPECT_EQ(output_error_limits("float32").first, 0);
  // What passes as one precision does not pass as the other.
  EXPECT_EQ(output_error_limits("bfloat16").first, output_error_limits("float32").second);
  EXPECT_GT(output_error_limits("bfloat16").second, bfloat16_roundoff);
  // TF32 may be float32, where a library takes that for narrow products, but not bfloat16.
  EXPECT_EQ(output_error_limits("tf32").first, 0);
  EXPECT_GT(output_error_limits("tf32").second, tf32_roundoff);
  EXPECT_LT(output_error_limits("tf32").second, bfloat16_roundoff);
  EXPECT_LT(loss_error_limit("float32"), loss_error_limit("tf32"));
  EXPECT_LT(loss_error_limit("tf32"), loss_error_limit("bfloat16"));
  EXPECT_THROW(output_error_limits("float8"), twingrad::ArgumentError);
  EXPECT_THROW(loss_error_limit("float8"), twingrad::ArgumentError);
}

}  // namespace
