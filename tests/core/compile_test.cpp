// A compiled step gives the plain loop's bits, whatever is in it, and asks for nothing once it runs.
#include <gtest/gtest.h>
#include <twingrad/twingrad.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/devices.h"
#include "tests/optim/every_optimizer.h"

namespace twingrad::tests {
namespace {

/// Everything that a training run changes.
std::vector<double> everything(const nn::Module& model, const optim::Optimizer& optimizer) {
  std::vector<double> all;
  const auto append = [&](const NamedTensors& tensors) {
    for (const auto& [name, tensor] : tensors) {
      const std::vector<double> values = tensor.to_vector<double>();
      all.insert(all.end(), values.begin(), values.end());
    }
  };
  append(model.state());
  append(optimizer.state());
  return all;
}

struct Batch {
  Tensor x, y;
};

Batch batch(std::int64_t rows, std::int64_t number, Device device) {
  Batch made{random_normal({rows, 5}, {11, number}, {.device = device}),
             random_normal({rows, 3}, {12, number}, {.device = device})};
  eval({made.x, made.y});
  return made;
}

class CompileTest : public DeviceTest {
 protected:
  /// Trains on batches of changing size, with a learning rate that changes; all that changed, and the losses.
  std::vector<double> train(bool compiled, const MakeOptimizer& make, bool through_grad = false) const {
    nn::Mlp model({5, 8, 3}, {.dropout = 0.25, .normalization = nn::Normalization::batch, .seed = 3});
    model.to(device());
    const std::unique_ptr<optim::Optimizer> optimizer = make(model.parameters());
    const auto plain = [&](const Tensor& x, const Tensor& y) {
      const Tensor loss = mean(square(model(x) - y));
      if (through_grad) {
        optimizer->zero_grad();
        loss.backward();
        optimizer->step();
      } else {
        optimizer->step(gradients(loss, model.parameters()));
      }
      return loss;
    };
    CompiledStep fast = compile(plain);
    std::vector<double> result;
    for (std::int64_t i = 0; i < 8; ++i) {
      const Batch now = batch(i == 4 ? 7 : 12, i, device());
      optimizer->set_learning_rate(0.01 / static_cast<double>(1 + i));
      const Tensor loss = compiled ? fast(now.x, now.y) : plain(now.x, now.y);
      result.push_back(loss.item());
    }
    if (compiled) {
      EXPECT_EQ(fast.recordings(), 2U);
    }
    EXPECT_EQ(optimizer->steps(), 8);
    const std::vector<double> state = everything(model, *optimizer);
    result.insert(result.end(), state.begin(), state.end());
    return result;
  }
};

TEST_P(CompileTest, GivesThePlainLoopsBitsWithEveryOptimizer) {
  for (const auto& [name, make] : every_optimizer()) {
    const std::vector<double> plain = train(false, make);
    const std::vector<double> compiled = train(true, make);
    ASSERT_EQ(plain.size(), compiled.size()) << name;
    for (std::size_t i = 0; i < plain.size(); ++i) {
      ASSERT_EQ(plain[i], compiled[i]) << name << ", number " << i;
    }
  }
}

TEST_P(CompileTest, TakesGradientsThroughBackwardToo) {
  const MakeOptimizer make = [](const auto& p) { return std::make_unique<optim::Adam>(p); };
  EXPECT_EQ(train(true, make, true), train(false, make, true));
}

TEST_P(CompileTest, StepsAfterTheFirstPlanNothingAndAskTheDeviceForNothing) {
  nn::Mlp model({5, 8, 3}, {.seed = 3});
  model.to(device());
  optim::Adam adam(model.parameters());
  CompiledStep step = compile([&](const Tensor& x, const Tensor& y) {
    Tensor loss = mean(square(model(x) - y));
    adam.step(gradients(loss, model.parameters()));
    return loss;
  });
  const Batch data = batch(12, 0, device());
  Tensor loss = step(data.x, data.y);
  const std::uint64_t misses = plan_cache_stats().misses;
  const std::uint64_t allocations = memory_stats(device()).allocations;
  const std::uint64_t live = memory_stats(device()).live;
  for (int i = 0; i < 50; ++i) {
    loss = Tensor();
    loss = step(data.x, data.y);
  }
  EXPECT_EQ(plan_cache_stats().misses, misses);
  EXPECT_EQ(memory_stats(device()).allocations, allocations);
  EXPECT_EQ(memory_stats(device()).live, live);
  EXPECT_EQ(step.recordings(), 1U);
}

TEST_P(CompileTest, InputsThatAreStillToBeComputedAreComputedInOneRun) {
  const Tensor table = tensor(std::vector<double>{1, 2, 3, 4}, {.device = device()});
  CompiledStep step = compile([](const Tensor& x, const Tensor& y) { return sum(x * y); });
  const auto total = [&](double first) {
    const Tensor rows = arange(2, 0, 1, {.device = device()}) + tensor(first, {.dtype = i64, .device = device()});
    return step(index_select(table, 0, rows), index_select(table, 0, rows) * 2.0).item();
  };
  EXPECT_EQ(total(0), 10);
  const PlanCacheStats before = plan_cache_stats();
  EXPECT_EQ(total(2), 50);
  const PlanCacheStats after = plan_cache_stats();
  EXPECT_EQ(after.hits - before.hits, 1U);
  EXPECT_EQ(after.misses, before.misses);
}

TEST_P(CompileTest, ValuesThatAreHeldStayWhatTheyWere) {
  Tensor w = random_normal({4, 4}, {5, 0}, {.device = device(), .requires_grad = true});
  CompiledStep step = compile([&](const Tensor& x) {
    Tensor loss = sum(square(matmul(x, w)));
    assign_all({{w, w - gradients(loss, {w})[0] * 0.01}});
    return loss;
  });
  const Tensor x = ones({2, 4}, {.device = device()});
  const Tensor first_w = w.detach();
  const std::vector<float> start = first_w.to_vector<float>();
  const Tensor first = step(x);
  const Tensor second = step(x);
  EXPECT_GT(first.item(), second.item());
  EXPECT_EQ(first_w.to_vector<float>(), start);
  EXPECT_NE(w.to_vector<float>(), start);
}

TEST_P(CompileTest, ReadsSlicesWhereTheyLie) {
  Tensor w = ones({3}, {.device = device(), .requires_grad = true});
  CompiledStep step = compile([&](const Tensor& x) {
    Tensor total = sum(x * w);
    assign_all({{w, w + 1}});
    return total;
  });
  const Tensor rows = tensor(std::vector<float>{1, 2, 3, 10, 20, 30, 100, 200, 300}, {3, 3}, {.device = device()});
  EXPECT_EQ(step(slice(rows, 0, 0, 1)).item(), 6);
  EXPECT_EQ(step(slice(rows, 0, 2, 3)).item(), 1200);
  EXPECT_EQ(step(slice(transpose(rows), 0, 0, 1)).item(), 333);
  EXPECT_EQ(step.recordings(), 1U);
}

/// Runs `step` twice over, compiled and plain, from the same start; what it leaves behind must have the same bits.
template <class Make>
void expect_as_plain(const Make& make) {
  std::vector<std::vector<double>> results;
  for (const bool compiled : {false, true}) {
    auto [step, state] = make();
    CompiledStep fast = compile(std::function<Tensor(Tensor)>(step));
    std::vector<double> all;
    for (int i = 0; i < 5; ++i) {
      const Tensor x = random_normal({4, 4}, {21, i}, {.device = state.front().device()});
      all.push_back((compiled ? fast(x) : step(x)).item());
    }
    for (const Tensor& tensor : state) {
      const std::vector<double> values = tensor.to_vector<double>();
      all.insert(all.end(), values.begin(), values.end());
    }
    results.push_back(std::move(all));
  }
  EXPECT_EQ(results[0], results[1]);
}

using Made = std::pair<std::function<Tensor(const Tensor&)>, std::vector<Tensor>>;

Tensor parameter(std::int64_t number, Device device) {
  Tensor w = random_normal({4, 4}, {20, number}, {.device = device});
  w.eval();
  return w.detach().requires_grad(true);
}

TEST_P(CompileTest, WhatFollowsAnAssignmentReadsTheNewValue) {
  // As adversarial nets train: the second loss sees what the first step has made of the other net.
  expect_as_plain([&]() -> Made {
    Tensor a = parameter(1, device());
    Tensor b = parameter(2, device());
    auto first = std::make_shared<optim::Adam>(std::vector<Tensor>{a});
    auto second = std::make_shared<optim::SGD>(std::vector<Tensor>{b}, optim::SGDOptions{.lr = 0.1});
    return {[=](const Tensor& x) {
              first->step(gradients(mean(square(matmul(tanh(matmul(x, b)), a))), {a}));
              Tensor loss = mean(square(matmul(tanh(matmul(x, b)), a) - 1));
              second->step(gradients(loss, {b}));
              return loss;
            },
            {a, b}};
  });
}

TEST_P(CompileTest, AValueThatLiesTurnedInTheSameMemory) {
  expect_as_plain([&]() -> Made {
    Tensor w = parameter(3, device());
    return {[=](const Tensor& x) {
              Tensor loss = sum(x * w);
              assign_all({{w, transpose(w * 0.5)}});
              return loss;
            },
            {w}};
  });
}

TEST_P(CompileTest, ValuesThatAreThereAlreadyAreTakenAnewEachTime) {
  expect_as_plain([&]() -> Made {
    Tensor a = parameter(4, device());
    Tensor b = parameter(5, device());
    Tensor last = parameter(6, device());
    return {[=](const Tensor& x) mutable {
              Tensor loss = sum(x * a - b) + sum(last);
              assign_all({{a, b}, {b, a}});  // exchanged
              last.assign(x);
              return loss;
            },
            {a, b, last}};
  });
}

TEST_P(CompileTest, RunningMeansAreUpdatedOnceForEachForwardPass) {
  expect_as_plain([&]() -> Made {
    auto norm = std::make_shared<nn::BatchNorm1d>(4);
    norm->to(device());
    std::vector<Tensor> state;
    for (const auto& [name, tensor] : norm->named_buffers()) {
      state.push_back(tensor);
    }
    Tensor w = parameter(7, device());
    state.push_back(w);
    return {[=](const Tensor& x) {
              Tensor loss = sum((*norm)(x)*w) + sum((*norm)(x * 2) * w);
              assign_all({{w, w - gradients(loss, {w})[0] * 0.01}});
              return loss;
            },
            state};
  });
}

TEST_P(CompileTest, AScaledStepIsRefused) {
  Tensor w = parameter(9, device());
  optim::SGD sgd({w});
  optim::LossScaler scaler;
  CompiledStep step = compile([&](const Tensor& x) {
    Tensor loss = sum(x * w);
    scaler.step(sgd, gradients(scaler.scale(loss), {w}));
    return loss;
  });
  EXPECT_THROW(step(ones({4, 4}, {.device = device()})), ArgumentError);
}

TEST_P(CompileTest, OneOptimizerStepsOnce) {
  Tensor w = parameter(8, device());
  optim::SGD sgd({w});
  const std::vector<float> before = w.to_vector<float>();
  CompiledStep step = compile([&](const Tensor& x) {
    sgd.step(gradients(sum(x * w), {w}));
    Tensor loss = sum(x * w);
    sgd.step(gradients(loss, {w}));
    return loss;
  });
  EXPECT_THROW(step(ones({4, 4}, {.device = device()})), ArgumentError);
  EXPECT_EQ(w.to_vector<float>(), before);
  EXPECT_EQ(sgd.steps(), 0);
}

TEST_P(CompileTest, FollowsParametersThatAreReplaced) {
  nn::Mlp model({5, 3}, {.seed = 3});
  model.to(device());
  const NamedTensors start = model.state();
  optim::SGD sgd(model.parameters(), {.lr = 0.1});
  CompiledStep step = compile([&](const Tensor& x, const Tensor& y) {
    Tensor loss = mean(square(model(x) - y));
    sgd.step(gradients(loss, model.parameters()));
    return loss;
  });
  const Batch data = batch(6, 0, device());
  const double first = step(data.x, data.y).item();
  const double second = step(data.x, data.y).item();
  EXPECT_LT(second, first);
  model.load_state(start);
  EXPECT_EQ(step(data.x, data.y).item(), first);
  model.to(f64);
  EXPECT_NEAR(step(data.x.to(f64), data.y.to(f64)).item(), second, 1e-5);
  EXPECT_EQ(step.recordings(), 2U);
}

TEST_P(CompileTest, AMovedOptimizerGoesOn) {
  Tensor w = ones({2}, {.device = device(), .requires_grad = true});
  auto first = std::make_unique<optim::SGD>(std::vector<Tensor>{w}, optim::SGDOptions{.lr = 1.0});
  CompiledStep step = compile([&, sgd = first.get()] {
    Tensor loss = sum(w);
    sgd->step(gradients(loss, {w}));
    return loss;
  });
  EXPECT_EQ(step().item(), 2);
  optim::SGD second = std::move(*first);
  second.set_learning_rate(10.0);
  EXPECT_EQ(step().item(), 0);
  EXPECT_EQ(step().item(), -20);
  EXPECT_EQ(second.steps(), 3);
}

TEST_P(CompileTest, SaysWhatCannotBeCompiled) {
  Tensor w = ones({2}, {.device = device(), .requires_grad = true});
  CompiledStep asks = compile([&](const Tensor& x) {
    const Tensor loss = sum(x * w);
    return loss.item() > 0 ? loss : loss * 2;
  });
  try {
    asks(ones({2}, {.device = device()}));
    FAIL() << "a value was there";
  } catch (const ArgumentError& error) {
    EXPECT_NE(std::string(error.what()).find("inside the step"), std::string::npos) << error.what();
  }
  CompiledStep nothing = compile([&](const Tensor& x) { return x; });
  EXPECT_THROW(nothing(ones({2}, {.device = device()})), ArgumentError);
  EXPECT_THROW(asks(w, w), ArgumentError);
  EXPECT_THROW(asks(Tensor()), ArgumentError);
  auto sgd = std::make_unique<optim::SGD>(std::vector<Tensor>{w});
  CompiledStep step = compile([&] {
    Tensor loss = sum(w);
    sgd->step(gradients(loss, {w}));
    return loss;
  });
  step();
  sgd.reset();
  EXPECT_THROW(step(), ArgumentError);
}

TEST(CompileOnCpuTest, AStepThatFailsChangesNothing) {
  Tensor table = random_normal({4, 2}, {5, 0}, {.requires_grad = true});
  optim::Adam adam({table});
  CompiledStep step = compile([&](const Tensor& index) {
    Tensor loss = sum(square(embedding(table, index)));
    adam.step(gradients(loss, {table}));
    return loss;
  });
  step(tensor(std::vector<std::int64_t>{0, 1}));
  const std::vector<float> before = table.to_vector<float>();
  EXPECT_THROW(step(tensor(std::vector<std::int64_t>{0, 9})), NumericError);
  EXPECT_EQ(table.to_vector<float>(), before);
  EXPECT_EQ(adam.steps(), 1);
  step(tensor(std::vector<std::int64_t>{3, 1}));
  EXPECT_EQ(adam.steps(), 2);
  EXPECT_NE(table.to_vector<float>(), before);
}

TEST(CompileOnCpuTest, TwoDevicesAreRefused) {
  Tensor w = ones({2}, {.requires_grad = true});
  CompiledStep step = compile([&](const Tensor& x) { return sum(x.to(fake_device())) + 1; });
  try {
    step(w);
    FAIL() << "a copy between devices was compiled";
  } catch (const ArgumentError& error) {
    EXPECT_NE(std::string(error.what()).find("one device"), std::string::npos) << error.what();
  }
}

INSTANTIATE_ON_DEVICES(CompileTest);

}  // namespace
}  // namespace twingrad::tests
