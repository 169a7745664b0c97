// The ops, as functions on tensors. Each adds nodes and computes nothing; shape and dtype errors come at the call and
// name op, shapes and the caller's line. Numbers stand for scalars of the other operand's dtype. Elementwise ops
// broadcast as NumPy does. The generated reference is docs/ops.md.
//
//   tg::Tensor y = tg::linear(x, w, b);
//   tg::Tensor loss = tg::cross_entropy(y, labels, {.label_smoothing = 0.1});
//   tg::Tensor z = (a + 2.0) * b / tg::sqrt(c);
#pragma once

#include <twingrad/tensor.h>

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace twingrad {

// Elementwise arithmetic: (shapes that broadcast) -> the broadcast shape; numbers of one dtype -> the same dtype.
Tensor add(Operand a, Operand b);
Tensor sub(Operand a, Operand b);
Tensor mul(Operand a, Operand b);
/// Floating-point only; cast integers first.
Tensor div(Operand a, Operand b);
/// a^b. The gradient of b is 0 where a = 0. A number as b is part of the graph's structure (pow_scalar).
Tensor pow(Operand a, Operand b);
/// The larger one; NaN wins; the gradient is shared equally where both are equal.
Tensor maximum(Operand a, Operand b);
Tensor minimum(Operand a, Operand b);

inline Tensor operator+(Operand a, Operand b) {
  return add(std::move(a), std::move(b));
}
inline Tensor operator-(Operand a, Operand b) {
  return sub(std::move(a), std::move(b));
}
inline Tensor operator*(Operand a, Operand b) {
  return mul(std::move(a), std::move(b));
}
inline Tensor operator/(Operand a, Operand b) {
  return div(std::move(a), std::move(b));
}

// Elementwise functions of one floating-point tensor (neg, abs, sign, square, relu: any numbers).
Tensor neg(Operand x);
inline Tensor operator-(Operand x) {
  return neg(std::move(x));
}
/// |x|, with derivative 0 at 0.
Tensor abs(Operand x);
Tensor sign(Operand x);
Tensor exp(Operand x);
Tensor expm1(Operand x);
Tensor log(Operand x);
Tensor log1p(Operand x);
Tensor sqrt(Operand x);
Tensor rsqrt(Operand x);
Tensor square(Operand x);
Tensor reciprocal(Operand x);
Tensor sin(Operand x);
Tensor cos(Operand x);
Tensor tanh(Operand x);
Tensor sigmoid(Operand x);
Tensor log_sigmoid(Operand x);
/// max(x, 0), with derivative 0 at 0; NaN stays NaN.
Tensor relu(Operand x);
Tensor leaky_relu(Operand x, double negative_slope = 0.01);
Tensor elu(Operand x, double alpha = 1.0);
enum class Gelu : std::uint8_t { erf, tanh };
Tensor gelu(Operand x, Gelu form = Gelu::erf);
Tensor silu(Operand x);
Tensor softplus(Operand x);
Tensor erf(Operand x);
/// min(max(x, low), high); the gradient passes inside and at the bounds. NaN stays NaN.
Tensor clamp(Operand x, double low, double high);

// Comparisons: numbers of one dtype -> bool, no gradient. With NaN all are false, except not_equal.
Tensor equal(Operand a, Operand b);
Tensor not_equal(Operand a, Operand b);
Tensor less(Operand a, Operand b);
Tensor less_equal(Operand a, Operand b);
Tensor greater(Operand a, Operand b);
Tensor greater_equal(Operand a, Operand b);
Tensor logical_and(Operand a, Operand b);
Tensor logical_or(Operand a, Operand b);
Tensor logical_not(Operand x);
/// a where the bool condition holds, else b. NaN in the branch not taken does not reach value or gradient.
Tensor where(Operand condition, Operand a, Operand b);

/// Which axes a reduction goes over, and whether they stay with length 1.
struct ReduceOptions {
  Axes axes{};  ///< empty: all
  bool keepdim = false;
};
/// Sums. An empty sum is 0. Integers and bool give int64.
Tensor sum(Operand x, ReduceOptions options = {});
/// Arithmetic mean of floats; of nothing: NaN.
Tensor mean(Operand x, ReduceOptions options = {});
Tensor prod(Operand x, ReduceOptions options = {});
/// Largest element; NaN wins; where several are largest they share the gradient equally. An empty axis throws.
Tensor amax(Operand x, ReduceOptions options = {});
Tensor amin(Operand x, ReduceOptions options = {});
/// sum((x - mean)^2) / (n - correction).
Tensor var(Operand x, ReduceOptions options = {}, double correction = 1);
/// Euclidean norm sqrt(sum(x^2)), with gradient 0 at the zero vector.
Tensor norm(Operand x, ReduceOptions options = {});
/// log(sum(exp(x))) without overflow.
Tensor logsumexp(Operand x, ReduceOptions options = {});
/// int64 index of the first largest element along `axis`; NaN wins.
Tensor argmax(Operand x, int axis = -1, bool keepdim = false);
Tensor argmin(Operand x, int axis = -1, bool keepdim = false);
/// Running sum along `axis`; from the end when `reverse`.
Tensor cumsum(Operand x, int axis, bool reverse = false);

/// (..., m, k) x (..., k, n) -> (..., m, n); batch axes broadcast. Vectors are taken as NumPy's matmul takes them.
/// float32 is accumulated in float32, 16-bit floats in float32.
Tensor matmul(Operand a, Operand b);
/// x (..., in) * weight (out, in)^T + bias (out) -> (..., out). The bias may be an undefined Tensor.
Tensor linear(Operand x, Operand weight, Operand bias);
Tensor linear(Operand x, Operand weight);

// Rows: along `axis`.
Tensor softmax(Operand x, int axis = -1);
Tensor log_softmax(Operand x, int axis = -1);
/// Normalises the last axis: (x - mean) / sqrt(var + eps) * weight + bias, var dividing by n (Ba et al., 2016).
Tensor layer_norm(Operand x, Operand weight, Operand bias, double eps = 1e-5);
/// x / sqrt(mean(x^2) + eps) * weight over the last axis (Zhang and Sennrich, 2019).
Tensor rms_norm(Operand x, Operand weight, double eps = 1e-6);
/// Normalises each column of x (n, features) by the batch's mean and variance (dividing by n), or by the given ones
/// (Ioffe and Szegedy, 2015).
Tensor batch_norm(Operand x, Operand weight, Operand bias, double eps = 1e-5);
Tensor batch_norm(Operand x, Operand weight, Operand bias, Operand mean, Operand variance, double eps = 1e-5);

/// How a loss sums its elements.
enum class Reduction : std::uint8_t { mean, sum, none };
/// (a - b)^2. The half sum of squares of textbooks is half_squared_error.
Tensor mse_loss(Operand prediction, Operand target, Reduction reduction = Reduction::mean);
/// sum((a - b)^2) / 2.
Tensor half_squared_error(Operand prediction, Operand target);
Tensor l1_loss(Operand prediction, Operand target, Reduction reduction = Reduction::mean);
/// d^2 / 2 where |d| <= delta, else delta * (|d| - delta / 2) (Huber, 1964).
Tensor huber_loss(Operand prediction, Operand target, double delta = 1.0, Reduction reduction = Reduction::mean);
struct CrossEntropyOptions {
  double label_smoothing = 0.0;
  /// Rows with this label count neither in the sum nor in the mean.
  std::optional<std::int64_t> ignore_label{};
  /// (classes); undefined: all 1. The mean divides by the sum of the labels' weights; with probabilities by n.
  Tensor class_weights{};
  Reduction reduction = Reduction::mean;
};
/// logits (n, classes); target: labels (n) of int64 or int32 in [0, classes), or probabilities (n, classes).
/// Mean over no rows: NaN. A label out of range throws NumericError when the value is asked for.
Tensor cross_entropy(Operand logits, Operand target, CrossEntropyOptions options = {});
/// Negative log likelihood of labels (n) given log-probabilities (n, classes).
Tensor nll_loss(Operand log_probabilities, Operand labels, CrossEntropyOptions options = {});
/// Target in [0, 1], same shape as the logits.
Tensor binary_cross_entropy_with_logits(Operand logits, Operand target, Reduction reduction = Reduction::mean);
/// max(0, 1 - target * score), target -1 or +1.
Tensor hinge_loss(Operand score, Operand target, Reduction reduction = Reduction::mean);

// Layout. Views cost nothing; reshape copies only where it must.
/// One length may be -1: it follows from the others.
Tensor reshape(Operand x, Shape shape);
Tensor transpose(Operand x, int axis0 = -2, int axis1 = -1);
Tensor permute(Operand x, Axes axes);
Tensor broadcast_to(Operand x, const Shape& shape);
/// Elements start, start + step, ... before stop along `axis`. Negative start and stop count from the end; step > 0 or
/// < 0 (then stop may be left out to reach the first element).
Tensor slice(Operand x, int axis, std::int64_t start, std::optional<std::int64_t> stop = {}, std::int64_t step = 1);
Tensor cat(const std::vector<Tensor>& tensors, int axis = 0,
           std::source_location where = std::source_location::current());
Tensor stack(const std::vector<Tensor>& tensors, int axis = 0,
             std::source_location where = std::source_location::current());
/// Drops `axis`, which has length 1; all such axes without one.
Tensor squeeze(Operand x, std::optional<int> axis = {});
Tensor unsqueeze(Operand x, int axis);
/// Joins axes first..last.
Tensor flatten(Operand x, int first = 0, int last = -1);
/// The tensor itself as a view.
Tensor identity(Operand x);
/// The values in row-major order without gaps.
Tensor contiguous(Operand x);
/// Sums x down to `shape`, which broadcasts to x's: the gradient of broadcasting.
Tensor sum_to(Operand x, const Shape& shape);
/// Float to integer truncates toward zero; to bool is != 0. Gradients flow back between floats.
Tensor cast(Operand x, Dtype dtype);
/// A copy on another device.
Tensor to_device(Operand x, Device device);

// Index. Indices: int64 or int32 in [0, length of the axis), else NumericError when the value is asked for.
/// x with `axis` replaced by the chosen slices; index (k).
Tensor index_select(Operand x, int axis, Operand index);
/// Rows of weight (count, width): indices (...) -> (..., width).
Tensor embedding(Operand weight, Operand indices);
/// Along `axis`: out[..., j, ...] = x[..., index[..., j, ...], ...].
Tensor gather(Operand x, int axis, Operand index);
/// x with out[..., index[..., j, ...], ...] += source[..., j, ...]; duplicates add in the order of the index.
Tensor scatter_add(Operand x, int axis, Operand index, Operand source);
/// Zeros of length `length` along `axis` with source's slices added at index (k): the gradient of index_select.
Tensor index_add(Operand index, Operand source, int axis, std::int64_t length);
/// (...) -> (..., classes): 1 at the label, 0 elsewhere.
Tensor one_hot(Operand labels, std::int64_t classes, Dtype dtype = Dtype::f32);

/// The key and the stream of a random op; see random.h for a Generator that hands them out.
struct Seed {
  std::int64_t key = 0;
  std::int64_t stream = 0;
};
// Random: Philox4x32-10 (Salmon et al., 2011). The same seed gives the same bits on every device. options.dtype:
// float32 by default.
/// [0, 1)
Tensor random_uniform(const Shape& shape, Seed seed, TensorOptions options = {},
                      std::source_location where = std::source_location::current());
/// Standard normal.
Tensor random_normal(const Shape& shape, Seed seed, TensorOptions options = {},
                     std::source_location where = std::source_location::current());
/// bool: true with the given probability.
Tensor random_bernoulli(const Shape& shape, double probability, Seed seed, TensorOptions options = {},
                        std::source_location where = std::source_location::current());
/// int64 (count): 0 .. count - 1 in random order.
Tensor random_permutation(std::int64_t count, Seed seed, Device device = {},
                          std::source_location where = std::source_location::current());
/// x / (1 - probability) where kept, 0 elsewhere (Srivastava et al., 2014). probability in [0, 1].
Tensor dropout(Operand x, double probability, Seed seed);

}  // namespace twingrad
