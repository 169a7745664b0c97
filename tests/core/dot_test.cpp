#include <twingrad/dot.h>
#include <twingrad/twingrad.h>

#include <gtest/gtest.h>

#include "tests/devices.h"

namespace twingrad {
namespace {

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

class DotTest : public tests::DeviceTest {};
INSTANTIATE_ON_DEVICES(DotTest);

TEST_P(DotTest, ShowsValuesGradientsShapesAndLines) {
  Tensor a = tensor(2.0, {.dtype = f64, .device = device(), .requires_grad = true}).label("a");
  Tensor b = tensor(-3.0, {.dtype = f64, .device = device(), .requires_grad = true}).label("b");
  const Tensor c = tanh(a * b + 10);
  const std::string text = to_dot(c);
  EXPECT_TRUE(has(text, "digraph")) << text;
  EXPECT_TRUE(has(text, "a: "));
  EXPECT_TRUE(has(text, "value -6"));
  EXPECT_TRUE(has(text, "tanh|() float64 " + device().name())) << text;
  EXPECT_TRUE(has(text, "dot_test.cpp:"));
  EXPECT_TRUE(has(text, "grad 1"));
  EXPECT_TRUE(has(text, "->"));
}

TEST_P(DotTest, DrawsTheBackwardGraphWhenAsked) {
  const Tensor x = tensor(std::vector<double>{1, 2}, {.dtype = f64, .device = device(), .requires_grad = true});
  const Tensor loss = sum(exp(x));
  EXPECT_GT(to_dot(loss, {.backward = true}).size(), to_dot(loss).size());
}

TEST_P(DotTest, StructureAloneComputesNothing) {
  const Tensor x = tensor(std::vector<double>{1, 2}, {.dtype = f64, .device = device(), .requires_grad = true});
  const Tensor y = exp(x);
  const std::string text = to_dot(y, {.values = false, .gradients = false});
  EXPECT_FALSE(y.evaluated());
  EXPECT_FALSE(has(text, "value"));
}

}  // namespace
}  // namespace twingrad
