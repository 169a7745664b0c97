// LayerNorm, RMSNorm and BatchNorm1d against numbers worked out by hand.
#include <gtest/gtest.h>
#include <twingrad/twingrad.h>

#include <cmath>
#include <string>
#include <vector>

#include "tests/devices.h"

namespace twingrad {
namespace {

class NormalizationTest : public tests::DeviceTest {
 protected:
  template <class Layer>
  Layer on_device(Layer layer) const {
    layer.to(f64);
    layer.to(device());
    return layer;
  }
  Tensor doubles(const std::vector<double>& values, const Shape& shape) const {
    return tensor(values, shape, {.dtype = f64, .device = device()});
  }
};
INSTANTIATE_ON_DEVICES(NormalizationTest);

// A handful of roundings of float64.
void expect_close(const Tensor& found, const std::vector<double>& expected) {
  const auto values = found.to_vector<double>();
  ASSERT_EQ(values.size(), expected.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    EXPECT_LE(std::abs(values[i] - expected[i]), 16 * 0x1p-53 * std::max(1.0, std::abs(expected[i]))) << i;
  }
}

TEST_P(NormalizationTest, LayerNormUsesEachRowsMeanAndVariance) {
  nn::LayerNorm norm = on_device(nn::LayerNorm(2, {.eps = 3.0}));
  norm.weight.assign(doubles({1, 10}, {2}));
  norm.bias.assign(doubles({0, 5}, {2}));
  // Row (1, 3): mean 2, variance 1, so (-1, 1) / sqrt(1 + 3); row (4, 4): nothing left.
  expect_close(norm(doubles({1, 3, 4, 4}, {2, 2})), {-0.5, 10, 0, 5});
}

TEST_P(NormalizationTest, RMSNormDividesByTheRootMeanSquare) {
  nn::RMSNorm norm = on_device(nn::RMSNorm(2, {.eps = 11.5}));
  norm.weight.assign(doubles({1, 10}, {2}));
  // Mean square of (3, 4): 12.5; sqrt(12.5 + 11.5) = sqrt(24).
  expect_close(norm(doubles({3, 4}, {1, 2})), {3 / std::sqrt(24.0), 40 / std::sqrt(24.0)});
}

TEST_P(NormalizationTest, BatchNormUsesTheBatchInTrainingMode) {
  nn::BatchNorm1d norm = on_device(nn::BatchNorm1d(2, {.eps = 4.0}));
  norm.weight.assign(doubles({3, 1}, {2}));
  norm.bias.assign(doubles({0, 7}, {2}));
  // Column (1, 3, 5, 7): mean 4, variance 5; column of 2s: mean 2, variance 0.
  expect_close(norm(doubles({1, 2, 3, 2, 5, 2, 7, 2}, {4, 2})), {-3, 7, -1, 7, 1, 7, 3, 7});
}

TEST_P(NormalizationTest, BatchNormBlendsTheUnbiasedVarianceIntoItsRunningOne) {
  nn::BatchNorm1d norm = on_device(nn::BatchNorm1d(2, {.momentum = 0.25}));
  norm(doubles({1, 2, 3, 2, 5, 2, 7, 2}, {4, 2}));
  // Mean (4, 2); sums of squares (20, 0) over n - 1 = 3. Before: 0 and 1.
  expect_close(norm.running_mean, {1.0, 0.5});
  expect_close(norm.running_var, {0.75 + 0.25 * 20 / 3, 0.75});
  // A second batch goes on from there: column (0, 2): mean 1, variance 2; column (6, 6).
  norm(doubles({0, 6, 2, 6}, {2, 2}));
  expect_close(norm.running_mean, {0.75 * 1.0 + 0.25 * 1, 0.75 * 0.5 + 0.25 * 6});
  expect_close(norm.running_var, {0.75 * (0.75 + 0.25 * 20 / 3) + 0.25 * 2, 0.75 * 0.75});
}

TEST_P(NormalizationTest, TwoBatchesBeforeAnyoneLooksCountBoth) {
  nn::BatchNorm1d norm = on_device(nn::BatchNorm1d(1, {.momentum = 0.5}));
  norm(doubles({0, 4}, {2, 1}));
  norm(doubles({8, 12}, {2, 1}));
  expect_close(norm.running_mean, {0.5 * (0.5 * 2) + 0.5 * 10});
  expect_close(norm.running_var, {0.5 * (0.5 * 1 + 0.5 * 8) + 0.5 * 8});
}

TEST_P(NormalizationTest, AnOptimizersStepUpdatesTheRunningStatistics) {
  nn::BatchNorm1d norm = on_device(nn::BatchNorm1d(1, {.momentum = 0.5}));
  optim::SGD sgd(norm.parameters(), {.lr = 0.125});
  sgd.step(gradients(sum(norm(doubles({0, 4}, {2, 1}))), norm.parameters()));
  EXPECT_TRUE(norm.running_mean.evaluated());
  EXPECT_TRUE(norm.running_var.evaluated());
  expect_close(norm.running_mean, {1.0});
  expect_close(norm.running_var, {0.5 + 0.5 * 8});
  expect_close(norm.bias, {-0.25});
}

TEST_P(NormalizationTest, BatchNormUsesRunningStatisticsInEvaluationMode) {
  nn::BatchNorm1d norm = on_device(nn::BatchNorm1d(2, {.eps = 0.0}));
  norm.running_mean.assign(doubles({1, -1}, {2}));
  norm.running_var.assign(doubles({4, 0.25}, {2}));
  norm.eval();
  expect_close(norm(doubles({5, 0}, {1, 2})), {2, 2});
  expect_close(norm.running_mean, {1, -1});
  expect_close(norm.running_var, {4, 0.25});
}

TEST_P(NormalizationTest, BatchNormsGradientGoesThroughTheStatistics) {
  nn::BatchNorm1d norm = on_device(nn::BatchNorm1d(1, {.eps = 0.0}));
  const Tensor x = doubles({1, 3, 5, 7}, {4, 1});
  Tensor leaf = x.detach();
  leaf.requires_grad(true);
  // With z = (x - 4) / sqrt(5) and upstream g: dx = (g - mean(g) - z * mean(g * z)) / sqrt(5). Here g = (1, 0, 0, 0),
  // z_1 = -3 / sqrt(5), so g * z has the mean z_1 / 4.
  const Tensor first = gradients(sum(slice(norm(leaf), 0, 0, 1)), {leaf})[0];
  std::vector<double> expected;
  const double root = std::sqrt(5.0);
  for (int i = 0; i < 4; ++i) {
    const double z = (2 * i - 3) / root;
    expected.push_back(((i == 0 ? 1.0 : 0.0) - 0.25 - z * (-3 / root) / 4) / root);
  }
  expect_close(first, expected);
}

TEST_P(NormalizationTest, ABatchWithoutVarianceIsRefusedInTrainingMode) {
  nn::BatchNorm1d norm = on_device(nn::BatchNorm1d(3));
  for (const Shape& shape : {Shape{1, 3}, Shape{0, 3}, Shape{3}}) {
    try {
      norm(ones(shape, {.dtype = f64, .device = device()}));
      ADD_FAILURE() << "a batch of shape " << to_string(shape) << " was taken";
    } catch (const ShapeError& error) {
      EXPECT_NE(std::string(error.what()).find(to_string(shape)), std::string::npos) << error.what();
    }
  }
  EXPECT_THROW(norm(ones({4, 2}, {.dtype = f64, .device = device()})), ShapeError);
  expect_close(norm.running_mean, {0, 0, 0});
  norm.eval();
  EXPECT_NO_THROW(norm(ones({1, 3}, {.dtype = f64, .device = device()})).eval());
}

}  // namespace
}  // namespace twingrad
