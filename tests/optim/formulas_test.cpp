// The options that the PyTorch fixture does not have, against PyTorch's documented formulas written out for one number
// at a time.
#include <gtest/gtest.h>
#include <twingrad/twingrad.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <vector>

#include "tests/devices.h"

namespace twingrad {
namespace {

class OptimizerFormulaTest : public tests::DeviceTest {
 protected:
  // The next value of one parameter element, given it and its gradient, at step t = 1, 2, ...
  using Rule = std::function<double(double p, double g, int t)>;

  // Runs the optimizer with given gradients for six steps beside a rule with its own state for each element.
  void expect_same(const std::function<std::unique_ptr<optim::Optimizer>(std::vector<Tensor>)>& make_optimizer,
                   const std::function<Rule()>& make_rule) const {
    std::vector<double> expected = {0.5, -1.25, 0.0, 2.0, -0.03125};
    const auto count = static_cast<std::int64_t>(expected.size());
    std::vector<Rule> rules;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      rules.push_back(make_rule());
    }
    const Tensor parameter = tensor(expected, {.dtype = f64, .device = device(), .requires_grad = true});
    const auto optimizer = make_optimizer({parameter});
    for (int t = 1; t <= 6; ++t) {
      const Tensor gradient = random_normal({count}, {.key = 11, .stream = t}, {.dtype = f64, .device = device()});
      const auto g = gradient.to_vector<double>();
      optimizer->step({gradient});
      const auto found = parameter.to_vector<double>();
      for (std::size_t i = 0; i < expected.size(); ++i) {
        expected[i] = rules[i](expected[i], g[i], t);
        // At most some twenty roundings a step, of numbers no larger than the few units that occur here.
        EXPECT_LE(std::abs(found[i] - expected[i]), 20 * t * 0x1p-53 * std::max(4.0, std::abs(expected[i])))
            << "step " << t << ", element " << i;
      }
    }
  }
};
INSTANTIATE_ON_DEVICES(OptimizerFormulaTest);

double sign(double x) {
  return x > 0 ? 1.0 : (x < 0 ? -1.0 : 0.0);
}

TEST_P(OptimizerFormulaTest, SGDWithDampening) {
  expect_same(
      [](const auto& p) {
        return std::make_unique<optim::SGD>(p, optim::SGDOptions{.lr = 0.1, .momentum = 0.8, .dampening = 0.3});
      },
      [] {
        return [buffer = 0.0](double p, double g, int t) mutable {
          buffer = t == 1 ? g : 0.8 * buffer + (1 - 0.3) * g;
          return p - 0.1 * buffer;
        };
      });
}

TEST_P(OptimizerFormulaTest, SGDWithBothPenaltiesAndNesterov) {
  expect_same(
      [](const auto& p) {
        return std::make_unique<optim::SGD>(
            p, optim::SGDOptions{.lr = 0.1, .momentum = 0.5, .nesterov = true, .weight_decay = 0.25, .l1 = 0.125});
      },
      [] {
        return [buffer = 0.0](double p, double g, int) mutable {
          g += 0.25 * p + 0.125 * sign(p);
          buffer = 0.5 * buffer + g;
          return p - 0.1 * (g + 0.5 * buffer);
        };
      });
}

TEST_P(OptimizerFormulaTest, AdamWithAMSGrad) {
  expect_same(
      [](const auto& p) {
        return std::make_unique<optim::Adam>(
            p, optim::AdamOptions{
                   .lr = 0.1, .beta1 = 0.8, .beta2 = 0.5, .eps = 0.01, .weight_decay = 0.1, .amsgrad = true});
      },
      [] {
        return [m = 0.0, v = 0.0, largest = 0.0](double p, double g, int t) mutable {
          g += 0.1 * p;
          m = 0.8 * m + 0.2 * g;
          v = 0.5 * v + 0.5 * g * g;
          largest = std::max(largest, v);
          const double denominator = std::sqrt(largest) / std::sqrt(1 - std::pow(0.5, t)) + 0.01;
          return p - 0.1 / (1 - std::pow(0.8, t)) * m / denominator;
        };
      });
}

TEST_P(OptimizerFormulaTest, AdamWithL1AndAdamWThatShrinks) {
  expect_same(
      [](const auto& p) {
        return std::make_unique<optim::AdamW>(p, optim::AdamWOptions{.lr = 0.05, .weight_decay = 0.2, .l1 = 0.5});
      },
      [] {
        return [m = 0.0, v = 0.0](double p, double g, int t) mutable {
          g += 0.5 * sign(p);
          p *= 1 - 0.05 * 0.2;
          m = 0.9 * m + 0.1 * g;
          v = 0.999 * v + 0.001 * g * g;
          const double denominator = std::sqrt(v) / std::sqrt(1 - std::pow(0.999, t)) + 1e-8;
          return p - 0.05 / (1 - std::pow(0.9, t)) * m / denominator;
        };
      });
}

TEST_P(OptimizerFormulaTest, RMSpropCentred) {
  expect_same(
      [](const auto& p) {
        return std::make_unique<optim::RMSprop>(p, optim::RMSpropOptions{.alpha = 0.75, .eps = 0.01, .centred = true});
      },
      [] {
        return [v = 0.0, mean = 0.0](double p, double g, int) mutable {
          v = 0.75 * v + 0.25 * g * g;
          mean = 0.75 * mean + 0.25 * g;
          return p - 0.01 * g / (std::sqrt(v - mean * mean) + 0.01);
        };
      });
}

TEST_P(OptimizerFormulaTest, RMSpropWithMomentum) {
  expect_same(
      [](const auto& p) {
        return std::make_unique<optim::RMSprop>(p, optim::RMSpropOptions{.momentum = 0.5, .weight_decay = 0.5});
      },
      [] {
        return [v = 0.0, buffer = 0.0](double p, double g, int) mutable {
          g += 0.5 * p;
          v = 0.99 * v + 0.01 * g * g;
          buffer = 0.5 * buffer + g / (std::sqrt(v) + 1e-8);
          return p - 0.01 * buffer;
        };
      });
}

TEST_P(OptimizerFormulaTest, RMSpropCentredWithMomentum) {
  expect_same(
      [](const auto& p) {
        return std::make_unique<optim::RMSprop>(
            p, optim::RMSpropOptions{.alpha = 0.75, .eps = 0.01, .momentum = 0.5, .centred = true});
      },
      [] {
        return [v = 0.0, mean = 0.0, buffer = 0.0](double p, double g, int) mutable {
          v = 0.75 * v + 0.25 * g * g;
          mean = 0.75 * mean + 0.25 * g;
          buffer = 0.5 * buffer + g / (std::sqrt(v - mean * mean) + 0.01);
          return p - 0.01 * buffer;
        };
      });
}

TEST_P(OptimizerFormulaTest, AdagradWithDecayOfItsRateAndAFirstSum) {
  expect_same(
      [](const auto& p) {
        return std::make_unique<optim::Adagrad>(
            p, optim::AdagradOptions{.lr = 0.5, .lr_decay = 0.25, .initial_sum = 0.5, .weight_decay = 0.125});
      },
      [] {
        return [sum = 0.5](double p, double g, int t) mutable {
          g += 0.125 * p;
          sum += g * g;
          return p - 0.5 / (1 + (t - 1) * 0.25) * g / (std::sqrt(sum) + 1e-10);
        };
      });
}

TEST_P(OptimizerFormulaTest, SixteenBitParametersAreUpdatedInFloat32AndRounded) {
  for (const Dtype dtype : {bf16, f16}) {
    const Tensor parameter =
        tensor(std::vector<double>{1.0, -2.0}, {.dtype = dtype, .device = device(), .requires_grad = true});
    const Tensor gradient = tensor(std::vector<double>{0.5, 0.25}, {.dtype = dtype, .device = device()});
    optim::SGD sgd({parameter}, {.lr = 0.0123, .momentum = 0.9});
    sgd.step({gradient});
    const std::vector<float> exact = {1.0F - 0.0123F * 0.5F, -2.0F - 0.0123F * 0.25F};
    EXPECT_EQ(parameter.to_vector<float>(), tensor(exact).to(dtype).to_vector<float>());
    EXPECT_EQ(parameter.dtype(), dtype);
    EXPECT_EQ(find(sgd.state(), "momentum.0").dtype(), f32);
  }
}

}  // namespace
}  // namespace twingrad
