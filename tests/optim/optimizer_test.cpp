// What all optimizers share: checks of options and gradients, groups, state, steps that happen whole or not at all, and
// runs that give the same bits again.
#include <gtest/gtest.h>
#include <twingrad/twingrad.h>

#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "tests/devices.h"

namespace twingrad {
namespace {

using Bits = std::vector<std::vector<float>>;

Bits bits(const NamedTensors& tensors) {
  Bits result;
  for (const auto& [name, tensor] : tensors) {
    result.push_back(tensor.to_vector<float>());
  }
  return result;
}

class OptimizerTest : public tests::DeviceTest {
 protected:
  void TearDown() override { set_execution(Execution::planned); }

  Tensor parameter(const std::vector<double>& values) const {
    return tensor(values, {.device = device(), .requires_grad = true});
  }
  Tensor floats(const std::vector<double>& values) const { return tensor(values, {.device = device()}); }
};
INSTANTIATE_ON_DEVICES(OptimizerTest);

// A net with everything that has state or randomness, and its optimizer.
class Training {
 public:
  explicit Training(Device device) : device_(device) {
    model.to(device);
    optimizer = std::make_unique<optim::AdamW>(model.parameters(), optim::AdamWOptions{.lr = 1e-2, .amsgrad = true});
  }

  void steps(int count) {
    for (int i = 0; i < count; ++i) {
      step(tensor(std::vector<std::int64_t>{0, 1, 2, 0, 1, 2, 2, 1, 0}, {.device = device_}));
    }
  }
  void step(const Tensor& labels) {
    const std::int64_t rows = labels.size(0);
    const Tensor x = random_normal({rows, 4}, {.key = 77, .stream = optimizer->steps()}, {.device = device_});
    const Tensor loss = cross_entropy(model(x), labels);
    optimizer->set_learning_rate(schedule(optimizer->steps()));
    optimizer->step(optim::clip_norm(gradients(loss, model.parameters()), 0.5));
  }

  Bits everything() const {
    Bits all = bits(model.state());
    for (auto& values : bits(optimizer->state())) {
      all.push_back(std::move(values));
    }
    return all;
  }

  nn::Mlp model{{4, 16, 16, 3}, {.dropout = 0.25, .normalization = nn::Normalization::batch, .seed = 5}};
  std::unique_ptr<optim::Optimizer> optimizer;
  optim::CosineSchedule schedule{.lr = 1e-2, .t_max = 50};

 private:
  Device device_;
};

TEST_P(OptimizerTest, TheSameRunGivesTheSameBits) {
  Training first(device());
  Training second(device());
  first.steps(12);
  second.steps(12);
  EXPECT_EQ(first.everything(), second.everything());
  EXPECT_NE(first.everything(), Training(device()).everything());
}

TEST_P(OptimizerTest, PlannedAndOpByOpGiveTheSameBits) {
  Training planned(device());
  planned.steps(12);
  set_execution(Execution::op_by_op);
  Training op_by_op(device());
  op_by_op.steps(12);
  EXPECT_EQ(planned.everything(), op_by_op.everything());
}

TEST_P(OptimizerTest, StepsReplayOnePlanAndAllocateNothing) {
  Training training(device());
  training.steps(3);
  const PlanCacheStats plans = plan_cache_stats();
  synchronize(device());
  const MemoryStats memory = memory_stats(device());
  training.steps(10);
  synchronize(device());
  EXPECT_EQ(plan_cache_stats().misses, plans.misses);
  EXPECT_EQ(plan_cache_stats().hits, plans.hits + 10);
  EXPECT_EQ(memory_stats(device()).allocations, memory.allocations);
  EXPECT_EQ(memory_stats(device()).live, memory.live);
}

TEST(OptimizerMoveTest, WhatWasMovedFromMayBeMovedAgain) {
  const Tensor w = ones({2}, {.requires_grad = true});
  optim::SGD first({w}, {.lr = 0.5});
  optim::SGD second = std::move(first);
  const optim::SGD third = std::move(first);  // NOLINT(bugprone-use-after-move): that it is harmless is what is tested
  second.step(gradients(sum(w), {w}));
  EXPECT_EQ(w.to_vector<float>(), (std::vector<float>{0.5F, 0.5F}));
}

TEST(OptimizerFailureTest, HyperparametersSayWhatTheyTake) {
  EXPECT_THROW((optim::Hyperparameters{{1, 2, 3, 4, 5}}), ArgumentError);
  EXPECT_THROW((optim::Hyperparameters{{1}, {}}), ArgumentError);
  EXPECT_THROW((optim::Hyperparameters{{1}, {2}, {3}, {4}, {5}, {6}, {7}}), ArgumentError);
}

TEST(OptimizerFailureTest, AFailedStepChangesNothing) {
  Training training(Device::cpu());
  Training untroubled(Device::cpu());
  training.steps(4);
  untroubled.steps(4);
  training.optimizer->set_learning_rate(training.schedule(4));  // as step() will
  const Bits before = bits(training.model.state());
  const Bits optimizer_before = bits(training.optimizer->state());
  training.model.eval();  // so that the batch that fails leaves its mark neither in dropout's streams nor in statistics
  EXPECT_THROW(training.step(tensor(std::vector<std::int64_t>{0, 1, 3})), NumericError);
  training.model.train();
  EXPECT_EQ(bits(training.model.state()), before);
  EXPECT_EQ(bits(training.optimizer->state()), optimizer_before);
  EXPECT_EQ(training.optimizer->steps(), 4);
  // And training goes on as if nothing had been.
  training.steps(3);
  untroubled.steps(3);
  EXPECT_EQ(training.everything(), untroubled.everything());
}

TEST_P(OptimizerTest, StateSavedAndLoadedContinuesBitForBit) {
  Training through(device());
  through.steps(9);

  Training stopped(device());
  stopped.steps(4);
  const NamedTensors model_state = stopped.model.state();
  const NamedTensors optimizer_state = stopped.optimizer->state();
  Training resumed(device());
  resumed.model.load_state(model_state);
  resumed.optimizer->load_state(optimizer_state);
  EXPECT_EQ(resumed.optimizer->steps(), 4);
  EXPECT_EQ(resumed.optimizer->learning_rate(), stopped.optimizer->learning_rate());
  const auto dropout_calls = [](Training& training, std::int64_t calls) {
    dynamic_cast<nn::Dropout&>(training.model[3]).generator().set_stream(calls);
    dynamic_cast<nn::Dropout&>(training.model[7]).generator().set_stream(calls);
  };
  dropout_calls(resumed, 4);
  resumed.steps(5);
  EXPECT_EQ(resumed.everything(), through.everything());
}

TEST_P(OptimizerTest, StateNamesWhatItHolds) {
  const Tensor a = parameter({1, 2});
  const Tensor b = parameter({3});
  optim::Adam adam({a, b}, {.amsgrad = true});
  std::vector<std::string> names;
  for (const auto& [name, tensor] : adam.state()) {
    names.push_back(name);
  }
  EXPECT_EQ(names, (std::vector<std::string>{"lr", "step", "exp_avg.0", "exp_avg_sq.0", "max_exp_avg_sq.0", "exp_avg.1",
                                             "exp_avg_sq.1", "max_exp_avg_sq.1"}));
  EXPECT_EQ(find(adam.state(), "exp_avg.0").to_vector<float>(), (std::vector<float>{0, 0}));
  adam.step({floats({1, 1}), Tensor()});
  EXPECT_EQ(find(adam.state(), "step").to_vector<std::int64_t>(), (std::vector<std::int64_t>{1, 0}));
  EXPECT_EQ(find(adam.state(), "exp_avg.1").to_vector<float>(), (std::vector<float>{0}));
  EXPECT_THROW(find(adam.state(), "momentum.0"), ArgumentError);
}

TEST_P(OptimizerTest, StateOfAnotherOptimizerIsRefusedWhole) {
  const Tensor a = parameter({1, 2});
  optim::SGD sgd({a}, {.momentum = 0.9});
  sgd.step({floats({1, 1})});
  const Bits before = bits(sgd.state());
  EXPECT_THROW(sgd.load_state(optim::Adam({a}).state()), ArgumentError);
  NamedTensors negative = sgd.state();
  negative[0].second = tensor(std::vector<double>{-1.0}, {.dtype = f64});
  EXPECT_THROW(sgd.load_state(negative), ArgumentError);
  EXPECT_EQ(bits(sgd.state()), before);
}

TEST_P(OptimizerTest, GroupsHaveRatesOfTheirOwn) {
  const Tensor a = parameter({1});
  const Tensor b = parameter({1});
  optim::SGD sgd(
      {{.parameters = {a}, .options = {.lr = 0.5}}, {.parameters = {b}, .options = {.lr = 0.25, .weight_decay = 1}}});
  sgd.step({floats({1}), floats({1})});
  EXPECT_EQ(a.item(), 1 - 0.5 * 1);
  EXPECT_EQ(b.item(), 1 - 0.25 * (1 + 1));
  EXPECT_EQ(sgd.group_count(), 2U);
  EXPECT_EQ(sgd.learning_rate(1), 0.25);
  sgd.set_learning_rate(1, 0.125);
  EXPECT_EQ(sgd.learning_rate(0), 0.5);
  EXPECT_EQ(sgd.learning_rate(1), 0.125);
  sgd.set_learning_rate(2.0);
  EXPECT_EQ(sgd.learning_rate(0), 2.0);
  EXPECT_EQ(sgd.learning_rate(1), 2.0);
  EXPECT_THROW(sgd.learning_rate(2), ArgumentError);
  EXPECT_THROW(sgd.set_learning_rate(2, 0.1), ArgumentError);
  EXPECT_THROW(sgd.set_learning_rate(-0.1), ArgumentError);
  EXPECT_THROW(sgd.set_learning_rate(std::numeric_limits<double>::infinity()), ArgumentError);
}

TEST_P(OptimizerTest, StepsOnWhatBackwardLeft) {
  const Tensor a = parameter({1, 2});
  const Tensor unused = parameter({5});
  optim::SGD sgd({a, unused}, {.lr = 0.25});
  EXPECT_THROW(sgd.step(), ArgumentError);
  sum(square(a)).backward();
  sgd.step();
  EXPECT_EQ(a.to_vector<float>(), (std::vector<float>{0.5, 1}));
  EXPECT_EQ(unused.item(), 5);
  EXPECT_EQ(sgd.steps(), 1);
  // The gradient is still there and adds up until it is cleared.
  EXPECT_EQ(a.grad().to_vector<float>(), (std::vector<float>{2, 4}));
  sgd.zero_grad();
  EXPECT_FALSE(a.grad().defined());
}

TEST_P(OptimizerTest, GradientsThatDoNotFitAreRefused) {
  const Tensor a = parameter({1, 2});
  optim::SGD sgd({a});
  EXPECT_THROW(sgd.step(std::vector<Tensor>{}), ArgumentError);
  EXPECT_THROW(sgd.step({floats({1, 1}), floats({1, 1})}), ArgumentError);
  EXPECT_THROW(sgd.step({Tensor()}), ArgumentError);
  EXPECT_THROW(sgd.step({floats({1, 1, 1})}), ShapeError);
  EXPECT_THROW(sgd.step({floats({1, 1}).to(f64)}), DtypeError);
  if (!(device() == Device::cpu())) {
    EXPECT_THROW(sgd.step({tensor(std::vector<float>{1, 1})}), DeviceError);
  }
  EXPECT_EQ(a.to_vector<float>(), (std::vector<float>{1, 2}));
}

TEST_P(OptimizerTest, FollowsAModelThatMoves) {
  const auto run = [](Device second) {
    nn::Linear model(3, 2, {.seed = Seed{.key = 3}});
    optim::SGD sgd(model.parameters(), {.lr = 0.5, .momentum = 0.5});
    for (int i = 0; i < 4; ++i) {
      if (i == 2) {
        model.to(second);
      }
      const Tensor x = tensor(std::vector<float>{1, -2, 4}, {1, 3}, {.device = model.device()});
      sgd.step(gradients(sum(model(x)), model.parameters()));
    }
    return bits(model.state());
  };
  EXPECT_EQ(run(device()), run(Device::cpu()));
}

TEST_P(OptimizerTest, EmptyParametersAreLegal) {
  const Tensor none = tensor(std::vector<float>{}, {.device = device(), .requires_grad = true});
  const Tensor one = parameter({1});
  optim::Adam adam({none, one}, {.lr = 1});
  adam.step({none.detach(), floats({2})});
  EXPECT_EQ(none.numel(), 0);
  EXPECT_NEAR(one.item(), 0.0, 1e-6);  // Adam's first step is lr * g / (|g| + eps), in float32
}

TEST(OptimizerOptionsTest, BadOnesThrow) {
  const std::vector<Tensor> p = {tensor(std::vector<float>{1}, {.requires_grad = true})};
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THROW(optim::SGD(p, {.lr = -1}), ArgumentError);
  EXPECT_THROW(optim::SGD(p, {.lr = nan}), ArgumentError);
  EXPECT_THROW(optim::SGD(p, {.momentum = 1}), ArgumentError);
  EXPECT_THROW(optim::SGD(p, {.momentum = -0.1}), ArgumentError);
  EXPECT_THROW(optim::SGD(p, {.dampening = -0.1}), ArgumentError);
  EXPECT_THROW(optim::SGD(p, {.nesterov = true}), ArgumentError);
  EXPECT_THROW(optim::SGD(p, {.momentum = 0.9, .dampening = 0.1, .nesterov = true}), ArgumentError);
  EXPECT_THROW(optim::SGD(p, {.weight_decay = -1}), ArgumentError);
  EXPECT_THROW(optim::SGD(p, {.l1 = -1}), ArgumentError);
  EXPECT_THROW(optim::Adam(p, {.lr = -1}), ArgumentError);
  EXPECT_THROW(optim::Adam(p, {.beta1 = 1}), ArgumentError);
  EXPECT_THROW(optim::Adam(p, {.beta2 = -0.5}), ArgumentError);
  EXPECT_THROW(optim::Adam(p, {.eps = -1}), ArgumentError);
  EXPECT_THROW(optim::AdamW(p, {.weight_decay = -1}), ArgumentError);
  EXPECT_THROW(optim::AdamW(p, {.beta2 = 1}), ArgumentError);
  EXPECT_THROW(optim::RMSprop(p, {.alpha = 1}), ArgumentError);
  EXPECT_THROW(optim::RMSprop(p, {.momentum = 1}), ArgumentError);
  EXPECT_THROW(optim::RMSprop(p, {.eps = -1}), ArgumentError);
  EXPECT_THROW(optim::Adagrad(p, {.lr_decay = -1}), ArgumentError);
  EXPECT_THROW(optim::Adagrad(p, {.initial_sum = -1}), ArgumentError);
}

TEST(OptimizerOptionsTest, BadParametersThrow) {
  const Tensor leaf = tensor(std::vector<float>{1}, {.requires_grad = true});
  EXPECT_THROW(optim::SGD(std::vector<Tensor>{}), ArgumentError);
  EXPECT_THROW(optim::SGD({leaf, leaf}), ArgumentError);
  EXPECT_THROW(optim::SGD({{.parameters = {leaf}}, {.parameters = {leaf}}}), ArgumentError);
  EXPECT_THROW(optim::SGD({leaf * 2.0}), ArgumentError);
  EXPECT_THROW(optim::SGD({tensor(std::vector<float>{1})}), ArgumentError);
  EXPECT_THROW(optim::SGD({Tensor()}), ArgumentError);
}

TEST(OptimizerOptionsTest, MessagesNameTheParameter) {
  nn::Mlp model({2, 3, 1});
  optim::SGD sgd(model.parameters());
  std::vector<Tensor> wrong;
  for (const Tensor& parameter : model.parameters()) {
    wrong.push_back(parameter.detach());
  }
  wrong[2] = ones({7});
  try {
    sgd.step(wrong);
    ADD_FAILURE() << "the gradient was taken";
  } catch (const ShapeError& error) {
    EXPECT_NE(std::string(error.what()).find("parameter 2 ('2.weight')"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace twingrad
