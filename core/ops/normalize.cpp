// Rows of Family::rows and what is made of them: softmax and its kin, and normalisations. The kernels work along the
// last axis; another axis is brought there and back by transposes, which are views.
#include <twingrad/kernels.h>
#include <twingrad/ops/rows.h>
#include <twingrad/ops/use.h>

namespace twingrad {
namespace {

TensorType infer_row_map(std::span<const TensorType> inputs, const Attributes&) {
  require_floating(inputs[0]);
  if (inputs[0].shape.empty()) {
    throw ShapeError("takes at least one axis; a scalar has none");
  }
  return inputs[0];
}

TensorType infer_row_value(std::span<const TensorType> inputs, const Attributes& attributes) {
  TensorType result = infer_row_map(inputs, attributes);
  result.shape.erase(result.shape.size() - 1);
  return result;
}

/// x, weight and, for layer_norm, bias; both (last length of x).
TensorType infer_norm(std::span<const TensorType> inputs, const Attributes& attributes) {
  const TensorType result = infer_row_map(inputs, attributes);
  for (std::size_t i = 1; i < inputs.size(); ++i) {
    require_same_dtype(inputs[0], inputs[i]);
    if (!(inputs[i].shape == Shape{result.shape.back()})) {
      throw ShapeError("weight and bias must have the shape (" + std::to_string(result.shape.back()) +
                       ") of the input's last axis");
    }
  }
  return result;
}

ReduceOptions last_axis() {
  return {.axes = {-1}, .keepdim = true};
}

double exponential_flops(std::span<const TensorType> inputs, const TensorType&) {
  return 4.0 * static_cast<double>(numel(inputs[0].shape));
}
double norm_flops(std::span<const TensorType> inputs, const TensorType&) {
  return 8.0 * static_cast<double>(numel(inputs[0].shape));
}

std::vector<Sample> row_samples() {
  return {{{sample_of({7, 5})}}, {{sample_of({2, 3, 4})}}, {{sample_of({2, 33})}}, {{sample_of({3, 1})}}};
}

/// Applies a row-wise op along `axis`.
Tensor along(const Op& row, const Use& use, int axis) {
  const int from_front = use.axis(axis, use[0].rank());
  if (from_front == use[0].rank() - 1) {
    return apply(row, {use[0]});
  }
  return transpose(apply(row, {transpose(use[0], from_front, -1)}), from_front, -1);
}

/// The gradient of x -> x_hat * weight, where x_hat is x normalised with reciprocal deviation `scale`; `centred` when
/// the mean was taken off.
Tensor normalized_gradient(const Tensor& h, const Tensor& x_hat, const Tensor& scale, bool centred) {
  const Tensor along_x_hat = x_hat * mean(h * x_hat, last_axis());
  const Tensor rest = centred ? h - mean(h, last_axis()) : h;
  return scale * (rest - along_x_hat);
}

}  // namespace

constexpr Op softmax_row = {
    .name = "softmax",
    .family = Family::rows,
    .kernel = static_cast<int>(Rows::softmax),
    .summary = "exp(x) / sum(exp(x)) along the last axis, without overflow",
    .infer = infer_row_map,
    .gradient = [](const GradientCall& call) -> Gradients {
      const Tensor& y = call.output;
      return {y * (call.cotangent - sum(call.cotangent * y, last_axis()))};
    },
    .samples = row_samples,
    .flops = exponential_flops,
};
Tensor softmax(Operand x, int axis) {
  return along(softmax_row, Use("softmax", {x}), axis);
}

constexpr Op log_softmax_row = {
    .name = "log_softmax",
    .family = Family::rows,
    .kernel = static_cast<int>(Rows::log_softmax),
    .summary = "x - log(sum(exp(x))) along the last axis, without overflow",
    .infer = infer_row_map,
    .gradient = [](const GradientCall& call) -> Gradients {
      return {call.cotangent - exp(call.output) * sum(call.cotangent, last_axis())};
    },
    .samples = row_samples,
    .flops = exponential_flops,
};
Tensor log_softmax(Operand x, int axis) {
  return along(log_softmax_row, Use("log_softmax", {x}), axis);
}

constexpr Op logsumexp_row = {
    .name = "logsumexp",
    .family = Family::rows,
    .kernel = static_cast<int>(Rows::logsumexp),
    .summary = "log(sum(exp(x))) along the last axis, without overflow",
    .infer = infer_row_value,
    .gradient = [](const GradientCall& call) -> Gradients {
      return {unsqueeze(call.cotangent, -1) * exp(call.inputs[0] - unsqueeze(call.output, -1))};
    },
    .samples = row_samples,
    .flops = exponential_flops,
};
Tensor logsumexp(Operand x, ReduceOptions options) {
  const Use use("logsumexp", {x});
  const Tensor& input = use[0];
  const Axes axes = use.axes(options.axes, input.rank());
  Axes order;
  Shape kept;
  Shape result;
  std::int64_t count = 1;
  for (int i = 0; i < input.rank(); ++i) {
    if (axes.contains(i)) {
      count *= input.shape()[i];
      if (options.keepdim) {
        result.push_back(1);
      }
    } else {
      order.push_back(i);
      kept.push_back(input.shape()[i]);
      result.push_back(input.shape()[i]);
    }
  }
  for (const std::int64_t axis : axes) {
    order.push_back(axis);
  }
  const Tensor rows = reshape(permute(input, order), {twingrad::numel(kept), count});
  return reshape(apply(logsumexp_row, {rows}), result);
}

constexpr Op layer_norm_row = {
    .name = "layer_norm",
    .family = Family::rows,
    .kernel = static_cast<int>(Rows::layer_norm),
    .min_inputs = 3,
    .max_inputs = 3,
    .summary = "(x - mean) / sqrt(var + eps) * weight + bias over the last axis; var divides by n",
    .infer = infer_norm,
    .gradient = [](const GradientCall& call) -> Gradients {
      const Tensor& x = call.inputs[0];
      const Tensor centred = x - mean(x, last_axis());
      const Tensor scale = rsqrt(mean(square(centred), last_axis()) + call.attributes.reals[0]);
      const Tensor x_hat = centred * scale;
      return per_input(
          call, [&] { return normalized_gradient(call.cotangent * call.inputs[1], x_hat, scale, true); },
          [&] { return call.cotangent * x_hat; }, [&] { return call.cotangent; });
    },
    .samples = []() -> std::vector<Sample> {
      return {{{sample_of({7, 5}), sample_of({5}), sample_of({5})}, {.reals = {1e-5}}},
              {{sample_of({2, 3, 4}), sample_of({4}), sample_of({4})}, {.reals = {1e-3}}}};
    },
    .flops = norm_flops,
};
Tensor layer_norm(Operand x, Operand weight, Operand bias, double eps) {
  return apply(layer_norm_row, {x, weight, bias}, {.reals = {eps}});
}

constexpr Op rms_norm_row = {
    .name = "rms_norm",
    .family = Family::rows,
    .kernel = static_cast<int>(Rows::rms_norm),
    .min_inputs = 2,
    .max_inputs = 2,
    .summary = "x / sqrt(mean(x^2) + eps) * weight over the last axis",
    .infer = infer_norm,
    .gradient = [](const GradientCall& call) -> Gradients {
      const Tensor& x = call.inputs[0];
      const Tensor scale = rsqrt(mean(square(x), last_axis()) + call.attributes.reals[0]);
      const Tensor x_hat = x * scale;
      return per_input(
          call, [&] { return normalized_gradient(call.cotangent * call.inputs[1], x_hat, scale, false); },
          [&] { return call.cotangent * x_hat; });
    },
    .samples = []() -> std::vector<Sample> {
      return {{{sample_of({7, 5}), sample_of({5})}, {.reals = {1e-6}}},
              {{sample_of({2, 3, 4}), sample_of({4})}, {.reals = {1e-3}}}};
    },
    .flops = norm_flops,
};
Tensor rms_norm(Operand x, Operand weight, double eps) {
  return apply(rms_norm_row, {x, weight}, {.reals = {eps}});
}

OpRows normalize_rows() {
  return {&softmax_row, &log_softmax_row, &logsumexp_row, &layer_norm_row, &rms_norm_row};
}

}  // namespace twingrad
