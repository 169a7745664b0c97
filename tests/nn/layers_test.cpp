// Linear, Embedding, Dropout, Sequential and Mlp: what they compute, on every device.
#include <gtest/gtest.h>
#include <twingrad/twingrad.h>

#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "tests/devices.h"

namespace twingrad {
namespace {

class LayersTest : public tests::DeviceTest {
 protected:
  Tensor floats(const std::vector<double>& values, const Shape& shape) const {
    return tensor(values, shape, {.device = device()});
  }
};
INSTANTIATE_ON_DEVICES(LayersTest);

TEST_P(LayersTest, LinearIsTheProductWithItsWeightAndBias) {
  nn::Linear layer(2, 3);
  layer.to(device());
  layer.weight.assign(floats({1, 2, 3, 4, 5, 6}, {3, 2}));
  layer.bias.assign(floats({10, 20, 30}, {3}));
  EXPECT_EQ(layer(floats({1, 0, 0, 1}, {2, 2})).to_vector<float>(), (std::vector<float>{11, 23, 35, 12, 24, 36}));
  EXPECT_EQ(layer(ones({5, 4, 2}, {.device = device()})).shape(), (Shape{5, 4, 3}));
  EXPECT_EQ(layer(zeros({0, 2}, {.device = device()})).to_vector<float>(), std::vector<float>());

  nn::Linear plain(2, 1, {.bias = false});
  plain.to(device());
  plain.weight.assign(floats({2, 3}, {1, 2}));
  EXPECT_FALSE(plain.bias.defined());
  EXPECT_EQ(plain.parameters().size(), 1U);
  EXPECT_EQ(plain(floats({1, 1}, {1, 2})).to_vector<float>(), (std::vector<float>{5}));
}

TEST_P(LayersTest, EmbeddingLooksUpRowsAndItsGradientCountsThem) {
  nn::Embedding table(4, 2);
  table.to(device());
  table.weight.assign(floats({0, 1, 2, 3, 4, 5, 6, 7}, {4, 2}));
  const Tensor rows = tensor(std::vector<std::int64_t>{2, 0, 2}, {.device = device()});
  const Tensor picked = table(rows);
  EXPECT_EQ(picked.to_vector<float>(), (std::vector<float>{4, 5, 0, 1, 4, 5}));
  sum(picked).backward();
  EXPECT_EQ(table.weight.grad().to_vector<float>(), (std::vector<float>{1, 1, 0, 0, 2, 2, 0, 0}));
}

TEST_P(LayersTest, DropoutKeepsTheShareItSaysAndScalesIt) {
  constexpr double probability = 0.3;
  constexpr std::int64_t count = 100'000;
  nn::Dropout dropout(probability, {.seed = Seed{.key = 5}});
  const auto values = dropout(ones({count}, {.device = device()})).to_vector<float>();
  std::int64_t kept = 0;
  for (const float value : values) {
    ASSERT_TRUE(value == 0.0F || std::abs(value - 1.0F / 0.7F) <= 1.2e-7F) << value;
    kept += value != 0.0F ? 1 : 0;
  }
  // Six standard deviations of a binomial count.
  const double sigma = std::sqrt(count * probability * (1 - probability));
  EXPECT_LE(std::abs(static_cast<double>(kept) - count * (1 - probability)), 6 * sigma);
}

TEST_P(LayersTest, DropoutMasksAreThoseOfTheCpu) {
  const auto masks = [](Device where) {
    nn::Dropout dropout(0.5, {.seed = Seed{.key = 8}});
    std::vector<std::vector<float>> result;
    for (int call = 0; call < 3; ++call) {
      result.push_back(dropout(ones({257}, {.device = where})).to_vector<float>());
    }
    return result;
  };
  const auto found = masks(device());
  EXPECT_EQ(found, masks(Device::cpu()));
  EXPECT_NE(found[0], found[1]);
  EXPECT_NE(found[1], found[2]);
}

TEST_P(LayersTest, DropoutPassesGradientsWhereItPassedValues) {
  nn::Dropout dropout(0.5, {.seed = Seed{.key = 3}});
  const Tensor x = tensor(std::vector<double>(255, 1.0), {.device = device(), .requires_grad = true});
  const Tensor y = dropout(x);
  sum(y).backward();
  EXPECT_EQ(x.grad().to_vector<float>(), y.to_vector<float>());
}

TEST_P(LayersTest, DropoutDoesNothingInEvaluationMode) {
  nn::Dropout dropout(0.5);
  dropout.eval();
  const auto stream = dropout.generator().stream();
  EXPECT_EQ(dropout(ones({33}, {.device = device()})).to_vector<float>(), std::vector<float>(33, 1.0F));
  EXPECT_EQ(dropout.generator().stream(), stream);
}

TEST_P(LayersTest, DropoutAtTheEndsOfItsRange) {
  nn::Dropout none(0.0);
  nn::Dropout all(1.0);
  const Tensor x = ones({7}, {.device = device()});
  EXPECT_EQ(none(x).to_vector<float>(), std::vector<float>(7, 1.0F));
  EXPECT_EQ(all(x).to_vector<float>(), std::vector<float>(7, 0.0F));
}

TEST_P(LayersTest, ActivationModulesAreTheFunctions) {
  const Tensor x = floats({-2, -0.5, 0, 0.5, 2}, {5});
  const auto same = [&](nn::Module&& module, const Tensor& expected) {
    EXPECT_EQ(module(x).to_vector<float>(), expected.to_vector<float>());
  };
  same(nn::Relu(), relu(x));
  same(nn::LeakyRelu(0.2), leaky_relu(x, 0.2));
  same(nn::Elu(0.7), elu(x, 0.7));
  same(nn::Gelu(), gelu(x));
  same(nn::Gelu(Gelu::tanh), gelu(x, Gelu::tanh));
  same(nn::Silu(), silu(x));
  same(nn::Tanh(), tanh(x));
  same(nn::Sigmoid(), sigmoid(x));
  same(nn::Softplus(), softplus(x));
}

TEST_P(LayersTest, MlpAppliesItsLayersInOrder) {
  nn::Mlp model({2, 2, 1}, {.activation = nn::Activation::relu});
  model.to(device());
  std::vector<Tensor> p = model.parameters();
  ASSERT_EQ(p.size(), 4U);
  p[0].assign(floats({1, 0, 0, -1}, {2, 2}));
  p[1].assign(floats({0, 1}, {2}));
  p[2].assign(floats({3, 5}, {1, 2}));
  p[3].assign(floats({7}, {1}));
  // hidden = relu(2, 1 - 4) = (2, 0); relu(-1, 1 + 3) = (0, 4)
  EXPECT_EQ(model(floats({2, 4, -1, -3}, {2, 2})).to_vector<float>(), (std::vector<float>{13, 27}));
}

TEST(MlpTest, PutsNormalizationActivationAndDropoutAfterEachHiddenLayer) {
  const nn::Mlp model({4, 8, 8, 3}, {.dropout = 0.1, .normalization = nn::Normalization::batch, .bias = false});
  ASSERT_EQ(model.size(), 9U);
  std::set<std::string> names;
  for (const auto& [name, parameter] : model.named_parameters()) {
    names.insert(name);
  }
  EXPECT_EQ(names,
            (std::set<std::string>{"0.weight", "1.weight", "1.bias", "4.weight", "5.weight", "5.bias", "8.weight"}));
  EXPECT_EQ(model.named_buffers().size(), 4U);
  EXPECT_NE(dynamic_cast<nn::BatchNorm1d*>(&model[1]), nullptr);
  EXPECT_NE(dynamic_cast<nn::Relu*>(&model[2]), nullptr);
  EXPECT_NE(dynamic_cast<nn::Dropout*>(&model[3]), nullptr);
  EXPECT_NE(dynamic_cast<nn::LayerNorm*>(&nn::Mlp({1, 1, 1}, {.normalization = nn::Normalization::layer})[1]), nullptr);
}

TEST(MlpTest, ASeedDecidesTheWeightsWhateverWasMadeBefore) {
  const auto weights = [](std::int64_t seed) {
    std::vector<float> all;
    for (const Tensor& parameter : nn::Mlp({3, 5, 2}, {.seed = seed}).parameters()) {
      const auto values = parameter.to_vector<float>();
      all.insert(all.end(), values.begin(), values.end());
    }
    return all;
  };
  const auto first = weights(1);
  const nn::Linear other(3, 3);
  EXPECT_EQ(weights(1), first);
  EXPECT_NE(weights(2), first);
}

TEST(MlpTest, HiddenWeightsHaveTheActivationsGainAndTheLastLayerGainOne) {
  const auto bound_of = [](const Tensor& weight) {
    double largest = 0;
    for (const double value : weight.to_vector<double>()) {
      largest = std::max(largest, std::abs(value));
    }
    return largest;
  };
  // 60,000 uniform draws come closer than 1 part in 1,000 to the bound, but for a chance of e^-60.
  const nn::Mlp relu({300, 200, 300}, {.activation = nn::Activation::relu});
  EXPECT_NEAR(bound_of(relu.parameters()[0]) / std::sqrt(6.0 / 300), 1.0, 1e-3);
  EXPECT_NEAR(bound_of(relu.parameters()[2]) / std::sqrt(3.0 / 200), 1.0, 1e-3);
  const nn::Mlp tanh({300, 200, 300}, {.activation = nn::Activation::tanh});
  EXPECT_NEAR(bound_of(tanh.parameters()[0]) / (5.0 / 3.0 * std::sqrt(6.0 / 500)), 1.0, 1e-3);
  EXPECT_NEAR(bound_of(tanh.parameters()[2]) / std::sqrt(6.0 / 500), 1.0, 1e-3);
  EXPECT_EQ(bound_of(tanh.parameters()[1]), 0.0);
  const nn::Mlp zero({300, 200}, {.init = nn::WeightInit::zeros});
  EXPECT_EQ(bound_of(zero.parameters()[0]), 0.0);
}

TEST(LayerErrorsTest, BadOptionsThrow) {
  EXPECT_THROW(nn::Linear(-1, 2), ArgumentError);
  EXPECT_THROW(nn::Linear(1, -2), ArgumentError);
  EXPECT_THROW(nn::Embedding(-1, 2), ArgumentError);
  EXPECT_THROW(nn::Dropout(-0.1), ArgumentError);
  EXPECT_THROW(nn::Dropout(1.1), ArgumentError);
  EXPECT_THROW(nn::Dropout(std::nan("")), ArgumentError);
  EXPECT_THROW(nn::Mlp({3}), ArgumentError);
  EXPECT_THROW(nn::Mlp({3, 4, 1}, {.dropout = 2.0}), ArgumentError);
  EXPECT_THROW(nn::BatchNorm1d(3, {.momentum = 1.5}), ArgumentError);
  EXPECT_NO_THROW(nn::Linear(0, 0));
}

}  // namespace
}  // namespace twingrad
