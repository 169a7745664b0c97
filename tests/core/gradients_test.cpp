// Reverse mode: sums over paths, leaves, what may be asked for and what is refused.
#include <gtest/gtest.h>
#include <twingrad/twingrad.h>

#include <cmath>
#include <vector>

#include "tests/devices.h"

namespace twingrad {
namespace {

class GradientsTest : public tests::DeviceTest {
 protected:
  Tensor scalar(double value) const { return tensor(value, {.dtype = f64, .device = device(), .requires_grad = true}); }
};
INSTANTIATE_ON_DEVICES(GradientsTest);

TEST_P(GradientsTest, DiamondsAddUp) {
  const Tensor x = scalar(3);
  const Tensor a = x * x;
  const Tensor b = a + a * x;
  b.backward();
  EXPECT_DOUBLE_EQ(x.grad().item(), 2 * 3 + 3 * 9);
}

TEST_P(GradientsTest, TheSameTensorTwice) {
  const Tensor x = tensor(std::vector<double>{1, 2, 3, 4}, {2, 2}, {.dtype = f64, .device = device()});
  const Tensor g = gradients(sum(matmul(x, x)), {x})[0];
  // d/dx sum(x x) = ones x^T + x^T ones
  EXPECT_EQ(g.to_vector<double>(), (std::vector<double>{1 + 2 + 1 + 3, 3 + 4 + 1 + 3, 1 + 2 + 2 + 4, 3 + 4 + 2 + 4}));
}

TEST_P(GradientsTest, BackwardAccumulatesUntilZeroGrad) {
  const Tensor x = scalar(2);
  square(x).backward();
  square(x).backward();
  EXPECT_DOUBLE_EQ(x.grad().item(), 8);
  x.zero_grad();
  EXPECT_FALSE(x.grad().defined());
  square(x).backward();
  EXPECT_DOUBLE_EQ(x.grad().item(), 4);
}

TEST_P(GradientsTest, BackwardAfterTheValueWasAskedFor) {
  const Tensor x = scalar(2);
  const Tensor y = exp(x) * x;
  const double value = y.item();
  y.backward();
  EXPECT_DOUBLE_EQ(x.grad().item(), std::exp(2.0) + value);
}

TEST_P(GradientsTest, SecondAndThirdDerivatives) {
  const Tensor x = scalar(1.5);
  const Tensor first = gradients(pow(x, 4), {x})[0];
  const Tensor second = gradients(first, {x})[0];
  const Tensor third = gradients(second, {x})[0];
  EXPECT_NEAR(first.item(), 4 * 3.375, 1e-12);
  EXPECT_NEAR(second.item(), 12 * 2.25, 1e-12);
  EXPECT_NEAR(third.item(), 24 * 1.5, 1e-12);
}

TEST_P(GradientsTest, IntermediateTensorsKeepTheirGradientWhenAsked) {
  const Tensor x = scalar(3);
  Tensor middle = x * 2;
  middle.retain_grad();
  square(middle).backward();
  EXPECT_DOUBLE_EQ(middle.grad().item(), 12);
  EXPECT_DOUBLE_EQ(x.grad().item(), 24);
}

TEST_P(GradientsTest, DetachAndNoGradStopTheFlow) {
  const Tensor x = scalar(3);
  EXPECT_DOUBLE_EQ(gradients(x * x.detach(), {x})[0].item(), 3);
  {
    const NoGrad guard;
    EXPECT_FALSE((x * 2).requires_grad());
  }
  EXPECT_TRUE((x * 2).requires_grad());
}

TEST_P(GradientsTest, CotangentsWeighTheOutputs) {
  const Tensor x = tensor(std::vector<double>{1, 2, 3}, {.dtype = f64, .device = device()});
  const Tensor v = tensor(std::vector<double>{1, 10, 100}, {.dtype = f64, .device = device()});
  EXPECT_EQ(gradients(square(x), {x}, {.cotangent = v})[0].to_vector<double>(), (std::vector<double>{2, 40, 600}));
}

// The gradient is linear in its cotangent: d/dv sum(v * 2 x / 4) = sum(x) / 2.
TEST_P(GradientsTest, CotangentsMayRequireGradients) {
  const Tensor x = tensor(std::vector<double>{1, 2, 3, 6}, {.dtype = f64, .device = device()});
  const Tensor v = scalar(5);
  const Tensor first = gradients(mean(square(x)), {x}, {.cotangent = v})[0];
  EXPECT_EQ(first.to_vector<double>(), (std::vector<double>{2.5, 5, 7.5, 15}));
  EXPECT_DOUBLE_EQ(gradients(sum(first), {v})[0].item(), 6);
}

TEST_P(GradientsTest, WhatWasMadeWithoutGradientsMayBecomeALeaf) {
  const Tensor w = (ones({3}, {.dtype = f64, .device = device()}) * 2).requires_grad(true);
  const Tensor loss = sum(square(w));
  EXPECT_DOUBLE_EQ(loss.item(), 12);
  loss.backward();
  EXPECT_EQ(w.grad().to_vector<double>(), (std::vector<double>{4, 4, 4}));
}

TEST_P(GradientsTest, RefusalsSayWhy) {
  const Tensor x = tensor(std::vector<double>{1, 2}, {.dtype = f64, .device = device(), .requires_grad = true});
  const Tensor other = scalar(1);
  EXPECT_THROW(gradients(x * 2, {x}), ShapeError);
  EXPECT_THROW((x * 2).backward(), ShapeError);
  EXPECT_THROW(gradients(sum(x), {other}), ArgumentError);
  EXPECT_EQ(gradients(sum(x), {other}, {.allow_unused = true})[0].item(), 0);
  EXPECT_THROW(gradients(argmax(x), {x}), DtypeError);
  EXPECT_THROW(gradients(sum(x), {x}, {.cotangent = x}), ShapeError);
  EXPECT_THROW(sum(tensor(std::vector<double>{1}, {.device = device()})).backward(), ArgumentError);
  EXPECT_THROW((x * 2).requires_grad(true), ArgumentError);
  EXPECT_THROW(arange(3, 0, 1, {.device = device()}).requires_grad(true), Error);
  try {
    gradients(x * 2, {x});
  } catch (const ShapeError& error) {
    EXPECT_NE(std::string(error.what()).find("gradients_test.cpp"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace twingrad
