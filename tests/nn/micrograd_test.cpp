// micrograd's own results: the expression of its README, and its demo, which trains a small net on two moons. The
// fixture holds that run: 337 initial parameters, the gradients of the first step and 100 losses.
#include <gtest/gtest.h>
#include <twingrad/twingrad.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <vector>

#include "tests/devices.h"
#include "tests/nn/fixture.h"

namespace twingrad {
namespace {

class MicrogradTest : public tests::DeviceTest {};
INSTANTIATE_ON_DEVICES(MicrogradTest);

TEST_P(MicrogradTest, ReadmeExpression) {
  const TensorOptions options{.dtype = f64, .device = device(), .requires_grad = true};
  const Tensor a = tensor(-4.0, options);
  const Tensor b = tensor(2.0, options);
  Tensor c = a + b;
  Tensor d = a * b + pow(b, 3);
  c = c + (c + 1);
  c = c + (1 + c + (-a));
  d = d + (d * 2 + relu(b + a));
  d = d + (3 * d + relu(b - a));
  const Tensor e = c - d;
  const Tensor f = pow(e, 2);
  Tensor g = f / 2.0;
  g = g + 10.0 / f;
  g.backward();
  // The README prints four decimals.
  EXPECT_NEAR(g.item(), 24.7041, 0.5e-4);
  EXPECT_NEAR(a.grad().item(), 138.8338, 0.5e-4);
  EXPECT_NEAR(b.grad().item(), 645.5773, 0.5e-4);
}

// The demo's net. micrograd lists parameters layer by layer, neuron by neuron: the neuron's weights, then its bias.
class MoonsNet {
 public:
  explicit MoonsNet(Device device) {
    model.to(f64);
    model.to(device);
  }

  void set(const std::vector<double>& flat) {
    std::size_t next = 0;
    std::vector<Tensor> parameters = model.parameters();
    for (std::size_t layer = 0; layer < parameters.size(); layer += 2) {
      const std::int64_t out = parameters[layer].size(0);
      const std::int64_t in = parameters[layer].size(1);
      std::vector<double> weight;
      std::vector<double> bias;
      for (std::int64_t neuron = 0; neuron < out; ++neuron) {
        for (std::int64_t i = 0; i < in; ++i) {
          weight.push_back(flat.at(next++));
        }
        bias.push_back(flat.at(next++));
      }
      const TensorOptions options{.dtype = f64, .device = parameters[layer].device()};
      parameters[layer].assign(tensor(weight, {out, in}, options));
      parameters[layer + 1].assign(tensor(bias, options));
    }
    ASSERT_EQ(next, flat.size());
  }

  // Parameters, or gradients in their order, as micrograd lists them.
  static std::vector<double> flatten(const std::vector<Tensor>& tensors) {
    std::vector<double> flat;
    for (std::size_t layer = 0; layer < tensors.size(); layer += 2) {
      const auto weight = tensors[layer].to_vector<double>();
      const auto bias = tensors[layer + 1].to_vector<double>();
      const auto in = static_cast<std::size_t>(tensors[layer].size(1));
      for (std::size_t neuron = 0; neuron < bias.size(); ++neuron) {
        flat.insert(flat.end(), weight.begin() + static_cast<std::ptrdiff_t>(neuron * in),
                    weight.begin() + static_cast<std::ptrdiff_t>((neuron + 1) * in));
        flat.push_back(bias[neuron]);
      }
    }
    return flat;
  }

  Tensor loss(const Tensor& score, const Tensor& y) const {
    Tensor squares = tensor(0.0, {.dtype = f64, .device = y.device()});
    for (const Tensor& parameter : model.parameters()) {
      squares = squares + sum(square(parameter));
    }
    return mean(relu(1.0 - y * score)) + 1e-4 * squares;
  }

  nn::Mlp model{{2, 16, 16, 1}};
};

void expect_near_relative(const std::vector<double>& found, const std::vector<double>& expected, double tolerance) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_LE(std::abs(found[i] - expected[i]), tolerance * std::abs(expected[i])) << "element " << i;
  }
}

TEST_P(MicrogradTest, MoonsRunFollowsItsHundredLosses) {
  const nlohmann::json fixture = tests::read_fixture("micrograd_moons.json");
  std::vector<double> points;
  for (const auto& point : fixture.at("x")) {
    points.push_back(point.at(0));
    points.push_back(point.at(1));
  }
  const TensorOptions options{.dtype = f64, .device = device()};
  const Tensor x = tensor(points, {static_cast<std::int64_t>(points.size()) / 2, 2}, options);
  const Tensor y = reshape(tensor(fixture.at("y").get<std::vector<double>>(), options), {-1, 1});

  MoonsNet net(device());
  ASSERT_EQ(net.model.parameter_count(), 337);
  net.set(fixture.at("initial_parameters"));
  optim::SGD sgd(net.model.parameters());
  const auto& curve = fixture.at("curve_loss_accuracy");
  ASSERT_EQ(curve.size(), 100U);
  for (int k = 0; k < 100; ++k) {
    const Tensor score = net.model(x);
    const Tensor loss = net.loss(score, y);
    std::vector<Tensor> gradients = twingrad::gradients(loss, net.model.parameters());
    const double accuracy = metrics::sign_accuracy(score, y);
    if (k == 0) {
      expect_near_relative(MoonsNet::flatten(gradients), fixture.at("first_step_gradients"), 1e-12);
    }
    sgd.set_learning_rate(1.0 - 0.9 * k / 100);
    sgd.step(std::move(gradients));
    const double expected = curve[static_cast<std::size_t>(k)][0];
    EXPECT_LE(std::abs(loss.item() - expected), 1e-9 * expected) << "step " << k;
    EXPECT_DOUBLE_EQ(accuracy, curve[static_cast<std::size_t>(k)][1].get<double>()) << "step " << k;
  }
  expect_near_relative(MoonsNet::flatten(net.model.parameters()), fixture.at("final_parameters"), 1e-9);
  EXPECT_EQ(metrics::sign_accuracy(net.model(x), y), 1.0);
}

}  // namespace
}  // namespace twingrad
