// Statistics and normalisation composed of other ops: they have no rows and no kernels of their own.
#include <twingrad/ops/rows.h>
#include <twingrad/ops/use.h>

#include <algorithm>

namespace twingrad {

Tensor var(Operand x, ReduceOptions options, double correction) {
  const Use use("var", {x});
  use.require_floats();
  const Axes axes = use.axes(options.axes, use[0].rank());
  double count = 1;
  for (const std::int64_t axis : axes) {
    count *= static_cast<double>(use[0].shape()[static_cast<int>(axis)]);
  }
  // A scalar has no axes to name, and an empty list means all of them: both are the same reduction.
  const Tensor centred = use[0] - mean(use[0], {.axes = axes, .keepdim = true});
  return sum(square(centred), {.axes = axes, .keepdim = options.keepdim}) / std::max(count - correction, 0.0);
}

Tensor norm(Operand x, ReduceOptions options) {
  const Use use("norm", {x});
  use.require_floats();
  const Tensor squares = sum(square(use[0]), options);
  // sqrt has no finite derivative at 0; there the graph goes around it.
  const Tensor at_zero = equal(squares, 0.0);
  return where(at_zero, 0.0, sqrt(where(at_zero, 1.0, squares)));
}

namespace {

/// Checks x (n, features) and (features) of everything beside it.
void require_columns(const Use& use, std::size_t count) {
  use.require_floats();
  if (use[0].rank() != 2) {
    use.fail<ShapeError>("takes x of shape (n, features); reshape it");
  }
  for (std::size_t i = 1; i < count; ++i) {
    if (!use.is_number(i) && !(use[i].shape() == Shape{use[0].size(1)})) {
      use.fail<ShapeError>("everything beside x must have the shape (" + std::to_string(use[0].size(1)) +
                           "), one number per feature");
    }
  }
}

Tensor normalize_columns(const Tensor& centred, const Tensor& variance, const Tensor& weight, const Tensor& bias,
                         double eps) {
  return centred * (rsqrt(variance + eps) * weight) + bias;
}

}  // namespace

Tensor batch_norm(Operand x, Operand weight, Operand bias, double eps) {
  const Use use("batch_norm", {x, weight, bias});
  require_columns(use, 3);
  const Tensor centred = use[0] - mean(use[0], {.axes = {0}});
  return normalize_columns(centred, mean(square(centred), {.axes = {0}}), use[1], use[2], eps);
}

Tensor batch_norm(Operand x, Operand weight, Operand bias, Operand mean, Operand variance, double eps) {
  const Use use("batch_norm", {x, weight, bias, mean, variance});
  require_columns(use, 5);
  return normalize_columns(use[0] - use[3], use[4], use[1], use[2], eps);
}

}  // namespace twingrad
