// Gradients that are not built before somebody looks at them are what they would have been.
#include <gtest/gtest.h>
#include <twingrad/custom_op.h>
#include <twingrad/dot.h>
#include <twingrad/graph/pending_gradients.h>
#include <twingrad/twingrad.h>

#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace twingrad {
namespace {

bool is_pending(const Tensor& tensor) {
  return tensor.impl()->node == nullptr;
}

/// x, w, and a loss of them of the same structure each time.
struct Graph3 {
  Tensor x = tensor(std::vector<float>{1, -2, 3});
  Tensor w = tensor(std::vector<float>{0.5, 2, -1}, {.requires_grad = true});
  Tensor loss = sum(square(x * w));
};

/// A graph like one that was differentiated before, and its gradient.
struct Familiar : Graph3 {
  Familiar() { gradient = gradients(loss, {w})[0]; }
  Tensor gradient;
};

const std::vector<double> expected = {1, 16, -18};

class PendingGradientsTest : public testing::Test {
 protected:
  void SetUp() override {
    const Familiar first;
    const Familiar second;
    ASSERT_TRUE(is_pending(second.gradient));
  }
};

TEST_F(PendingGradientsTest, AreBuiltWhenLookedAt) {
  const std::vector<std::function<void(const Tensor&)>> looks = {
      [](const Tensor& g) { EXPECT_EQ(g.shape(), Shape{3}); },
      [](const Tensor& g) { EXPECT_EQ(g.dtype(), f32); },
      [](const Tensor& g) { EXPECT_TRUE(g.requires_grad()); },
      [](const Tensor& g) { EXPECT_FALSE(g.evaluated()); },
      [](const Tensor& g) { EXPECT_EQ((g * 1.0).to_vector<double>(), expected); },
      [](const Tensor& g) { EXPECT_EQ(Tensor(g).label("g").label(), "g"); },
      [](const Tensor& g) { EXPECT_NE(describe_plan({g}).find("mul"), std::string::npos); },
      [](const Tensor& g) { EXPECT_NE(to_dot(sum(g)).find("mul"), std::string::npos); },
      [](const Tensor& g) { g.eval(); },
  };
  for (const auto& look : looks) {
    const Familiar graph;
    ASSERT_TRUE(is_pending(graph.gradient));
    look(graph.gradient);
    EXPECT_FALSE(is_pending(graph.gradient));
    EXPECT_EQ(graph.gradient.to_vector<double>(), expected);
  }
}

TEST_F(PendingGradientsTest, OutliveTheLossAndCopiesNameTheSame) {
  Tensor copy;
  {
    const Familiar graph;
    copy = graph.gradient;
  }
  EXPECT_TRUE(is_pending(copy));
  EXPECT_EQ(copy.to_vector<double>(), expected);
}

TEST_F(PendingGradientsTest, AreBuiltBeforeTheirGraphChanges) {
  {
    const Familiar graph;
    EXPECT_EQ(graph.loss.item(), 0.25 + 16 + 9);
    EXPECT_FALSE(is_pending(graph.gradient));
    EXPECT_EQ(graph.gradient.to_vector<double>(), expected);
  }
  {
    Familiar graph;
    graph.w.requires_grad(false);
    EXPECT_TRUE(graph.gradient.requires_grad());
    EXPECT_EQ(graph.gradient.to_vector<double>(), expected);
  }
  {
    Familiar graph;
    optim::SGD sgd({graph.w}, {.lr = 1.0});
    sgd.step(gradients(sum(graph.w), {graph.w}));
    EXPECT_EQ(graph.w.to_vector<double>(), (std::vector<double>{-0.5, 1, -2}));
    EXPECT_EQ(graph.gradient.to_vector<double>(), expected);
  }
}

TEST_F(PendingGradientsTest, KeepTheValueThatAHandleHadThen) {
  Familiar graph;
  graph.w.assign(tensor(std::vector<float>{7, 7, 7}));
  EXPECT_TRUE(is_pending(graph.gradient));
  EXPECT_EQ(graph.gradient.to_vector<double>(), expected);
}

TEST_F(PendingGradientsTest, CanBeDifferentiatedAgain) {
  const Familiar graph;
  // d/dw sum(2 x^2 w) = 2 x^2, and of a pending one with respect to itself 1
  const Tensor again = gradients(sum(graph.gradient), {graph.w})[0];
  EXPECT_EQ(again.to_vector<double>(), (std::vector<double>{2, 8, 18}));
  const Familiar other;
  EXPECT_EQ(gradients(sum(other.gradient), {other.gradient})[0].to_vector<double>(), (std::vector<double>{1, 1, 1}));
}

TEST_F(PendingGradientsTest, ScopesAreThoseOfTheCall) {
  const Familiar graph;
  const Graph3 other;
  {
    const NoGrad guard;
    EXPECT_TRUE(graph.gradient.requires_grad());  // built here, asked for outside
    EXPECT_FALSE(gradients(other.loss, {other.w})[0].requires_grad());
  }
  const auto before = [&] { return std::vector<Tensor>{graph.gradient}; };
  EXPECT_EQ(gradients(sum(before()[0]), {graph.w})[0].to_vector<double>(), (std::vector<double>{2, 8, 18}));
}

TEST_F(PendingGradientsTest, AnotherStructureIsNotTakenForIt) {
  Graph3 graph;
  const auto is_new = [&](const Tensor& loss, const std::vector<Tensor>& inputs) {
    return !is_pending(gradients(loss, inputs)[0]);
  };
  EXPECT_TRUE(is_new(sum(square(graph.w * graph.x)), {graph.w}));
  EXPECT_TRUE(is_new(sum(square(graph.x * graph.w)), {graph.x}));
  EXPECT_TRUE(is_new(sum(square(graph.x * graph.w)), {graph.w, graph.x}));
  EXPECT_TRUE(is_new(sum(square(graph.x + graph.w)), {graph.w}));
  EXPECT_TRUE(is_new(sum(leaky_relu(graph.x * graph.w, 0.25)), {graph.w}));
  EXPECT_TRUE(is_new(sum(leaky_relu(graph.x * graph.w, 0.5)), {graph.w}));
  const Tensor x2 = tensor(std::vector<float>{1, 2});
  const Tensor w2 = tensor(std::vector<float>{1, 2}, {.requires_grad = true});
  EXPECT_TRUE(is_new(sum(square(x2 * w2)), {w2}));
  const Tensor x64 = tensor(std::vector<float>{1, 2, 3}, {.dtype = f64});
  const Tensor w64 = tensor(std::vector<float>{1, 2, 3}, {.dtype = f64, .requires_grad = true});
  EXPECT_TRUE(is_new(sum(square(x64 * w64)), {w64}));
  EXPECT_THROW(gradients(graph.loss, {tensor(1.0, {.requires_grad = true})}), ArgumentError);
  EXPECT_THROW(gradients(graph.loss, {Tensor()}), ArgumentError);
}

TEST_F(PendingGradientsTest, AValueThatWasComputedIsNoOpToBuildUpon) {
  const auto gradient = [](bool evaluated) {
    const Graph3 graph;
    const Tensor y = exp(graph.w * 0.0) * graph.x;
    if (evaluated) {
      y.eval();
    }
    return gradients(sum(y * graph.w), {graph.w})[0].to_vector<double>();
  };
  const std::vector<double> first = gradient(false);
  EXPECT_EQ(gradient(true), first);
  EXPECT_EQ(gradient(false), first);
  EXPECT_EQ(gradient(true), first);
}

TEST_F(PendingGradientsTest, AreLookedAtOnAnotherThread) {
  Familiar graph;
  std::vector<double> there;
  std::thread([&, gradient = std::move(graph.gradient)] { there = gradient.to_vector<double>(); }).join();
  EXPECT_EQ(there, expected);
  EXPECT_EQ(graph.loss.item(), 0.25 + 16 + 9);
}

TEST_F(PendingGradientsTest, ALongChainNeedsNoStack) {
  for (int round = 0; round < 3; ++round) {
    const Tensor w = tensor(1.0, {.requires_grad = true});
    Tensor y = w;
    for (int i = 0; i < (round == 0 ? 100'000 : 7'000); ++i) {
      y = -y;
    }
    const Tensor gradient = gradients(y, {w})[0];
    EXPECT_EQ(is_pending(gradient), round == 2);
    if (round != 0) {
      EXPECT_EQ(gradient.item(), 1);
    }
  }
}

}  // namespace
}  // namespace twingrad
