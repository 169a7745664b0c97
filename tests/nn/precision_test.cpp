// Mixed precision: what is cast where, that parameters are float32 master weights, and that training follows float32.
#include <gtest/gtest.h>
#include <twingrad/graph/node.h>
#include <twingrad/graph/plan.h>
#include <twingrad/twingrad.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "tests/devices.h"
#include "tests/optim/noisy_mlp.h"

namespace twingrad {
namespace {

using Values = std::vector<double>;

class PrecisionTest : public tests::DeviceTest {
 protected:
  Tensor floats(const Values& values, const Shape& shape, Dtype dtype = f32) const {
    return tensor(values, shape, {.dtype = dtype, .device = device()});
  }
  Tensor batch(std::int64_t rows, std::int64_t columns, std::int64_t key = 5) const {
    const Tensor x = random_normal({rows, columns}, {.key = key, .stream = 1}, {.device = device()});
    x.eval();
    return x;
  }
};
INSTANTIATE_ON_DEVICES(PrecisionTest);

constexpr std::array sixteen_bits = {Precision::mixed_bf16, Precision::mixed_fp16};

// The nodes that compute `tensors`, inputs first.
std::vector<const Node*> nodes_of(const std::vector<Tensor>& tensors) {
  std::vector<NodePtr> targets;
  for (const Tensor& tensor : tensors) {
    targets.push_back(tensor.node());
  }
  const auto order = topological_order(targets, [](const Node& node) { return node.has_value(); });
  return {order.begin(), order.end()};
}

bool casts(const Node& node, const Tensor& from) {
  return node.op != nullptr && node.op->name == "cast" && node.inputs[0] == from.node();
}

TEST(PrecisionNameTest, NamesAreReadAgain) {
  for (const Precision precision : {Precision::fp32, Precision::tf32, Precision::mixed_bf16, Precision::mixed_fp16}) {
    EXPECT_EQ(parse_precision(name(precision)), precision);
    EXPECT_EQ(describe(precision).find(name(precision)), 0U);
  }
  try {
    parse_precision("half");
    FAIL();
  } catch (const ArgumentError& error) {
    EXPECT_STREQ(error.what(), "there is no precision 'half'; there are fp32, tf32, bf16, fp16");
  }
}

TEST_P(PrecisionTest, ParametersGradientsAndOutputAreFloat32ProductsAreNot) {
  for (const Precision precision : sixteen_bits) {
    nn::Mlp model({4, 8, 3}, {.normalization = nn::Normalization::batch, .seed = 1});
    model.to(device());
    model.set_precision(precision);
    const Tensor y = model(batch(6, 4));
    EXPECT_EQ(y.dtype(), f32);
    const Tensor loss = sum(square(y));
    const std::vector<Tensor> found = gradients(loss, model.parameters());
    for (std::size_t i = 0; i < found.size(); ++i) {
      EXPECT_EQ(found[i].dtype(), f32);
      EXPECT_EQ(model.parameters()[i].dtype(), f32);
    }
    int products = 0;
    for (const Node* node : nodes_of(found)) {
      if (node->op != nullptr && node->op->family == Family::matmul) {
        EXPECT_EQ(node->dtype, product_dtype(precision));
        ++products;
      }
      if (node->op != nullptr && (node->op->family == Family::rows || node->op->name == "mean")) {
        EXPECT_EQ(node->dtype, f32) << node->op->name;
      }
    }
    EXPECT_EQ(products, 5);  // two forward, two weights, one input
    twingrad::eval(found);
  }
}

TEST_P(PrecisionTest, EachParameterIsCastOnceAStep) {
  nn::Mlp model({4, 8, 8, 3}, {.seed = 1});
  model.to(device());
  model.set_precision(Precision::mixed_bf16);
  const std::vector<Tensor> parameters = model.parameters();
  const std::vector<Tensor> found = gradients(sum(square(model(batch(6, 4)))), parameters);
  for (const Tensor& parameter : parameters) {
    const auto nodes = nodes_of(found);
    EXPECT_EQ(std::ranges::count_if(nodes, [&](const Node* node) { return casts(*node, parameter); }), 1);
  }
  twingrad::eval(found);
}

// Two layers that are one.
struct Tied : nn::Module {
  nn::Linear& layer = register_module<nn::Linear>("layer", 4, 4, nn::LinearOptions{.seed = Seed{.key = 3}});
  Tensor forward(const Tensor& x) override { return layer(relu(layer(x))); }
};

TEST_P(PrecisionTest, AParameterUsedTwiceIsCastOnceUnlessGradientsAreOff) {
  Tied model;
  model.to(device());
  model.set_precision(Precision::mixed_bf16);
  const Tensor weight = model.layer.weight;
  const Tensor y = model(batch(3, 4));
  const auto count = [&](const std::vector<const Node*>& nodes) {
    return std::ranges::count_if(nodes, [&](const Node* node) { return casts(*node, weight); });
  };
  EXPECT_EQ(count(nodes_of({y})), 1);
  const AutocastScope scope(Precision::mixed_bf16);
  Tensor without;
  {
    const NoGrad guard;
    without = model.layer(batch(3, 4));
  }
  const Tensor with = model.layer(batch(3, 4));
  EXPECT_EQ(count(nodes_of({without, with})), 2);
  EXPECT_NO_THROW(gradients(sum(with), {weight}));
}

TEST_P(PrecisionTest, MasterWeightsKeepUpdatesBelowBfloat16) {
  // Half a unit in the last place of bfloat16 below 1 is 2^-9: an update of 2^-10 is rounded away there.
  const double lr = 0x1p-10;
  const auto train = [&](Dtype parameters, bool mixed) {
    nn::Linear layer(1, 1, {.bias = false});
    layer.to(device());
    layer.to(parameters);
    layer.load_state({{"weight", floats({1}, {1, 1}, parameters)}});
    if (mixed) {
      layer.set_precision(Precision::mixed_bf16);
    }
    optim::SGD sgd(layer.parameters(), {.lr = lr});
    for (int step = 0; step < 8; ++step) {
      sgd.step(gradients(sum(layer(floats({1}, {1, 1}, mixed ? f32 : parameters))), layer.parameters()));
    }
    return layer.weight.item();
  };
  EXPECT_EQ(train(f32, true), 1 - 8 * lr);
  EXPECT_EQ(train(bf16, false), 1.0);  // without master weights
}

TEST_P(PrecisionTest, ProductsSeeRoundedOperandsAndSumInFloat32) {
  // 257 needs nine bits; bfloat16 has eight.
  const AutocastScope scope(Precision::mixed_bf16);
  EXPECT_EQ(matmul(floats({257}, {1, 1}), floats({1}, {1, 1})).item(), 256);
  const std::int64_t k = 257;
  const Tensor ones = tensor(Values(static_cast<std::size_t>(k), 1.0), {k, 1}, {.dtype = f32, .device = device()});
  Values terms(static_cast<std::size_t>(k), 1.0);
  terms[0] = 0x1p14;
  // 2^14 + 256, which bfloat16 has; each 1 alone would be lost beside 2^14 in it.
  EXPECT_EQ(matmul(floats(terms, {1, k}), ones).item(), 0x1p14 + 256);
}

TEST_P(PrecisionTest, AnInfinityStaysOneInEveryLayout) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  for (const std::int64_t k : {1, 2, 3, 5}) {
    // The last element of a row of (2, k), alone, between others and in the second of two products.
    Values plain(static_cast<std::size_t>(2 * k), 1.0);
    plain.back() = infinity;
    Values gapped(static_cast<std::size_t>(2 * (k + 2)), 1.0);
    gapped[static_cast<std::size_t>(2 * k + 2)] = infinity;
    const Tensor b = floats(Values(static_cast<std::size_t>(2 * k), 1.0), {k, 2}, bf16);
    const Tensor wide = floats(gapped, {2, k + 2}, bf16);
    const auto row = [&](const Tensor& product) { return slice(product, -2, 1).to_vector<double>(); };
    EXPECT_EQ(row(matmul(floats(plain, {2, k}, bf16), b)), Values(2, infinity)) << k;
    EXPECT_EQ(row(matmul(slice(wide, 1, 1, k + 1), b)), Values(2, infinity)) << k;
    const Tensor two = stack({b, b});
    EXPECT_EQ(row(matmul(floats(plain, {1, 2, k}, bf16), two)), Values(4, infinity)) << k;
  }
}

TEST_P(PrecisionTest, ReductionsRowsAndLossesAreFloat32) {
  const Tensor half = floats({1, 2, 3, 4}, {2, 2}, bf16);
  const Tensor labels = tensor(std::vector<std::int64_t>{0, 1}, {.device = device()});
  EXPECT_EQ(mean(half).dtype(), bf16);
  const AutocastScope scope(Precision::mixed_bf16);
  for (const Tensor& result :
       {mean(half), sum(half), var(half), softmax(half), log_softmax(half), logsumexp(half),
        cross_entropy(half, labels), cumsum(half, 0), mse_loss(half, floats({1, 1, 1, 1}, {2, 2}))}) {
    EXPECT_EQ(result.dtype(), f32);
  }
  // 256 and 511 ones: exact in float32, where bfloat16 has no 257.
  Values values(512, 1.0);
  values[0] = 256;
  EXPECT_EQ(sum(floats(values, {512}, bf16)).item(), 256 + 511);
  EXPECT_EQ((half + floats({1, 1, 1, 1}, {2, 2})).dtype(), f32);
  EXPECT_EQ((half * 2.0).dtype(), bf16);
  EXPECT_EQ(relu(half).dtype(), bf16);
}

TEST_P(PrecisionTest, WithoutAScopeDtypesStillMustAgree) {
  EXPECT_THROW(floats({1}, {1}, bf16) + floats({1}, {1}), DtypeError);
  EXPECT_THROW(linear(floats({1}, {1, 1}, bf16), floats({1}, {1, 1})), DtypeError);
}

TEST_P(PrecisionTest, Float64IsRefused) {
  const AutocastScope scope(Precision::mixed_bf16);
  try {
    matmul(floats({1}, {1, 1}, f64), floats({1}, {1, 1}, f64));
    FAIL();
  } catch (const DtypeError& error) {
    EXPECT_NE(std::string(error.what()).find("float64 operand in precision bf16"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("precision_test.cpp"), std::string::npos) << error.what();
  }
  const AutocastScope plain(Precision::fp32);
  EXPECT_EQ(matmul(floats({3}, {1, 1}, f64), floats({1}, {1, 1}, f64)).item(), 3);
}

TEST_P(PrecisionTest, AChildKeepsItsOwnPrecision) {
  nn::Sequential model;
  model.add<nn::Linear>(4, 4, nn::LinearOptions{.seed = Seed{.key = 1}});
  nn::Linear& head = model.add<nn::Linear>(4, 2, nn::LinearOptions{.seed = Seed{.key = 2}});
  model.to(device());
  model.set_precision(Precision::mixed_bf16);
  head.set_precision(Precision::fp32);
  EXPECT_EQ(head.precision(), Precision::fp32);
  const Tensor y = model(batch(3, 4));
  std::vector<Dtype> products;
  for (const Node* node : nodes_of({y})) {
    if (node->op != nullptr && node->op->family == Family::matmul) {
      products.push_back(node->dtype);
    }
  }
  EXPECT_EQ(products, (std::vector<Dtype>{bf16, f32}));
}

TEST_P(PrecisionTest, GradientsInsideAScopeAreThoseOutside) {
  const Tensor x = floats({1, 2, 3, 4}, {2, 2}, bf16).requires_grad(true);
  const Tensor y = softmax(x);
  const Tensor cotangent = floats({1, -2, 3, 0.5}, {2, 2}, bf16);
  const Values outside = gradients(y, {x}, {.cotangent = cotangent})[0].to_vector<double>();
  const AutocastScope scope(Precision::mixed_bf16);
  const Tensor inside = gradients(y, {x}, {.cotangent = cotangent})[0];
  EXPECT_EQ(inside.dtype(), bf16);
  EXPECT_EQ(inside.to_vector<double>(), outside);
}

TEST_P(PrecisionTest, BatchStatisticsAreFloat32) {
  nn::BatchNorm1d norm(2);
  norm.to(device());
  norm.set_precision(Precision::mixed_bf16);
  // The mean, 100.75, needs nine bits.
  const Tensor x = floats({100, 1, 101.5, 2}, {2, 2}, bf16);
  const Tensor y = norm(x);
  EXPECT_EQ(y.dtype(), f32);
  const auto nodes = nodes_of({y, norm.running_mean, norm.running_var});
  EXPECT_EQ(std::ranges::count_if(nodes, [&](const Node* node) { return casts(*node, x); }), 1);
  y.eval();
  EXPECT_EQ(norm.running_mean.dtype(), f32);
  const Values expected = {static_cast<double>(static_cast<float>(0.1) * 100.75F),
                           static_cast<double>(static_cast<float>(0.1) * 1.5F)};
  const Values found = norm.running_mean.to_vector<double>();
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_NEAR(found[i], expected[i], 0x1p-22 * expected[i]);
  }
}

TEST(PrecisionTf32Test, TheCpuHasNone) {
  EXPECT_THROW(require_precision(Precision::tf32, Device::cpu()), DeviceError);
  EXPECT_NO_THROW(require_precision(Precision::mixed_fp16, Device::cpu()));
  nn::Linear layer(2, 2);
  layer.set_precision(Precision::tf32);
  try {
    layer(ones({1, 2}));
    FAIL();
  } catch (const DeviceError& error) {
    EXPECT_NE(std::string(error.what()).find("the CPU has no TF32"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("precision_test.cpp"), std::string::npos) << error.what();
  }
  const AutocastScope scope(Precision::tf32);
  EXPECT_THROW(matmul(ones({2, 2}), ones({2, 2})), DeviceError);
}

TEST(PrecisionTf32Test, ABackendWithoutItRefusesAndGradientsAskForItToo) {
  const Device fake = tests::fake_device();
  const TensorOptions options{.dtype = f32, .device = fake};
  Tensor x = ones({2, 2}, options);
  x.requires_grad(true);
  Tensor w = ones({2, 2}, options);
  w.requires_grad(true);
  Tensor y;
  {
    const AutocastScope scope(Precision::tf32);
    y = sum(matmul(x, w));
  }
  const std::vector<Tensor> g = gradients(y, {x, w});
  int products = 0;
  for (const Node* node : nodes_of({y, g[0], g[1]})) {
    if (node->op != nullptr && node->op->family == Family::matmul) {
      EXPECT_EQ(node->attributes.ints, Dims({11}));
      ++products;
    }
  }
  EXPECT_EQ(products, 3);
  EXPECT_THROW(y.item(), DeviceError);
}

// A net of the kind NoisyMlp computes, trained by gradient descent.
struct Regression {
  static constexpr std::int64_t rows = 12;
  static constexpr int steps = 20;
  static constexpr double lr = 0.05;
  Values x, y;
  std::vector<Values> initial;
  std::vector<Shape> shapes = {{6, 3}, {6}, {1, 6}, {1}};

  Regression() {
    const auto draw = [](const Shape& shape, std::int64_t stream, double scale) {
      return (random_normal(shape, {.key = 77, .stream = stream}) * scale).to_vector<double>();
    };
    x = draw({rows, 3}, 1, 1.0);
    y = draw({rows, 1}, 2, 1.0);
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      initial.push_back(draw(shapes[i], static_cast<std::int64_t>(i) + 3, 0.5));
    }
  }

  // Losses of every step, then all weights.
  Values train(Device device, Precision precision) const {
    const TensorOptions options{.dtype = f32, .device = device};
    const Tensor input = tensor(x, {rows, 3}, options);
    const Tensor target = tensor(y, {rows, 1}, options);
    nn::Sequential model(nn::Linear(3, 6), nn::Tanh(), nn::Linear(6, 1));
    NamedTensors state = model.state();
    for (std::size_t i = 0; i < state.size(); ++i) {
      state[i].second = tensor(initial[i], shapes[i], {.dtype = f32});
    }
    model.load_state(state);
    model.to(device);
    model.set_precision(precision);
    optim::SGD sgd(model.parameters(), {.lr = lr});
    Values trace;
    for (int step = 0; step < steps; ++step) {
      const Tensor loss = mse_loss(model(input), target);
      sgd.step(gradients(loss, model.parameters()));
      trace.push_back(loss.item());
    }
    for (const Tensor& parameter : model.parameters()) {
      const auto values = parameter.to_vector<double>();
      trace.insert(trace.end(), values.begin(), values.end());
    }
    return trace;
  }

  // The same in float64 with noise of a rounding to `unit` wherever the library rounds to it: the casts of data and
  // weights, products, tanh and gradients. NoisyMlp rounds each partial sum too, so it is never less.
  Values train_noisy(double unit, std::uint64_t seed) const {
    tests::NoisyMlp net(x, y, rows, 0.0, unit, seed);
    std::vector<Values> weights = initial;
    Values trace;
    for (int step = 0; step < steps; ++step) {
      std::vector<Values> seen = weights;
      for (Values& values : seen) {
        values = net.rounded(values);
      }
      const auto result = net.step(seen);
      trace.push_back(result.loss);
      for (std::size_t i = 0; i < weights.size(); ++i) {
        const Values gradient = net.rounded(result.gradients[i]);
        for (std::size_t j = 0; j < gradient.size(); ++j) {
          weights[i][j] -= lr * gradient[j];
        }
      }
    }
    for (const Values& values : weights) {
      trace.insert(trace.end(), values.begin(), values.end());
    }
    return trace;
  }

  // What a run with roundings of `unit` may deviate by: sqrt(2 ln(2 N / delta)) deviations of 16 noisy runs.
  Values bounds(double unit) const {
    constexpr int runs = 16;
    const Values exact = train_noisy(0, 0);
    Values squares(exact.size(), 0);
    double all = 0;
    for (int run = 0; run < runs; ++run) {
      const Values noisy = train_noisy(unit, static_cast<std::uint64_t>(run) + 1);
      for (std::size_t i = 0; i < exact.size(); ++i) {
        squares[i] += (noisy[i] - exact[i]) * (noisy[i] - exact[i]) / runs;
      }
    }
    for (const double square : squares) {
      all += square / static_cast<double>(exact.size());
    }
    const double lambda = std::sqrt(2 * std::log(2 * static_cast<double>(exact.size()) / 1e-6));
    for (double& square : squares) {
      square = lambda * std::sqrt(std::max(square, all));  // one that happened to be quiet gets that of the whole list
    }
    return squares;
  }
};

TEST_P(PrecisionTest, TrainingFollowsFloat32WithinItsRoundings) {
  const Regression regression;
  const Values expected = regression.train(device(), Precision::fp32);
  const Values bound_of_float32 = regression.bounds(0x1p-24);
  for (const auto& [precision, unit] :
       {std::pair(Precision::mixed_bf16, 0x1p-8), std::pair(Precision::mixed_fp16, 0x1p-11)}) {
    SCOPED_TRACE(name(precision));
    const Values found = regression.train(device(), precision);
    const Values bound = regression.bounds(unit);
    ASSERT_EQ(found.size(), bound.size());
    bool beyond_float32 = false;
    for (std::size_t i = 0; i < found.size(); ++i) {
      EXPECT_LE(std::abs(found[i] - expected[i]), bound[i]) << i;
      // Two float32 runs are each within the bound of the exact one, and so within two of them of each other.
      beyond_float32 = beyond_float32 || std::abs(found[i] - expected[i]) > 2 * bound_of_float32[i];
    }
    EXPECT_TRUE(beyond_float32);  // else float32 was used
    EXPECT_LT(found[Regression::steps - 1], found[0] / 2);
  }
}

TEST_P(PrecisionTest, ASavedRunGoesOnBitForBit) {
  const Tensor x = batch(16, 4);
  const Tensor labels =
      tensor(std::vector<std::int64_t>{0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0}, {.device = device()});
  struct Run {
    nn::Mlp model{{4, 8, 3}, {.normalization = nn::Normalization::batch, .seed = 9}};
    std::unique_ptr<optim::AdamW> adam;
    explicit Run(Device device) {
      model.to(device);
      model.set_precision(Precision::mixed_bf16);
      adam = std::make_unique<optim::AdamW>(model.parameters(), optim::AdamWOptions{.lr = 1e-2});
    }
    void step(const Tensor& x, const Tensor& labels) {
      adam->step(gradients(cross_entropy(model(x), labels), model.parameters()));
    }
  };
  Run whole(device());
  for (int i = 0; i < 3; ++i) {
    whole.step(x, labels);
  }
  Run resumed(device());
  resumed.model.load_state(whole.model.state());
  resumed.adam->load_state(whole.adam->state());
  for (int i = 0; i < 3; ++i) {
    whole.step(x, labels);
    resumed.step(x, labels);
  }
  const NamedTensors expected = whole.model.state();
  const NamedTensors found = resumed.model.state();
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(found[i].second.to_vector<double>(), expected[i].second.to_vector<double>()) << expected[i].first;
  }
}

}  // namespace
}  // namespace twingrad
