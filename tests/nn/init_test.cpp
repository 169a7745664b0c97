// Initialisers: their distributions, their fans and gains, and the same bits on every device.
#include <gtest/gtest.h>
#include <twingrad/twingrad.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "tests/devices.h"

namespace twingrad {
namespace {

using nn::init::Fan;

class InitTest : public tests::DeviceTest {};
INSTANTIATE_ON_DEVICES(InitTest);

TEST_P(InitTest, TheSameBitsOnEveryDevice) {
  const std::vector<std::function<Tensor(TensorOptions)>> makers = {
      [](TensorOptions options) {
        return nn::init::uniform({31, 7}, -0.3, 0.8, {1, 2}, options);
      },
      [](TensorOptions options) {
        return nn::init::normal({31, 7}, 0.1, 2.0, {1, 2}, options);
      },
      [](TensorOptions options) {
        return nn::init::xavier_uniform({31, 7}, {1, 2}, 1.5, options);
      },
      [](TensorOptions options) {
        return nn::init::xavier_normal({31, 7}, {1, 2}, 1.5, options);
      },
      [](TensorOptions options) {
        return nn::init::kaiming_uniform({31, 7}, {1, 2}, {}, options);
      },
      [](TensorOptions options) {
        return nn::init::kaiming_normal({31, 7}, {1, 2}, {.fan = Fan::out}, options);
      },
  };
  for (const auto& make : makers) {
    for (const Dtype dtype : {f32, f64}) {
      const auto found = make({.dtype = dtype, .device = device()}).to_vector<double>();
      EXPECT_EQ(found, make({.dtype = dtype}).to_vector<double>());
      EXPECT_NE(found[0], found[1]);
    }
  }
}

TEST_P(InitTest, LayersHaveTheSameBitsWhereverTheyMove) {
  nn::Linear layer(33, 5, {.seed = Seed{.key = 4}});
  const auto before = layer.weight.to_vector<float>();
  layer.to(device());
  EXPECT_EQ(layer.weight.to_vector<float>(), before);
}

struct Moments {
  double mean = 0;
  double variance = 0;
  double largest = 0;
};

Moments moments(const Tensor& x) {
  Moments result;
  const auto values = x.to_vector<double>();
  const auto n = static_cast<double>(values.size());
  for (const double value : values) {
    result.mean += value / n;
    result.largest = std::max(result.largest, std::abs(value));
  }
  for (const double value : values) {
    result.variance += (value - result.mean) * (value - result.mean) / n;
  }
  return result;
}

// Six standard deviations of what a sample of n gives: sqrt(v / n) for the mean, v * sqrt((kurtosis - 1) / n) for the
// variance.
void expect_moments(const Tensor& x, double mean, double variance, double kurtosis) {
  const Moments found = moments(x);
  const auto n = static_cast<double>(x.numel());
  EXPECT_LE(std::abs(found.mean - mean), 6 * std::sqrt(variance / n));
  EXPECT_LE(std::abs(found.variance - variance), 6 * variance * std::sqrt((kurtosis - 1) / n));
}

constexpr double normal_kurtosis = 3.0;
constexpr double uniform_kurtosis = 1.8;

TEST(InitDistributionTest, NormalAndUniform) {
  expect_moments(nn::init::normal({200, 500}, 1.5, 0.5, {1, 0}), 1.5, 0.25, normal_kurtosis);
  const Tensor uniform = nn::init::uniform({200, 500}, -1.0, 3.0, {1, 1});
  expect_moments(uniform, 1.0, 16.0 / 12.0, uniform_kurtosis);
  const auto values = uniform.to_vector<double>();
  EXPECT_GE(*std::ranges::min_element(values), -1.0);
  EXPECT_LE(*std::ranges::max_element(values), 3.0);
}

TEST(InitDistributionTest, XavierAndKaimingScaleByTheirFans) {
  const Shape shape{200, 500};  // fan in 500, fan out 200
  expect_moments(nn::init::xavier_normal(shape, {2, 0}, 3.0), 0, 9.0 * 2 / 700, normal_kurtosis);
  expect_moments(nn::init::xavier_uniform(shape, {2, 1}), 0, 2.0 / 700, uniform_kurtosis);
  EXPECT_LE(moments(nn::init::xavier_uniform(shape, {2, 1})).largest, std::sqrt(6.0 / 700) * (1 + 0x1p-22));
  expect_moments(nn::init::kaiming_normal(shape, {2, 2}), 0, 2.0 / 500, normal_kurtosis);
  expect_moments(nn::init::kaiming_normal(shape, {2, 3}, {.fan = Fan::out, .gain = 1}), 0, 1.0 / 200, normal_kurtosis);
  expect_moments(nn::init::kaiming_uniform(shape, {2, 4}), 0, 2.0 / 500, uniform_kurtosis);
  EXPECT_LE(moments(nn::init::kaiming_uniform(shape, {2, 4})).largest, std::sqrt(6.0 / 500) * (1 + 0x1p-22));
}

TEST(InitDistributionTest, LinearsDefaultIsUniformInOneOverTheRootOfItsInputs) {
  const nn::Linear layer(400, 250, {.seed = Seed{.key = 6}});
  expect_moments(layer.weight, 0, 1.0 / 400 / 3, uniform_kurtosis);
  expect_moments(layer.bias, 0, 1.0 / 400 / 3, uniform_kurtosis);
  EXPECT_LE(moments(layer.weight).largest, 0.05 * (1 + 0x1p-22));
  EXPECT_LE(moments(layer.bias).largest, 0.05 * (1 + 0x1p-22));
}

TEST(InitTableTest, FansAndGains) {
  EXPECT_EQ(nn::init::fans({3, 5}).in, 5);
  EXPECT_EQ(nn::init::fans({3, 5}).out, 3);
  EXPECT_EQ(nn::init::fans({8, 4, 3, 3}).in, 36);
  EXPECT_EQ(nn::init::fans({8, 4, 3, 3}).out, 72);
  EXPECT_THROW(nn::init::fans({3}), ShapeError);
  EXPECT_EQ(nn::init::gain(nn::Activation::identity), 1.0);
  EXPECT_EQ(nn::init::gain(nn::Activation::relu), std::sqrt(2.0));
  EXPECT_EQ(nn::init::gain(nn::Activation::tanh), 5.0 / 3.0);
  EXPECT_DOUBLE_EQ(nn::init::gain(nn::Activation::leaky_relu), std::sqrt(2.0 / 1.0001));
}

TEST(InitTableTest, ConstantsAndErrors) {
  EXPECT_EQ(nn::init::constant({3}, 2.5).to_vector<float>(), std::vector<float>(3, 2.5F));
  EXPECT_EQ(nn::init::zeros({3}).to_vector<float>(), std::vector<float>(3, 0.0F));
  EXPECT_THROW(nn::init::uniform({3}, 1.0, 0.0, {}), ArgumentError);
  EXPECT_THROW(nn::init::normal({3}, 0.0, -1.0, {}), ArgumentError);
  EXPECT_THROW(nn::init::kaiming_normal({3}, {}), ShapeError);
  EXPECT_EQ(nn::init::kaiming_normal({0, 4}, {}).numel(), 0);
  EXPECT_EQ(nn::init::kaiming_normal({4, 0}, {}).numel(), 0);
}

TEST(InitTableTest, RequiresGradMakesALeaf) {
  const Tensor w = nn::init::xavier_normal({2, 2}, {}, 1.0, {.requires_grad = true});
  sum(w).backward();
  EXPECT_EQ(w.grad().to_vector<float>(), std::vector<float>(4, 1.0F));
}

TEST(InitSeedTest, DefaultSeedsDifferFromLayerToLayerAndRepeat) {
  nn::manual_seed(9);
  const auto first = nn::Linear(4, 4).weight.to_vector<float>();
  const auto second = nn::Linear(4, 4).weight.to_vector<float>();
  EXPECT_NE(first, second);
  nn::manual_seed(9);
  EXPECT_EQ(nn::Linear(4, 4).weight.to_vector<float>(), first);
  nn::manual_seed(10);
  EXPECT_NE(nn::Linear(4, 4).weight.to_vector<float>(), first);
  EXPECT_NE(nn::derive_key({1, 2}), nn::derive_key({2, 1}));
  EXPECT_NE(nn::derive_key({1, 2}), nn::derive_key({1, 3}));
}

}  // namespace
}  // namespace twingrad
