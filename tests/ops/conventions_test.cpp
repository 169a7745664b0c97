// What the ops promise where mathematics leaves a choice: kinks, ties, NaN, infinities, empty tensors, signed zeros.
#include <twingrad/autograd.h>
#include <twingrad/evaluate.h>
#include <twingrad/ops.h>

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "tests/devices.h"
#include "tests/ops/roundoff.h"

namespace twingrad::tests {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double inf = std::numeric_limits<double>::infinity();

using Values = std::vector<double>;

class Conventions : public DeviceTest {
 protected:
  Tensor make(const Values& values, const Shape& shape) const {
    return tensor(values, shape, {.dtype = f64, .device = device(), .requires_grad = true});
  }
  Tensor make(const Values& values) const { return make(values, {static_cast<std::int64_t>(values.size())}); }
  Tensor labels(const std::vector<std::int64_t>& values) const { return tensor(values, {.device = device()}); }
};

/// The gradient of sum(y) by x.
Values gradient(const Tensor& y, const Tensor& x) {
  return gradients(sum(y), {x})[0].to_vector<double>();
}

/// Same numbers; NaN matches NaN.
void expect_same(const Values& found, const Values& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (std::isnan(expected[i])) {
      EXPECT_TRUE(std::isnan(found[i])) << "element " << i << " is " << found[i] << ", not NaN";
    } else {
      EXPECT_EQ(found[i], expected[i]) << "element " << i;
    }
  }
}

void expect_close(const Values& found, const Values& expected, double roundoffs = 64) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_NEAR(found[i], expected[i], roundoffs * unit_roundoff(f64) * std::max(1.0, std::abs(expected[i])))
        << "element " << i;
  }
}

TEST_P(Conventions, DerivativesAtKinks) {
  const Tensor zero = make({-0.0, 0.0});
  expect_same(gradient(relu(zero), zero), {0, 0});
  expect_same(gradient(abs(zero), zero), {0, 0});
  expect_same(gradient(sign(zero), zero), {0, 0});
  const Tensor bounds = make({-1, -0.5, 0, 0.5, 1});
  expect_same(gradient(clamp(bounds, -0.5, 0.5), bounds), {0, 1, 1, 1, 0});
  const Tensor x = make({0, 4});
  expect_same(gradient(sqrt(x), x), {inf, 0.25});
}

TEST_P(Conventions, NanStaysNan) {
  const Tensor x = make({nan, 1, nan});
  const Tensor y = make({1, nan, nan});
  for (const Tensor& result : {maximum(x, y), minimum(x, y), x + y}) {
    expect_same(result.to_vector<double>(), {nan, nan, nan});
  }
  for (const Tensor& result : {relu(x), abs(x), sign(x), clamp(x, -1, 1), leaky_relu(x), elu(x)}) {
    expect_same(result.to_vector<double>(), {nan, 1, nan});
  }
  for (const Tensor& result : {sum(x), mean(x), prod(x), amax(x), amin(x), norm(x), logsumexp(x)}) {
    expect_same(result.to_vector<double>(), {nan});
  }
  expect_same(argmax(make({3, nan, 5, nan})).to_vector<double>(), {1});
  expect_same(argmin(make({3, nan, 5, nan})).to_vector<double>(), {1});
  for (const Tensor& result : {equal(x, x), less(x, y), less_equal(x, x), greater(x, y), greater_equal(x, y)}) {
    EXPECT_EQ(result.to_vector<double>()[0], 0);
  }
  EXPECT_EQ(not_equal(x, x).to_vector<double>(), (Values{1, 0, 1}));
}

TEST_P(Conventions, NanOfTheBranchNotTakenReachesNothing) {
  const Tensor x = make({-1, 4});
  const Tensor y = where(greater(x, 0.0), sqrt(x), 0.5);
  expect_same(y.to_vector<double>(), {0.5, 2});
  // where gives its branch a cotangent of exactly 0; what the branch makes of 0 is its own matter.
  const Tensor a = make({nan, 2});
  const Tensor b = make({3, nan});
  const Tensor chosen = where(tensor(std::vector<bool>{false, true}, {.device = device()}), a, b);
  expect_same(chosen.to_vector<double>(), {3, 2});
  expect_same(gradient(chosen, a), {0, 1});
  expect_same(gradient(chosen, b), {1, 0});
}

TEST_P(Conventions, NoGradientThroughDetachedValues) {
  const Tensor x = make({1, 2});
  const Tensor y = square(x);  // not evaluated: detaching adds a node
  expect_same(gradient(y.detach() * x, x), {1, 4});
  y.eval();
  expect_same(gradient(y.detach() * x, x), {1, 4});
  Tensor apart;
  {
    const NoGrad guard;
    apart = square(x);
  }
  expect_same(gradient(apart * x, x), {1, 4});
}

TEST_P(Conventions, TiesShareTheGradient) {
  const Tensor a = make({1, 2, 3});
  const Tensor b = make({1, 3, 2});
  expect_same(gradient(maximum(a, b), a), {0.5, 0, 1});
  expect_same(gradient(maximum(a, b), b), {0.5, 1, 0});
  expect_same(gradient(minimum(a, b), a), {0.5, 1, 0});
  expect_same(gradient(minimum(a, b), b), {0.5, 0, 1});
  const Tensor x = make({2, 1, 2, 1, 1, 1}, {2, 3});
  expect_same(gradient(amax(x), x), {0.5, 0, 0.5, 0, 0, 0});
  expect_same(gradient(amin(x), x), {0, 0.25, 0, 0.25, 0.25, 0.25});
  const Tensor by_row = amax(x, {.axes = {1}});
  expect_close(gradient(by_row, x), {0.5, 0, 0.5, 1.0 / 3, 1.0 / 3, 1.0 / 3});
  EXPECT_EQ(argmax(make({1, 5, 5})).item(), 1);
  EXPECT_EQ(argmin(make({2, 1, 1})).item(), 1);
}

TEST_P(Conventions, ProductsOfZerosHaveGradients) {
  const Tensor x = make({2, 0, 3, 0, 0, 4, 5, 6, 7}, {3, 3});
  const Tensor y = prod(x, {.axes = {1}});
  expect_same(y.to_vector<double>(), {0, 0, 210});
  expect_same(gradient(y, x), {0, 6, 0, 0, 0, 0, 42, 35, 30});
  // Second derivatives of x0 x1 x2 at (2, 0, 3): the other factor off the diagonal.
  const Tensor z = make({2, 0, 3});
  const Tensor g = gradients(prod(z), {z})[0];
  expect_same(gradient(slice(g, 0, 0, 1), z), {0, 3, 0});
  expect_same(gradient(slice(g, 0, 1, 2), z), {3, 0, 2});
  expect_same(gradient(slice(g, 0, 2, 3), z), {0, 2, 0});
}

TEST_P(Conventions, NormAndPowersAtZero) {
  const Tensor zero = make({0, 0, 3, 4}, {2, 2});
  const Tensor n = norm(zero, {.axes = {1}});
  expect_same(n.to_vector<double>(), {0, 5});
  expect_close(gradient(n, zero), {0, 0, 0.6, 0.8});

  const Tensor a = make({0, 0, 2, 0});
  const Tensor b = make({0, 2, 0, -1});
  const Tensor p = pow(a, b);
  expect_same(p.to_vector<double>(), {1, 0, 1, inf});
  const Values by_a = gradient(p, a);
  expect_same({by_a[0], by_a[1], by_a[2]}, {0, 0, 0});
  const Values by_b = gradient(p, b);
  expect_close({by_b[0], by_b[1], by_b[2], by_b[3]}, {0, 0, std::log(2.0), 0});

  const Tensor x = make({0, -2, 3});
  expect_same(gradient(pow(x, 0.0), x), {0, 0, 0});
  expect_same(gradient(pow(x, 1.0), x), {1, 1, 1});
  expect_same(pow(x, 2.0).to_vector<double>(), square(x).to_vector<double>());
  expect_same(gradient(pow(x, 2.0), x), {0, -4, 6});
}

TEST_P(Conventions, InfinitiesInRows) {
  const Tensor x = make({-inf, -inf, 0, -inf, 1000, 1000}, {3, 2});
  expect_close(logsumexp(slice(x, 0, 1), {.axes = {1}}).to_vector<double>(), {0, 1000 + std::log(2.0)});
  EXPECT_EQ(logsumexp(slice(x, 0, 0, 1)).item(), -inf);
  for (const double g : gradient(logsumexp(slice(x, 0, 0, 1)), x)) {
    EXPECT_TRUE(std::isnan(g) || g == 0);
  }
  expect_same(softmax(x).to_vector<double>(), {nan, nan, 1, 0, 0.5, 0.5});
  EXPECT_EQ(logsumexp(make({inf, 1})).item(), inf);
}

TEST_P(Conventions, FunctionsDoNotOverflow) {
  const Tensor x = make({-1000, 1000});
  expect_same(sigmoid(x).to_vector<double>(), {0, 1});
  expect_same(log_sigmoid(x).to_vector<double>(), {-1000, 0});
  expect_same(softplus(x).to_vector<double>(), {0, 1000});
  expect_same(silu(x).to_vector<double>(), {0, 1000});
  expect_same(gradient(softplus(x), x), {0, 1});
  expect_same(gradient(sigmoid(x), x), {0, 0});
  expect_same(elu(x).to_vector<double>(), {-1, 1000});
  const Tensor first = gradients(sum(elu(x)), {x})[0];
  expect_same(first.to_vector<double>(), {0, 1});
  expect_same(gradient(first, x), {0, 0});
  expect_same(log_softmax(make({1000, -1000})).to_vector<double>(), {0, -2000});
  const Tensor logits = make({40, -40, 1000, -1000});
  const Tensor targets = make({1, 0, 1, 0});
  const Values loss = binary_cross_entropy_with_logits(logits, targets, Reduction::none).to_vector<double>();
  EXPECT_NEAR(loss[0], std::exp(-40), 1e-30);  // nothing cancels on the way to 4e-18
  EXPECT_NEAR(loss[1], std::exp(-40), 1e-30);
  EXPECT_EQ(loss[2], 0);
  EXPECT_EQ(loss[3], 0);
  expect_same(huber_loss(make({1e300, -1e300}), make({0, 0}), 1, Reduction::none).to_vector<double>(), {1e300, 1e300});
}

TEST_P(Conventions, SignedZeros) {
  const Tensor zeros_of_both = make({-0.0, 0.0});
  const auto signs = [](const Tensor& x) {
    std::vector<bool> result;
    for (const double value : x.to_vector<double>()) {
      result.push_back(std::signbit(value));
    }
    return result;
  };
  EXPECT_EQ(signs(abs(zeros_of_both)), (std::vector<bool>{false, false}));
  EXPECT_EQ(signs(relu(zeros_of_both)), (std::vector<bool>{false, false}));
  EXPECT_EQ(signs(-zeros_of_both), (std::vector<bool>{false, true}));
  EXPECT_EQ(signs(contiguous(zeros_of_both)), (std::vector<bool>{true, false}));
  EXPECT_EQ(equal(make({-0.0}), make({0.0})).item(), 1);
}

TEST_P(Conventions, EmptyTensors) {
  const Tensor x = make({}, {0});
  const Tensor rows = make({}, {0, 5});
  const Tensor columns = make({}, {5, 0});
  EXPECT_EQ(sum(x).item(), 0);
  EXPECT_EQ(prod(x).item(), 1);
  EXPECT_TRUE(std::isnan(mean(x).item()));
  EXPECT_TRUE(std::isnan(var(x).item()));
  EXPECT_EQ(norm(x).item(), 0);
  EXPECT_EQ(logsumexp(x).item(), -inf);
  expect_same(sum(columns, {.axes = {1}}).to_vector<double>(), Values(5, 0));
  expect_same(sum(rows, {.axes = {0}}).to_vector<double>(), Values(5, 0));
  EXPECT_EQ(amax(rows, {.axes = {1}}).shape(), Shape{0});
  for (const Tensor& result :
       {exp(rows), rows + rows, rows * make({1, 2, 3, 4, 5}), softmax(rows), log_softmax(columns), cumsum(rows, 1),
        relu(columns), transpose(rows), where(equal(rows, rows), rows, rows)}) {
    EXPECT_EQ(result.numel(), 0);
    EXPECT_TRUE(result.to_vector<double>().empty());
  }
  EXPECT_EQ(cat({rows, make({1, 2, 3, 4, 5}, {1, 5})}).to_vector<double>(), (Values{1, 2, 3, 4, 5}));
  EXPECT_EQ(slice(make({1, 2, 3}), 0, 2, 1).shape(), Shape{0});
  EXPECT_EQ(matmul(rows, columns).shape(), (Shape{0, 0}));
  expect_same(matmul(columns, rows).to_vector<double>(), Values(25, 0));
  const Tensor product = linear(columns, make({}, {2, 0}), make({7, 8}));
  expect_same(product.to_vector<double>(), {7, 8, 7, 8, 7, 8, 7, 8, 7, 8});
  EXPECT_EQ(layer_norm(rows, make(Values(5, 1)), make(Values(5, 0))).shape(), (Shape{0, 5}));
  EXPECT_EQ(index_select(rows, 1, labels({0, 4})).shape(), (Shape{0, 2}));
  expect_same(index_add(labels({}), rows, 0, 1).to_vector<double>(), Values(5, 0));
  EXPECT_EQ(one_hot(labels({}), 3).shape(), (Shape{0, 3}));
  EXPECT_TRUE(std::isnan(cross_entropy(rows, labels({})).item()));
  for (const Tensor& y : {sum(exp(x)), mean(x), prod(x), norm(x), sum(cumsum(x, 0))}) {
    EXPECT_TRUE(gradients(y, {x})[0].to_vector<double>().empty());
  }
  expect_same(gradient(matmul(columns, rows), columns), {});
  EXPECT_EQ(reshape(rows, {5, 0}).shape(), (Shape{5, 0}));
}

TEST_P(Conventions, WholeNumbers) {
  const Tensor bools = tensor(std::vector<bool>{true, false, true}, {.device = device()});
  EXPECT_EQ(sum(bools).dtype(), i64);
  EXPECT_EQ(sum(bools).item(), 2);
  const Tensor bytes = tensor(std::vector<std::uint8_t>{200, 100}, {.device = device()});
  EXPECT_EQ(sum(bytes).item(), 300);
  EXPECT_EQ(amax(bytes).dtype(), u8);
  EXPECT_EQ(cumsum(bytes, 0).to_vector<double>(), (Values{200, 300}));
  EXPECT_EQ(cast(make({-1.9, 1.9, 0}), i64).to_vector<double>(), (Values{-1, 1, 0}));
  EXPECT_EQ(cast(make({-1.9, 0, 0.1}), boolean).to_vector<double>(), (Values{1, 0, 1}));
  EXPECT_FALSE(cast(make({1}), i32).requires_grad());
  EXPECT_EQ(arange(4, 5, -2, {.device = device()}).to_vector<double>(), (Values{5, 3, 1, -1}));
  EXPECT_EQ(arange(3, 0.5, 0.25, {.dtype = f64, .device = device()}).to_vector<double>(), (Values{0.5, 0.75, 1}));
  EXPECT_EQ(where(bools, 1.5, 2.0).dtype(), f32);
  EXPECT_EQ(where(bools, 1.5, 2.0).to_vector<double>(), (Values{1.5, 2, 1.5}));
}

TEST_P(Conventions, SlicesFollowPython) {
  const Tensor x = make({0, 1, 2, 3, 4});
  const auto take = [&](std::int64_t start, std::optional<std::int64_t> stop, std::int64_t step) {
    return slice(x, 0, start, stop, step).to_vector<double>();
  };
  EXPECT_EQ(take(-2, {}, 1), (Values{3, 4}));
  EXPECT_EQ(take(1, -1, 1), (Values{1, 2, 3}));
  EXPECT_EQ(take(0, 100, 2), (Values{0, 2, 4}));
  EXPECT_EQ(take(-100, 100, 3), (Values{0, 3}));
  EXPECT_EQ(take(-1, {}, -1), (Values{4, 3, 2, 1, 0}));
  EXPECT_EQ(take(100, 0, -2), (Values{4, 2}));
  EXPECT_EQ(take(3, 3, 1), Values{});
  EXPECT_EQ(take(1, 3, -1), Values{});
}

TEST_P(Conventions, CrossEntropyOptions) {
  const Values logits = {0.5, -1, 2, 1, 0, -0.5};
  const Tensor x = make(logits, {2, 3});
  const Values lp = log_softmax(x).to_vector<double>();
  const Tensor y = labels({2, 0});
  const double a = -lp[2];
  const double b = -lp[3];
  expect_close(cross_entropy(x, y, {.reduction = Reduction::none}).to_vector<double>(), {a, b});
  expect_close(cross_entropy(x, y, {.reduction = Reduction::sum}).to_vector<double>(), {a + b});
  expect_close(cross_entropy(x, y).to_vector<double>(), {(a + b) / 2});
  expect_close(nll_loss(log_softmax(x), y).to_vector<double>(), {(a + b) / 2});
  expect_close(cross_entropy(x, y.to(i32)).to_vector<double>(), {(a + b) / 2});

  const Values w = {0.5, 2, 3};
  const Tensor weights = make(w);
  expect_close(cross_entropy(x, y, {.class_weights = weights}).to_vector<double>(), {(3 * a + 0.5 * b) / 3.5});

  // The ignored label need not be a class, and its row has no gradient.
  const Tensor ignoring = cross_entropy(x, labels({2, -100}), {.ignore_label = -100});
  expect_close(ignoring.to_vector<double>(), {a});
  const Values g = gradient(ignoring, x);
  expect_same({g[3], g[4], g[5]}, {0, 0, 0});
  expect_close(cross_entropy(x, labels({2, 1}), {.ignore_label = 1, .class_weights = weights}).to_vector<double>(),
               {a});
  EXPECT_TRUE(std::isnan(cross_entropy(x, labels({1, 1}), {.ignore_label = 1}).item()));

  // Smoothing spreads 0.3 over the three classes; class weights count there too.
  const double smooth_a = 0.7 * 3 * a - 0.1 * (0.5 * lp[0] + 2 * lp[1] + 3 * lp[2]);
  const double smooth_b = 0.7 * 0.5 * b - 0.1 * (0.5 * lp[3] + 2 * lp[4] + 3 * lp[5]);
  expect_close(cross_entropy(x, y, {.label_smoothing = 0.3, .class_weights = weights}).to_vector<double>(),
               {(smooth_a + smooth_b) / 3.5});

  const Tensor p = make({0.2, 0.3, 0.5, 1, 0, 0}, {2, 3});
  const double of_p = -(0.2 * lp[0] + 0.3 * lp[1] + 0.5 * lp[2]) + b;
  expect_close(cross_entropy(x, p).to_vector<double>(), {of_p / 2});
  const double weighted = -(0.2 * 0.5 * lp[0] + 0.3 * 2 * lp[1] + 0.5 * 3 * lp[2]) + 0.5 * b;
  expect_close(cross_entropy(x, p, {.class_weights = weights, .reduction = Reduction::sum}).to_vector<double>(),
               {weighted});
  // Labels and their one-hot probabilities are one loss, smoothed too.
  expect_close(cross_entropy(x, one_hot(y, 3, f64), {.label_smoothing = 0.3}).to_vector<double>(),
               cross_entropy(x, y, {.label_smoothing = 0.3}).to_vector<double>());
}

TEST_P(Conventions, Losses) {
  const Tensor p = make({1, -2, 3});
  const Tensor t = make({0.5, 1, 3});
  expect_close(mse_loss(p, t, Reduction::none).to_vector<double>(), {0.25, 9, 0});
  expect_close(mse_loss(p, t).to_vector<double>(), {9.25 / 3});
  expect_close(half_squared_error(p, t).to_vector<double>(), {4.625});
  expect_close(l1_loss(p, t, Reduction::sum).to_vector<double>(), {3.5});
  expect_close(huber_loss(p, t, 1.0, Reduction::none).to_vector<double>(), {0.125, 2.5, 0});
  expect_close(gradient(huber_loss(p, t, 1.0, Reduction::none), p), {0.5, -1, 0});
  expect_close(hinge_loss(p, make({1, 1, -1}), Reduction::none).to_vector<double>(), {0, 3, 4});
  expect_close(mse_loss(p, 0.0, Reduction::sum).to_vector<double>(), {14});
}

TEST_P(Conventions, VarianceAndNormalisation) {
  const Tensor x = make({1, 2, 3, 10}, {2, 2});
  expect_close(var(x).to_vector<double>(), {50.0 / 3});
  expect_close(var(x, {.axes = {0}}, 0).to_vector<double>(), {1, 16});
  EXPECT_EQ(var(x, {.axes = {1}, .keepdim = true}).shape(), (Shape{2, 1}));
  EXPECT_TRUE(std::isnan(var(make({5})).item()));  // 0 / 0
  const Tensor one = make({1, 1});
  const Tensor zero = make({0, 0});
  expect_close(batch_norm(x, one, zero, 0).to_vector<double>(), {-1, -1, 1, 1});
  expect_close(batch_norm(x, one, zero, make({1, 2}), make({4, 16}), 0).to_vector<double>(), {0, 0, 1, 2});
  expect_close(rms_norm(make({3, 4}, {1, 2}), one, 0).to_vector<double>(), {3 / std::sqrt(12.5), 4 / std::sqrt(12.5)});
}

TEST_P(Conventions, Dropout) {
  const Tensor x = make(Values(1000, 1.0));
  const Seed seed{.key = 7, .stream = 3};
  EXPECT_EQ(dropout(x, 0, seed).node(), x.node());
  const Tensor all_dropped = dropout(x, 1, seed);
  expect_same(all_dropped.to_vector<double>(), Values(1000, 0));
  expect_same(gradient(all_dropped, x), Values(1000, 0));
  const Tensor y = dropout(x, 0.25, seed);
  const Values values = y.to_vector<double>();
  std::size_t kept = 0;
  for (const double value : values) {
    EXPECT_TRUE(value == 0 || value == 1 / 0.75);
    kept += value != 0 ? 1 : 0;
  }
  // Five standard deviations of a binomial of 1000 at 0.75.
  EXPECT_NEAR(static_cast<double>(kept), 750, 5 * std::sqrt(1000 * 0.75 * 0.25));
  expect_same(gradient(dropout(x, 0.25, seed), x), values);  // the same seed drops the same elements
  EXPECT_EQ(dropout(x.to(f32), 0.25, seed).to(boolean).to_vector<double>(), y.to(boolean).to_vector<double>());
  EXPECT_NE(dropout(x, 0.25, {.key = 7, .stream = 4}).to_vector<double>(), values);
  EXPECT_EQ(random_bernoulli({64}, 0, seed, {.device = device()}).to_vector<double>(), Values(64, 0));
  EXPECT_EQ(random_bernoulli({64}, 1, seed, {.device = device()}).to_vector<double>(), Values(64, 1));
}

TEST_P(Conventions, RandomNumbersAreTheSameOnEveryDevice) {
  const Seed seed{.key = 42, .stream = 5};
  for (const Dtype dtype : {f32, f64, bf16, f16}) {
    EXPECT_EQ(random_uniform({33, 3}, seed, {.dtype = dtype, .device = device()}).to_vector<double>(),
              random_uniform({33, 3}, seed, {.dtype = dtype}).to_vector<double>());
    EXPECT_EQ(random_normal({33, 3}, seed, {.dtype = dtype, .device = device()}).to_vector<double>(),
              random_normal({33, 3}, seed, {.dtype = dtype}).to_vector<double>());
  }
  std::vector<std::int64_t> order = random_permutation(257, seed, device()).to_vector<std::int64_t>();
  EXPECT_EQ(order, random_permutation(257, seed).to_vector<std::int64_t>());
  std::sort(order.begin(), order.end());
  for (std::size_t i = 0; i < order.size(); ++i) {
    EXPECT_EQ(order[i], static_cast<std::int64_t>(i));
  }
}

TEST_P(Conventions, ShapesOfLayoutFunctions) {
  const Tensor x = make(Values(24, 1), {2, 1, 3, 4});
  EXPECT_EQ(squeeze(x).shape(), (Shape{2, 3, 4}));
  EXPECT_EQ(squeeze(x, 1).shape(), (Shape{2, 3, 4}));
  EXPECT_EQ(unsqueeze(x, -1).shape(), (Shape{2, 1, 3, 4, 1}));
  EXPECT_EQ(flatten(x).shape(), Shape{24});
  EXPECT_EQ(flatten(x, 1, 2).shape(), (Shape{2, 3, 4}));
  EXPECT_EQ(flatten(make({1}, {})).shape(), Shape{1});
  EXPECT_EQ(reshape(x, {-1, 8}).shape(), (Shape{3, 8}));
  EXPECT_EQ(stack({make({1, 2}), make({3, 4})}, 1).to_vector<double>(), (Values{1, 3, 2, 4}));
  const Tensor t = transpose(make({1, 2, 3, 4, 5, 6}, {2, 3}));
  EXPECT_EQ(reshape(t, {6}).to_vector<double>(), (Values{1, 4, 2, 5, 3, 6}));
  EXPECT_EQ(matmul(make({1, 2}), make({3, 4})).shape(), Shape{});
  EXPECT_EQ(matmul(make({1, 2}), make({3, 4})).item(), 11);
  EXPECT_EQ(matmul(make({1, 2, 3, 4}, {2, 2}), make({1, 1})).to_vector<double>(), (Values{3, 7}));
  EXPECT_EQ(matmul(make({1, 1}), make({1, 2, 3, 4}, {2, 2})).to_vector<double>(), (Values{4, 6}));
  EXPECT_EQ(linear(make({1, 2}), make({1, 1}, {1, 2})).to_vector<double>(), (Values{3}));
}

INSTANTIATE_ON_DEVICES(Conventions);

}  // namespace
}  // namespace twingrad::tests
