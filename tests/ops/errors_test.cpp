// What a user is told when an op is given what it does not take: the op, the shapes and dtypes, and the user's own
// line.
#include <twingrad/evaluate.h>
#include <twingrad/ops.h>

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "tests/devices.h"

namespace twingrad::tests {
namespace {

Tensor floats(const Shape& shape) {
  return zeros(shape);
}
Tensor indices(const std::vector<std::int64_t>& values) {
  return tensor(values);
}

std::string this_line(int line) {
  return "errors_test.cpp:" + std::to_string(line);
}

/// Calls `use`, which must throw E with all of `parts` in its message, the line of the call among them.
template <class E>
void expect_error(const std::function<Tensor()>& use, int line, const std::vector<std::string>& parts) {
  try {
    use();
    ADD_FAILURE() << "nothing was thrown";
  } catch (const E& error) {
    const std::string message = error.what();
    for (const std::string& part : parts) {
      EXPECT_NE(message.find(part), std::string::npos) << "'" << part << "' is not in: " << message;
    }
    EXPECT_NE(message.find(this_line(line)), std::string::npos) << this_line(line) << " is not in: " << message;
  } catch (const std::exception& error) {
    ADD_FAILURE() << "another type of exception: " << error.what();
  }
}

// The macro passes the line that the call itself stands on.
#define EXPECT_ERROR(E, use, ...) expect_error<E>([&] { return (use); }, __LINE__, {__VA_ARGS__})

TEST(OpErrors, ShapesThatDoNotFit) {
  const Tensor a = floats({2, 3});
  const Tensor b = floats({4, 5});
  EXPECT_ERROR(ShapeError, a + b, "add((2, 3) float32, (4, 5) float32)", "do not broadcast");
  EXPECT_ERROR(ShapeError, where(equal(a, 0.0), a, b), "where((2, 3) bool, (2, 3) float32, (4, 5) float32)");
  EXPECT_ERROR(ShapeError, matmul(a, b), "matmul((2, 3) float32, (4, 5) float32)", "3 columns and 4 rows");
  EXPECT_ERROR(ShapeError, matmul(a, tensor(1.0)), "matmul((2, 3) float32, () float32)", "multiply with *");
  EXPECT_ERROR(ShapeError, matmul(floats({2, 2, 3}), floats({3, 3, 2})), "matmul((2, 2, 3)", "batch axes");
  EXPECT_ERROR(ShapeError, linear(a, b, floats({4})), "linear((2, 3) float32, (4, 5) float32, (4) float32)");
  EXPECT_ERROR(ShapeError, linear(a, floats({4, 3}), floats({3})), "linear(", "bias must have the shape (4)");
  EXPECT_ERROR(ShapeError, layer_norm(a, floats({2}), floats({3})), "layer_norm((2, 3)", "(3)");
  EXPECT_ERROR(ShapeError, rms_norm(a, floats({2})), "rms_norm((2, 3)", "(3)");
  EXPECT_ERROR(ShapeError, batch_norm(a, floats({2}), floats({3})), "batch_norm((2, 3)", "(3)");
  EXPECT_ERROR(ShapeError, cat({a, b}, 0), "cat((2, 3) float32, (4, 5) float32)", "input 1");
  EXPECT_ERROR(ShapeError, stack({a, b}), "stack((2, 3) float32", "(4, 5)");
  EXPECT_ERROR(ShapeError, sum_to(a, {2}), "sum_to((2, 3) float32)", "(2)");
  EXPECT_ERROR(ShapeError, broadcast_to(a, {2, 4}), "broadcast_to((2, 3) float32)", "(2, 4)");
  EXPECT_ERROR(ShapeError, gather(a, 1, indices({0})), "gather((2, 3) float32, (1) int64)");
  EXPECT_ERROR(ShapeError, scatter_add(a, 1, reshape(indices({0, 1}), {2, 1}), floats({2, 2})), "scatter_add(",
               "(2, 1) int64", "one shape");
  EXPECT_ERROR(ShapeError, index_select(a, 0, reshape(indices({0}), {1, 1})), "index_select(", "(1, 1) int64");
  EXPECT_ERROR(ShapeError, index_add(indices({0}), a, 0, 3), "index_add((1) int64, (2, 3) float32)");
  EXPECT_ERROR(ShapeError, embedding(floats({3}), indices({0})), "embedding((3) float32, (1) int64)");
}

TEST(OpErrors, LossesNameThemselves) {
  const Tensor x = floats({2, 3});
  EXPECT_ERROR(ShapeError, mse_loss(x, floats({3})), "mse_loss((2, 3) float32, (3) float32)");
  EXPECT_ERROR(ShapeError, half_squared_error(x, floats({3})), "half_squared_error(");
  EXPECT_ERROR(ShapeError, l1_loss(x, floats({3})), "l1_loss(");
  EXPECT_ERROR(ShapeError, huber_loss(x, floats({3})), "huber_loss(");
  EXPECT_ERROR(ArgumentError, huber_loss(x, x, 0.0), "huber_loss(", "delta");
  EXPECT_ERROR(ShapeError, hinge_loss(x, floats({3})), "hinge_loss(");
  EXPECT_ERROR(ShapeError, binary_cross_entropy_with_logits(x, floats({3})), "binary_cross_entropy_with_logits(");
  EXPECT_ERROR(DtypeError, mse_loss(indices({1}), indices({2})), "mse_loss((1) int64, (1) int64)");
  EXPECT_ERROR(ShapeError, cross_entropy(x, indices({0, 1, 2})), "cross_entropy((2, 3) float32, (3) int64)", "(2)");
  EXPECT_ERROR(ShapeError, cross_entropy(floats({3}), indices({0})), "cross_entropy((3) float32", "(n, classes)");
  EXPECT_ERROR(ShapeError, cross_entropy(x, floats({2, 4})), "cross_entropy((2, 3) float32, (2, 4) float32)");
  EXPECT_ERROR(DtypeError, cross_entropy(x, equal(floats({2}), 0.0)), "cross_entropy(", "int64 or int32, not bool");
  EXPECT_ERROR(ShapeError, cross_entropy(x, indices({0, 1}), {.class_weights = floats({2})}), "cross_entropy(",
               "class_weights", "(2)");
  EXPECT_ERROR(ArgumentError, cross_entropy(x, indices({0, 1}), {.label_smoothing = 2}), "label_smoothing");
  EXPECT_ERROR(ArgumentError, cross_entropy(x, x, {.ignore_label = 1}), "ignore_label");
  EXPECT_ERROR(DtypeError, nll_loss(x, floats({2})), "nll_loss((2, 3) float32, (2) float32)", "labels");
}

TEST(OpErrors, Dtypes) {
  const Tensor x = floats({2});
  const Tensor n = indices({1, 2});
  const Tensor b = equal(x, 0.0);
  EXPECT_ERROR(DtypeError, x + n, "add((2) float32, (2) int64)", "one dtype");
  EXPECT_ERROR(DtypeError, n / n, "div((2) int64, (2) int64)", "floating-point numbers, not int64");
  EXPECT_ERROR(DtypeError, exp(n), "exp((2) int64)");
  EXPECT_ERROR(DtypeError, neg(b), "neg((2) bool)", "numbers, not bool");
  EXPECT_ERROR(DtypeError, logical_and(x, x), "logical_and((2) float32", "takes bool");
  EXPECT_ERROR(DtypeError, where(x, x, x), "where(", "condition must be bool, not float32");
  EXPECT_ERROR(DtypeError, mean(n), "mean((2) int64)");
  EXPECT_ERROR(DtypeError, softmax(n), "softmax((2) int64)");
  EXPECT_ERROR(DtypeError, var(n), "var((2) int64)");
  EXPECT_ERROR(DtypeError, dropout(n, 0.5, {}), "dropout((2) int64)");
  EXPECT_ERROR(DtypeError, matmul(floats({2, 2}), zeros({2, 2}, {.dtype = f64})), "matmul(", "(2, 2) float64");
  EXPECT_ERROR(DtypeError, index_select(x, 0, x), "index_select(", "int64 or int32, not float32");
  EXPECT_ERROR(DtypeError, one_hot(x, 3), "one_hot((2) float32)");
  EXPECT_ERROR(DtypeError, n + 0.5, "add", "0.5");
  EXPECT_ERROR(DtypeError, random_uniform({2}, {}, {.dtype = i64}), "random_uniform", "int64");
}

TEST(OpErrors, Axes) {
  const Tensor x = floats({2, 3});
  EXPECT_ERROR(ShapeError, sum(x, {.axes = {2}}), "sum((2, 3) float32)", "axis 2", "-2 to 1");
  EXPECT_ERROR(ShapeError, mean(x, {.axes = {0, 0}}), "mean((2, 3) float32)", "given twice");
  EXPECT_ERROR(ShapeError, mean(x, {.axes = {1, -1}}), "mean((2, 3) float32)", "given twice");
  EXPECT_ERROR(ShapeError, argmax(x, 2), "argmax((2, 3) float32)", "axis 2");
  EXPECT_ERROR(ShapeError, cumsum(x, -3), "cumsum((2, 3) float32)", "axis -3");
  EXPECT_ERROR(ShapeError, softmax(x, 5), "softmax((2, 3) float32)", "axis 5");
  EXPECT_ERROR(ShapeError, logsumexp(x, {.axes = {4}}), "logsumexp(", "axis 4");
  EXPECT_ERROR(ShapeError, transpose(x, 0, 2), "transpose((2, 3) float32)", "axis 2");
  EXPECT_ERROR(ShapeError, permute(x, {0, 0}), "permute((2, 3) float32)", "given twice");
  EXPECT_ERROR(ShapeError, permute(x, {0}), "permute((2, 3) float32)", "2 axes once");
  EXPECT_ERROR(ShapeError, unsqueeze(x, 4), "unsqueeze((2, 3) float32)", "axis 4");
  EXPECT_ERROR(ShapeError, squeeze(x, 1), "squeeze((2, 3) float32)", "length 3");
  EXPECT_ERROR(ShapeError, flatten(x, 1, 0), "flatten((2, 3) float32)");
  EXPECT_ERROR(ShapeError, slice(x, 3, 0), "slice((2, 3) float32)", "axis 3");
  EXPECT_ERROR(ShapeError, cat({x, x}, 2), "cat((2, 3) float32)", "axis 2");
  EXPECT_ERROR(ShapeError, stack({x, x}, 3), "stack((2, 3) float32)", "axis 3");
  EXPECT_ERROR(ShapeError, index_select(x, 2, indices({0})), "index_select(", "axis 2");
  EXPECT_ERROR(ShapeError, gather(x, 2, indices({0})), "gather(", "axis 2");
  EXPECT_ERROR(ShapeError, softmax(tensor(1.0)), "softmax(() float32)", "a scalar has none");
}

TEST(OpErrors, ShapesAndRangesOfArguments) {
  const Tensor x = floats({2, 3});
  EXPECT_ERROR(ShapeError, reshape(x, {4, 2}), "reshape((2, 3) float32)", "(4, 2)", "6 elements");
  EXPECT_ERROR(ShapeError, reshape(x, {4, -1}), "reshape((2, 3) float32)", "(4, -1)");
  EXPECT_ERROR(ShapeError, reshape(x, {-1, -1}), "reshape(", "one -1");
  EXPECT_ERROR(ShapeError, reshape(x, {-2, 3}), "reshape(", "negative");
  EXPECT_ERROR(ShapeError, reshape(floats({0}), {0, -1}), "reshape((0) float32)", "(0, -1)");
  EXPECT_ERROR(ArgumentError, slice(x, 0, 0, {}, 0), "slice((2, 3) float32)", "step is 0");
  EXPECT_ERROR(ArgumentError, clamp(x, 1, 0), "clamp((2, 3) float32)", "low");
  EXPECT_ERROR(ArgumentError, clamp(x, std::numeric_limits<double>::quiet_NaN(), 0), "clamp((2, 3) float32)", "NaN");
  EXPECT_ERROR(ArgumentError, dropout(x, 1.5, {}), "dropout((2, 3) float32)", "1.5");
  EXPECT_ERROR(ArgumentError, random_bernoulli({2}, -0.5, {}), "random_bernoulli", "-0.5");
  EXPECT_ERROR(ShapeError, random_normal({-2}, {}), "random_normal", "(-2)");
  EXPECT_ERROR(ShapeError, amax(floats({2, 0}), {.axes = {1}}), "amax((2, 0) float32)", "hold no element");
  EXPECT_ERROR(ShapeError, argmin(floats({0})), "argmin((0) float32)");
  EXPECT_ERROR(ArgumentError, cat({}), "cat", "at least one");
  EXPECT_ERROR(ArgumentError, one_hot(indices({0}), -1), "one_hot((1) int64)", "-1");
}

TEST(OpErrors, UndefinedTensors) {
  const Tensor x = floats({2});
  const Tensor none;
  EXPECT_ERROR(ArgumentError, x + none, "add", "undefined tensor");
  EXPECT_ERROR(ArgumentError, sum(none), "sum", "undefined tensor");
  EXPECT_ERROR(ArgumentError, pow(none, 2.0), "pow", "undefined tensor");
  EXPECT_ERROR(ArgumentError, matmul(none, x), "matmul", "undefined tensor");
  EXPECT_ERROR(ArgumentError, mse_loss(x, none), "mse_loss", "undefined tensor");
  EXPECT_ERROR(ArgumentError, cat({x, none}), "cat", "undefined tensor");
  EXPECT_ERROR(ArgumentError, stack({none}), "stack", "undefined tensor");
  EXPECT_ERROR(ArgumentError, reshape(none, {1}), "reshape", "undefined tensor");
  EXPECT_ERROR(ArgumentError, to_device(none, Device::cpu()), "to_device", "undefined tensor");
}

TEST(OpErrors, MixedDevices) {
  const Tensor x = floats({2});
  const Tensor y = zeros({2}, {.device = fake_device()});
  const std::string both = "inputs are on cpu and " + fake_device().name();
  EXPECT_ERROR(DeviceError, x + y, "add((2) float32, (2) float32)", both);
  EXPECT_ERROR(DeviceError, mse_loss(x, y), "mse_loss((2) float32, (2) float32)", both);
  EXPECT_ERROR(DeviceError, cat({x, y}), "cat(", both);
}

class RunTimeErrors : public DeviceTest {};

TEST_P(RunTimeErrors, IndicesOutOfRange) {
  const TensorOptions options{.device = device()};
  const Tensor x = zeros({2, 3}, options);
  const auto index = [&](std::int64_t value) { return tensor(std::vector<std::int64_t>{0, value}, options); };
  const auto ask = [](const Tensor& tensor) {
    tensor.to_vector<float>();
    return tensor;
  };
  for (const std::int64_t wrong : {-1, 3}) {
    const std::string value = "index " + std::to_string(wrong);
    EXPECT_ERROR(NumericError, ask(index_select(x, 1, index(wrong))), "index_select", value);
    EXPECT_ERROR(NumericError, ask(gather(x, 1, reshape(index(wrong), {2, 1}))), "gather", value);
    EXPECT_ERROR(NumericError, ask(scatter_add(x, 1, reshape(index(wrong), {2, 1}), ones({2, 1}, options))),
                 "scatter_add", value);
    EXPECT_ERROR(NumericError, ask(index_add(index(wrong), ones({2, 2}, options), 0, 3)), "index_add", value);
    EXPECT_ERROR(NumericError, ask(cross_entropy(x, index(wrong))), value);
    EXPECT_ERROR(NumericError, ask(one_hot(index(wrong), 3)), value);
    EXPECT_ERROR(NumericError, ask(embedding(zeros({3, 2}, options), index(wrong))), value);
  }
  // The device works on after an error.
  EXPECT_EQ(index_select(x, 1, index(2)).to_vector<float>(), std::vector<float>(4, 0));
}

INSTANTIATE_ON_DEVICES(RunTimeErrors);

}  // namespace
}  // namespace twingrad::tests
