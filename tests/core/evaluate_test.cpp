// How the graph is run: order, lifetimes, reuse of memory, cached plans, and what an optimizer's step may overwrite.
#include <gtest/gtest.h>
#include <twingrad/twingrad.h>

#include <vector>

#include "tests/devices.h"

namespace twingrad {
namespace {

class EvaluateTest : public tests::DeviceTest {
 protected:
  void TearDown() override { set_execution(Execution::planned); }

  Tensor vector(std::vector<double> values) const { return tensor(values, {.dtype = f64, .device = device()}); }

  // A few layers with every kind of reuse: diamonds, views, in-place candidates, an unused result.
  Tensor network(const Tensor& x, const Tensor& w) const {
    Tensor h = x;
    for (int layer = 0; layer < 5; ++layer) {
      const Tensor z = matmul(h, w);
      const Tensor unused = exp(z);
      h = tanh(z) + slice(h, 1, 0) * 0.5 - transpose(transpose(h)) / 3;
    }
    return sum(square(h));
  }
};
INSTANTIATE_ON_DEVICES(EvaluateTest);

TEST_P(EvaluateTest, NothingRunsBeforeAValueIsAskedFor) {
  const Tensor y = vector({1, 2}) + 1;
  EXPECT_FALSE(y.evaluated());
  EXPECT_EQ(y.to_vector<double>(), (std::vector<double>{2, 3}));
  EXPECT_TRUE(y.evaluated());
}

TEST_P(EvaluateTest, PlannedAndOpByOpGiveTheSameBits) {
  const Tensor x = random_normal({9, 9}, {3, 0}, {.device = device()});
  const Tensor w = random_normal({9, 9}, {3, 1}, {.device = device()}) * 0.3;
  eval({x, w});
  const auto run = [&](Execution mode) {
    set_execution(mode);
    const Tensor leaf = w.detach().requires_grad(true);
    const Tensor loss = network(x, leaf);
    const Tensor gradient = gradients(loss, {leaf})[0];
    eval({loss, gradient});
    std::vector<float> values = gradient.to_vector<float>();
    values.push_back(static_cast<float>(loss.item()));
    return values;
  };
  const std::vector<float> planned = run(Execution::planned);
  EXPECT_EQ(planned, run(Execution::op_by_op));
  EXPECT_EQ(planned, run(Execution::planned));
}

TEST_P(EvaluateTest, ALongChainNeedsNeitherRecursionNorMuchMemory) {
  Tensor x = zeros({1000}, {.device = device()});
  constexpr int length = 20000;
  for (int i = 0; i < length; ++i) {
    x = x + 1;
  }
  reset_peak_memory(device());
  const std::uint64_t before = memory_stats(device()).live;
  EXPECT_EQ(x.to_vector<float>()[999], length);
  // The result, a block it is computed in, and the 16 bytes each of `length` numbers takes in the upload. The cache may
  // serve a request with a block of up to twice its size.
  EXPECT_LE(memory_stats(device()).peak - before, 2 * (2 * 4096U + 16U * length));
}

TEST_P(EvaluateTest, ADeepGraphIsDestroyedWithoutRecursion) {
  Tensor x = vector({0});
  for (int i = 0; i < 300000; ++i) {
    x = neg(x);
  }
  x = Tensor();
  SUCCEED();
}

TEST_P(EvaluateTest, HandlesOnTheWayGetTheirValuesInTheSameRun) {
  const Tensor a = vector({1, 2, 3});
  const Tensor middle = exp(a);
  const Tensor view = slice(middle, 0, 1);
  const Tensor result = sum(middle * 2);
  eval({result, view});
  EXPECT_TRUE(middle.evaluated());
  EXPECT_EQ(view.to_vector<double>(),
            (std::vector<double>{middle.to_vector<double>()[1], middle.to_vector<double>()[2]}));
}

TEST_P(EvaluateTest, ABroadcastNumberHasAValueOfItsOwn) {
  const Tensor filled = full({3, 2}, 7, {.dtype = f64, .device = device()});
  EXPECT_EQ(filled.to_vector<double>(), std::vector<double>(6, 7.0));
  const Tensor turned = transpose(filled);
  EXPECT_EQ(turned.to_vector<double>(), std::vector<double>(6, 7.0));
}

TEST_P(EvaluateTest, TheSecondStepFindsItsPlan) {
  Tensor w = random_normal({4, 4}, {5, 0}, {.device = device()});
  w.eval();
  w = w.detach().requires_grad(true);
  const auto step = [&](double lr) {
    const Tensor loss = network(w, w);
    const Tensor gradient = gradients(loss, {w})[0];
    assign_all({{w, w - gradient * lr}});
  };
  step(1e-3);
  const PlanCacheStats first = plan_cache_stats();
  for (int i = 0; i < 10; ++i) {
    step(1e-3 / (i + 1));  // a number that changes is data, not structure
  }
  EXPECT_EQ(plan_cache_stats().misses, first.misses);
  EXPECT_EQ(plan_cache_stats().hits, first.hits + 10);
}

TEST_P(EvaluateTest, TheThirdStepAllocatesNothing) {
  Tensor w = random_normal({4, 4}, {5, 0}, {.device = device()});
  w.eval();
  w = w.detach().requires_grad(true);
  const auto step = [&] {
    const Tensor gradient = gradients(network(w, w), {w})[0];
    assign_all({{w, w - gradient * 1e-3}});
  };
  step();
  step();
  const std::uint64_t before = memory_stats(device()).allocations;
  for (int i = 0; i < 20; ++i) {
    step();
  }
  EXPECT_EQ(memory_stats(device()).allocations, before);
}

TEST_P(EvaluateTest, ThePlanCacheStaysBounded) {
  set_plan_cache_limit(8);
  for (int n = 1; n <= 100; ++n) {
    (ones({n}, {.device = device()}) * 2).eval();
  }
  EXPECT_LE(plan_cache_stats().plans, 8U);
  set_plan_cache_limit(256);
}

TEST_P(EvaluateTest, HandlesCanExchangeTheirValues) {
  Tensor a = tensor(std::vector<float>{1, 2}, {.device = device(), .requires_grad = true});
  Tensor b = tensor(std::vector<float>{3, 4}, {.device = device()});
  a.label("a");
  assign_all({{a, b}, {b, a}});
  EXPECT_EQ(a.to_vector<float>(), (std::vector<float>{3, 4}));
  EXPECT_EQ(b.to_vector<float>(), (std::vector<float>{1, 2}));
  EXPECT_TRUE(a.requires_grad());
  EXPECT_FALSE(b.requires_grad());
  EXPECT_EQ(a.label(), "a");
  assign_all({{a, a * 10}});
  EXPECT_EQ(b.to_vector<float>(), (std::vector<float>{1, 2}));
}

TEST_P(EvaluateTest, AStepReusesTheParametersMemory) {
  Tensor p = ones({1 << 16}, {.device = device()}) * 2;
  p.eval();
  const std::uint64_t before = memory_stats(device()).live;
  reset_peak_memory(device());
  assign_all({{p, p - p * 0.5}});
  EXPECT_EQ(p.to_vector<float>()[5], 1.0F);
  EXPECT_EQ(memory_stats(device()).live, before);
}

TEST_P(EvaluateTest, AStepLeavesOldValuesAloneThatAnotherGraphNeeds) {
  Tensor p = ones({4}, {.dtype = f64, .device = device()}) * 2;
  p.eval();
  const Tensor waiting = p * 10;       // not evaluated before the step
  const Tensor detached = p.detach();  // shares memory with p
  assign_all({{p, p - 1}});
  EXPECT_EQ(p.to_vector<double>(), std::vector<double>(4, 1.0));
  EXPECT_EQ(waiting.to_vector<double>(), std::vector<double>(4, 20.0));
  EXPECT_EQ(detached.to_vector<double>(), std::vector<double>(4, 2.0));
}

TEST_P(EvaluateTest, AStepKeepsWhatHandlesHoldAndSpendsTheGraph) {
  Tensor w = vector({1, 2, 3}).requires_grad(true);
  const Tensor logits = w * 2;
  const Tensor loss = sum(square(logits));
  const Tensor gradient = gradients(loss, {w})[0];
  assign_all({{w, w - gradient * 0.1}});
  EXPECT_DOUBLE_EQ(loss.item(), 56.0);
  EXPECT_EQ(logits.to_vector<double>(), (std::vector<double>{2, 4, 6}));
  try {
    gradients(loss, {w}, {.allow_unused = true});
    FAIL() << "differentiating through a spent graph must throw";
  } catch (const ArgumentError& error) {
    EXPECT_NE(std::string(error.what()).find("spent"), std::string::npos) << error.what();
  }
}

TEST_P(EvaluateTest, AStepThatFailsChangesNothing) {
  if (device().kind() != DeviceKind::cpu) {
    GTEST_SKIP() << "queued devices report index errors after the step";
  }
  Tensor w = vector({1, 2, 3}).requires_grad(true);
  const Tensor bad = index_select(w, 0, tensor(std::vector<std::int64_t>{0, 9}, {.device = device()}));
  const Tensor gradient = gradients(sum(bad), {w})[0];
  EXPECT_THROW(assign_all({{w, w - gradient}}), NumericError);
  EXPECT_EQ(w.to_vector<double>(), (std::vector<double>{1, 2, 3}));
}

TEST_P(EvaluateTest, AssignedHandlesKeepLabelAndGradientFlag) {
  Tensor w = vector({1, 2}).requires_grad(true).label("weight");
  const Tensor copy = w;
  w.assign(w * 3);
  EXPECT_EQ(copy.to_vector<double>(), (std::vector<double>{3, 6}));
  EXPECT_TRUE(w.requires_grad());
  EXPECT_EQ(w.label(), "weight");
  EXPECT_EQ(gradients(sum(w * w), {w})[0].to_vector<double>(), (std::vector<double>{6, 12}));
  EXPECT_THROW(w.assign(vector({1})), ShapeError);
}

TEST_P(EvaluateTest, AssignLaterRunsWithTheNextEvaluation) {
  Tensor mean = vector({0});
  assign_later(mean, mean * 0.9 + 1);
  (vector({1}) + 1).eval();
  EXPECT_TRUE(mean.evaluated());
  EXPECT_DOUBLE_EQ(mean.item(), 1.0);
}

TEST_P(EvaluateTest, AFailedRunTakesBackWhatWaitedForIt) {
  if (device().kind() != DeviceKind::cpu) {
    GTEST_SKIP() << "queued devices report index errors after the run";
  }
  Tensor mean = vector({7});
  const Tensor bad = index_select(vector({1}), 0, tensor(std::vector<std::int64_t>{5}, {.device = device()}));
  assign_later(mean, mean + bad);
  assign_later(mean, mean * 2);
  EXPECT_THROW(bad.eval(), NumericError);
  EXPECT_EQ((vector({1}) + 1).item(), 2);
  EXPECT_EQ(mean.item(), 7);
}

TEST_P(EvaluateTest, CopiesBetweenDevicesAreExplicitAndDifferentiable) {
  Tensor host = tensor(std::vector<double>{1, 2, 3}, {.dtype = f64, .requires_grad = true});
  const Tensor there = transpose(reshape(host.to(device()) * 2, {3, 1}));
  const Tensor back = there.to(Device::cpu());
  EXPECT_EQ(back.device(), Device::cpu());
  const Tensor gradient = gradients(sum(back * back), {host})[0];
  EXPECT_EQ(gradient.to_vector<double>(), (std::vector<double>{8, 16, 24}));
  EXPECT_EQ(back.to_vector<double>(), (std::vector<double>{2, 4, 6}));
  if (!(device() == Device::cpu())) {
    EXPECT_THROW(host + there, DeviceError);
  }
}

TEST_P(EvaluateTest, EmptyTensorsAreLegal) {
  const Tensor empty = zeros({0, 5}, {.dtype = f64, .device = device()});
  EXPECT_EQ(sum(empty).item(), 0.0);
  EXPECT_EQ(sum(empty + 1, {.axes = {0}}).to_vector<double>(), std::vector<double>(5, 0.0));
  EXPECT_TRUE((empty * 2).to_vector<double>().empty());
}

TEST_P(EvaluateTest, ThePlanCanBePrinted) {
  const Tensor y = relu(matmul(ones({2, 3}, {.device = device()}), ones({3, 4}, {.device = device()})));
  const std::string text = describe_plan({y});
  EXPECT_NE(text.find("matmul (2, 4) float32"), std::string::npos) << text;
  EXPECT_NE(text.find("relu"), std::string::npos);
  EXPECT_NE(text.find("evaluate_test.cpp"), std::string::npos);
}

}  // namespace
}  // namespace twingrad
