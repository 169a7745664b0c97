// PyTorch's optimizers on one small regression: every run of the fixture, 25 steps each, followed loss by loss.
#include <gtest/gtest.h>
#include <twingrad/twingrad.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/devices.h"
#include "tests/nn/fixture.h"
#include "tests/optim/noisy_mlp.h"

namespace twingrad {
namespace {

using nlohmann::json;
using Values = std::vector<double>;

class TorchTrainTest : public tests::DeviceTest {};
INSTANTIATE_ON_DEVICES(TorchTrainTest);

const json& runs() {
  static const json fixture = tests::read_fixture("torch_train.json");
  return fixture.at("runs");
}

std::string title(const json& run) {
  return run.at("optimizer").get<std::string>() + " " + run.at("attrs").dump();
}

// The one run whose loss itself has an L1 term says so in words.
double l1_of_loss(const json& run) {
  const std::string note = run.at("attrs").value("note", "");
  return note.find("l1 = 0.01") == std::string::npos ? 0.0 : 0.01;
}

std::unique_ptr<optim::Optimizer> make_optimizer(const json& run, const std::vector<Tensor>& parameters, double l1) {
  const json& attrs = run.at("attrs");
  const std::string name = run.at("optimizer");
  const double lr = attrs.at("lr");
  const double decay = attrs.value("weight_decay", 0.0);
  if (name == "sgd") {
    return std::make_unique<optim::SGD>(parameters, optim::SGDOptions{.lr = lr,
                                                                      .momentum = attrs.value("momentum", 0.0),
                                                                      .nesterov = attrs.value("nesterov", false),
                                                                      .weight_decay = decay,
                                                                      .l1 = l1});
  }
  if (name == "adam") {
    const auto betas = attrs.value("betas", Values{0.9, 0.999});
    return std::make_unique<optim::Adam>(parameters, optim::AdamOptions{.lr = lr,
                                                                        .beta1 = betas.at(0),
                                                                        .beta2 = betas.at(1),
                                                                        .eps = attrs.value("eps", 1e-8),
                                                                        .weight_decay = decay});
  }
  if (name == "adamw") {
    return std::make_unique<optim::AdamW>(parameters, optim::AdamWOptions{.lr = lr, .weight_decay = decay});
  }
  if (name == "rmsprop") {
    return std::make_unique<optim::RMSprop>(
        parameters, optim::RMSpropOptions{.lr = lr, .alpha = attrs.at("alpha"), .eps = attrs.at("eps")});
  }
  if (name == "adagrad") {
    return std::make_unique<optim::Adagrad>(parameters, optim::AdagradOptions{.lr = lr});
  }
  throw std::runtime_error("the fixture has an optimizer the test does not know: " + name);
}

optim::Schedule make_schedule(const json& attrs) {
  const double lr = attrs.at("lr");
  const std::string name = attrs.value("schedule", "constant");
  if (name == "constant") {
    return optim::ConstantSchedule{.lr = lr};
  }
  if (name == "step") {
    return optim::StepSchedule{.lr = lr, .step_size = attrs.at("step_size"), .gamma = attrs.at("gamma")};
  }
  if (name == "cosine") {
    return optim::CosineSchedule{.lr = lr, .t_max = attrs.at("t_max"), .eta_min = attrs.at("eta_min")};
  }
  if (name == "exponential") {
    return optim::ExponentialSchedule{.lr = lr, .gamma = attrs.at("gamma")};
  }
  throw std::runtime_error("the fixture has a schedule the test does not know: " + name);
}

std::vector<Tensor> clipped(const json& run, std::vector<Tensor> gradients) {
  const json& attrs = run.at("attrs");
  return attrs.contains("clip_grad_norm") ? optim::clip_norm(std::move(gradients), attrs.at("clip_grad_norm"))
                                          : std::move(gradients);
}

std::vector<Tensor> initial_parameters(const json& run, TensorOptions options) {
  options.requires_grad = true;
  std::vector<Tensor> parameters;
  for (const json& value : run.at("initial")) {
    parameters.push_back(tests::fixture_tensor(value, options));
  }
  return parameters;
}

struct Trace {
  Values losses;
  Values weights;  // all parameters, one after the other
};

Trace expected_trace(const json& run) {
  Trace trace{run.at("losses").get<Values>(), {}};
  for (const json& value : run.at("final")) {
    const auto data = value.at("data").get<Values>();
    trace.weights.insert(trace.weights.end(), data.begin(), data.end());
  }
  return trace;
}

// Where the fixture's loss has an L1 term, it is either in the loss here too or an option of the optimizer.
enum class L1 { in_loss, as_option };

Trace train(const json& run, Device device, Dtype dtype, L1 l1_form = L1::in_loss) {
  const TensorOptions options{.dtype = dtype, .device = device};
  const Tensor x = tests::fixture_tensor(run.at("x"), options);
  const Tensor y = tests::fixture_tensor(run.at("y"), options);
  const std::vector<Tensor> p = initial_parameters(run, options);
  const double l1 = l1_of_loss(run);
  const auto optimizer = make_optimizer(run, p, l1_form == L1::as_option ? l1 : 0.0);
  const optim::Schedule schedule = make_schedule(run.at("attrs"));
  Trace trace;
  for (std::int64_t step = 0; step < run.at("steps"); ++step) {
    Tensor loss = mse_loss(linear(tanh(linear(x, p[0], p[1])), p[2], p[3]), y);
    if (l1 != 0 && l1_form == L1::in_loss) {
      for (const Tensor& parameter : p) {
        loss = loss + l1 * sum(abs(parameter));
      }
    }
    optimizer->set_learning_rate(schedule(step));
    optimizer->step(clipped(run, gradients(loss, p)));
    trace.losses.push_back(loss.item());
  }
  for (const Tensor& parameter : p) {
    const auto values = parameter.to_vector<double>();
    trace.weights.insert(trace.weights.end(), values.begin(), values.end());
  }
  return trace;
}

// The same run with noise of precision `unit` in place of float32's roundings; see noisy_mlp.h.
Trace train_noisy(const json& run, double unit, std::uint64_t seed) {
  const auto rows = static_cast<std::size_t>(tests::fixture_shape(run.at("x"))[0]);
  tests::NoisyMlp net(run.at("x").at("data"), run.at("y").at("data"), rows, l1_of_loss(run), unit, seed);
  std::vector<Tensor> p = initial_parameters(run, {.dtype = f64});
  const auto round = [&](double roundings) {
    for (Tensor& parameter : p) {
      parameter.assign(
          tensor(net.rounded(parameter.to_vector<double>(), roundings), parameter.shape(), {.dtype = f64}));
    }
  };
  round(1);
  const auto optimizer = make_optimizer(run, p, 0.0);
  const optim::Schedule schedule = make_schedule(run.at("attrs"));
  Trace trace;
  for (std::int64_t step = 0; step < run.at("steps"); ++step) {
    std::vector<Values> values;
    for (const Tensor& parameter : p) {
      values.push_back(parameter.to_vector<double>());
    }
    const auto result = net.step(values);
    trace.losses.push_back(result.loss);
    std::vector<Tensor> gradients;
    for (std::size_t i = 0; i < p.size(); ++i) {
      // An update formula rounds the gradient's share at most ten times on its way into the parameter.
      gradients.push_back(tensor(net.rounded(result.gradients[i], 10), p[i].shape(), {.dtype = f64}));
    }
    optimizer->set_learning_rate(schedule(step));
    optimizer->step(clipped(run, std::move(gradients)));
    round(2);
  }
  for (const Tensor& parameter : p) {
    const auto final = parameter.to_vector<double>();
    trace.weights.insert(trace.weights.end(), final.begin(), final.end());
  }
  return trace;
}

void expect_relative(const Values& found, const Values& expected, double tolerance, const std::string& what) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_LE(std::abs(found[i] - expected[i]), tolerance * std::abs(expected[i])) << what << " " << i;
  }
}

TEST_P(TorchTrainTest, Float64FollowsEveryRun) {
  ASSERT_EQ(runs().size(), 13U);
  for (const json& run : runs()) {
    SCOPED_TRACE(title(run));
    const Trace expected = expected_trace(run);
    const Trace found = train(run, device(), f64);
    expect_relative(found.losses, expected.losses, 1e-10, "loss");
    expect_relative(found.weights, expected.weights, 1e-10, "weight");
  }
}

TEST_P(TorchTrainTest, L1AsAnOptionEndsAtTheSameWeights) {
  int checked = 0;
  for (const json& run : runs()) {
    if (l1_of_loss(run) != 0) {
      const Trace found = train(run, device(), f64, L1::as_option);
      expect_relative(found.weights, expected_trace(run).weights, 1e-10, "weight");
      ++checked;
    }
  }
  EXPECT_EQ(checked, 1);
}

TEST(TorchTrainNoiseTest, WithoutNoiseIsTheRunItself) {
  for (const json& run : runs()) {
    SCOPED_TRACE(title(run));
    const Trace expected = expected_trace(run);
    const Trace found = train_noisy(run, 0.0, 0);
    expect_relative(found.losses, expected.losses, 1e-10, "loss");
    expect_relative(found.weights, expected.weights, 1e-10, "weight");
  }
}

// Root mean square, per element, of what `count` noisy runs deviate; an element that happened to be quiet gets that of
// the whole list.
Values deviations(const std::vector<Values>& noisy, const Values& expected) {
  Values result(expected.size());
  double all = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    double sum = 0;
    for (const Values& values : noisy) {
      sum += (values[i] - expected[i]) * (values[i] - expected[i]);
    }
    result[i] = std::sqrt(sum / static_cast<double>(noisy.size()));
    all += result[i] * result[i];
  }
  all = std::sqrt(all / static_cast<double>(expected.size()));
  for (double& deviation : result) {
    deviation = std::max(deviation, all);
  }
  return result;
}

struct Bounds {
  Values losses;
  Values weights;
};

// lambda times the deviation: sqrt(2 ln(2 N / delta)) for N values checked and a false alarm in one of 1 / delta tests.
const std::vector<Bounds>& float32_bounds() {
  static const std::vector<Bounds> bounds = [] {
    constexpr double unit = 0x1p-24;
    constexpr int noisy_runs = 16;
    std::size_t checked = 0;
    std::vector<Bounds> result;
    for (const json& run : runs()) {
      const Trace expected = expected_trace(run);
      std::vector<Values> losses;
      std::vector<Values> weights;
      for (int i = 0; i < noisy_runs; ++i) {
        Trace trace = train_noisy(run, unit, static_cast<std::uint64_t>(i) + 1);
        losses.push_back(std::move(trace.losses));
        weights.push_back(std::move(trace.weights));
      }
      result.push_back({deviations(losses, expected.losses), deviations(weights, expected.weights)});
      checked += expected.losses.size() + expected.weights.size();
    }
    constexpr double delta = 1e-6;
    const double lambda = std::sqrt(2.0 * std::log(2.0 * static_cast<double>(checked) / delta));
    for (Bounds& bound : result) {
      for (Values* values : {&bound.losses, &bound.weights}) {
        std::ranges::for_each(*values, [&](double& value) { value *= lambda; });
      }
    }
    return result;
  }();
  return bounds;
}

void expect_within(const Values& found, const Values& expected, const Values& bound, const std::string& what) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_LE(std::abs(found[i] - expected[i]), bound[i]) << what << " " << i;
  }
}

TEST_P(TorchTrainTest, Float32FollowsWithinItsRoundoff) {
  for (std::size_t i = 0; i < runs().size(); ++i) {
    SCOPED_TRACE(title(runs()[i]));
    const Trace expected = expected_trace(runs()[i]);
    const Trace found = train(runs()[i], device(), f32);
    expect_within(found.losses, expected.losses, float32_bounds()[i].losses, "loss");
    expect_within(found.weights, expected.weights, float32_bounds()[i].weights, "weight");
  }
}

}  // namespace
}  // namespace twingrad
