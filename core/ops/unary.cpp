// Rows and functions of the elementwise ops of one input.
#include <twingrad/ops/elementwise.h>
#include <twingrad/ops/rows.h>
#include <twingrad/ops/use.h>

#include <numbers>

namespace twingrad {
namespace {

constexpr double zero_kink[] = {0.0};
constexpr double clamp_kinks[] = {-0.5, 0.7};  // the bounds of its sample

constexpr double sqrt_2_over_pi = 0.79788456080286535588;
constexpr double gelu_cubic = 0.044715;

}  // namespace

constexpr Op neg_row = elementwise<formulas::Neg>({
    .summary = "-x",
    .gradient = [](const GradientCall& call) -> Gradients { return {-call.cotangent}; },
});
Tensor neg(Operand x) {
  return apply(neg_row, {x});
}

constexpr Op abs_row = elementwise<formulas::Abs>({
    .summary = "|x|, with derivative 0 at 0",
    .gradient = [](const GradientCall& call) -> Gradients { return {call.cotangent * sign(call.inputs[0])}; },
    .domain = {.kinks = zero_kink},
});
Tensor abs(Operand x) {
  return apply(abs_row, {x});
}

constexpr Op sign_row = elementwise<formulas::Sign>({
    .summary = "-1, 0 or 1; NaN stays NaN",
    .gradient = [](const GradientCall& call) -> Gradients { return {zeros_like(call.cotangent)}; },
    .domain = {.kinks = zero_kink},
});
Tensor sign(Operand x) {
  return apply(sign_row, {x});
}

constexpr Op exp_row = elementwise<formulas::Exp>({
    .summary = "e^x",
    .gradient = [](const GradientCall& call) -> Gradients { return {call.cotangent * call.output}; },
});
Tensor exp(Operand x) {
  return apply(exp_row, {x});
}

constexpr Op expm1_row = elementwise<formulas::Expm1>({
    .summary = "e^x - 1, exact near 0",
    // Not output + 1, which is inexact where e^x is small.
    .gradient = [](const GradientCall& call) -> Gradients { return {call.cotangent * exp(call.inputs[0])}; },
});
Tensor expm1(Operand x) {
  return apply(expm1_row, {x});
}

constexpr Op log_row = elementwise<formulas::Log>({
    .summary = "natural logarithm",
    .gradient = [](const GradientCall& call) -> Gradients { return {call.cotangent / call.inputs[0]}; },
    .domain = {.low = 0.2, .high = 3.0},
});
Tensor log(Operand x) {
  return apply(log_row, {x});
}

constexpr Op log1p_row = elementwise<formulas::Log1p>({
    .summary = "log(1 + x), exact near 0",
    .gradient = [](const GradientCall& call) -> Gradients { return {call.cotangent / (call.inputs[0] + 1.0)}; },
    .domain = {.low = -0.7, .high = 2.0},
});
Tensor log1p(Operand x) {
  return apply(log1p_row, {x});
}

constexpr Op sqrt_row = elementwise<formulas::Sqrt>({
    .summary = "square root",
    .gradient = [](const GradientCall& call) -> Gradients { return {call.cotangent * 0.5 / call.output}; },
    .domain = {.low = 0.2, .high = 3.0},
});
Tensor sqrt(Operand x) {
  return apply(sqrt_row, {x});
}

constexpr Op rsqrt_row = elementwise<formulas::Rsqrt>({
    .summary = "1 / sqrt(x)",
    .gradient = [](const GradientCall& call) -> Gradients {
      return {call.cotangent * -0.5 * (call.output / call.inputs[0])};
    },
    .domain = {.low = 0.2, .high = 3.0},
});
Tensor rsqrt(Operand x) {
  return apply(rsqrt_row, {x});
}

constexpr Op square_row = elementwise<formulas::Square>({
    .summary = "x^2",
    .gradient = [](const GradientCall& call) -> Gradients { return {call.cotangent * 2.0 * call.inputs[0]}; },
});
Tensor square(Operand x) {
  return apply(square_row, {x});
}

constexpr Op reciprocal_row = elementwise<formulas::Reciprocal>({
    .summary = "1 / x",
    .gradient = [](const GradientCall& call) -> Gradients { return {-call.cotangent * square(call.output)}; },
    .domain = {.low = 0.2, .high = 3.0},
});
Tensor reciprocal(Operand x) {
  return apply(reciprocal_row, {x});
}

constexpr Op sin_row = elementwise<formulas::Sin>({
    .summary = "sine of radians",
    .gradient = [](const GradientCall& call) -> Gradients { return {call.cotangent * cos(call.inputs[0])}; },
});
Tensor sin(Operand x) {
  return apply(sin_row, {x});
}

constexpr Op cos_row = elementwise<formulas::Cos>({
    .summary = "cosine of radians",
    .gradient = [](const GradientCall& call) -> Gradients { return {-call.cotangent * sin(call.inputs[0])}; },
});
Tensor cos(Operand x) {
  return apply(cos_row, {x});
}

constexpr Op tanh_row = elementwise<formulas::Tanh>({
    .summary = "hyperbolic tangent",
    .gradient = [](const GradientCall& call) -> Gradients { return {call.cotangent * (1.0 - square(call.output))}; },
});
Tensor tanh(Operand x) {
  return apply(tanh_row, {x});
}

constexpr Op sigmoid_row = elementwise<formulas::Sigmoid>({
    .summary = "1 / (1 + e^-x), without overflow",
    .gradient = [](const GradientCall& call) -> Gradients {
      return {call.cotangent * (call.output * (1.0 - call.output))};
    },
});
Tensor sigmoid(Operand x) {
  return apply(sigmoid_row, {x});
}

constexpr Op log_sigmoid_row = elementwise<formulas::LogSigmoid>({
    .summary = "log(sigmoid(x)), without overflow",
    .gradient = [](const GradientCall& call) -> Gradients { return {call.cotangent * sigmoid(-call.inputs[0])}; },
});
Tensor log_sigmoid(Operand x) {
  return apply(log_sigmoid_row, {x});
}

constexpr Op relu_row = elementwise<formulas::Relu>({
    .summary = "max(x, 0), with derivative 0 at 0; NaN stays NaN",
    // The output has the sign that counts, and is what the next op keeps anyway.
    .gradient = [](const GradientCall& call) -> Gradients { return {relu_grad(call.output, call.cotangent)}; },
    .domain = {.kinks = zero_kink},
});
Tensor relu(Operand x) {
  return apply(relu_row, {x});
}

constexpr Op leaky_relu_row = elementwise<formulas::LeakyRelu>({
    .summary = "x, or x * slope below 0",
    .gradient = [](const GradientCall& call) -> Gradients {
      return {where(greater(call.inputs[0], 0.0), call.cotangent, call.cotangent * call.attributes.reals[0])};
    },
    .domain = {.kinks = zero_kink},
    .samples = []() -> std::vector<Sample> {
      return {{{sample_of({7, 5})}, {.reals = {0.1}}}};
    },
});
Tensor leaky_relu(Operand x, double negative_slope) {
  return apply(leaky_relu_row, {x}, {.reals = {negative_slope}});
}

constexpr Op elu_row = elementwise<formulas::Elu>({
    .summary = "x, or alpha * (e^x - 1) below 0",
    // The minimum keeps e^x finite where the other branch is taken: 0 * inf would spoil second derivatives.
    .gradient = [](const GradientCall& call) -> Gradients {
      const Tensor& x = call.inputs[0];
      return {where(greater(x, 0.0), call.cotangent, call.cotangent * call.attributes.reals[0] * exp(minimum(x, 0.0)))};
    },
    .domain = {.kinks = zero_kink},
    .samples = []() -> std::vector<Sample> {
      return {{{sample_of({7, 5})}, {.reals = {0.8}}}};
    },
});
Tensor elu(Operand x, double alpha) {
  return apply(elu_row, {x}, {.reals = {alpha}});
}

constexpr Op gelu_row = elementwise<formulas::Gelu>({
    .summary = "x * Phi(x), Phi the normal distribution function",
    // Phi(x) + x * phi(x)
    .gradient = [](const GradientCall& call) -> Gradients {
      const Tensor& x = call.inputs[0];
      const Tensor distribution = (erf(x * (std::numbers::sqrt2 / 2)) + 1.0) * 0.5;
      const Tensor density = exp(square(x) * -0.5) * (std::numbers::inv_sqrtpi / std::numbers::sqrt2);
      return {call.cotangent * (distribution + x * density)};
    },
});
constexpr Op gelu_tanh_row = elementwise<formulas::GeluTanh>({
    .summary = "x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))) / 2",
    .gradient = [](const GradientCall& call) -> Gradients {
      const Tensor& x = call.inputs[0];
      const Tensor x2 = square(x);
      const Tensor t = tanh(x * (x2 * (sqrt_2_over_pi * gelu_cubic) + sqrt_2_over_pi));
      const Tensor inner = x2 * (3.0 * sqrt_2_over_pi * gelu_cubic) + sqrt_2_over_pi;
      return {call.cotangent * 0.5 * ((t + 1.0) + x * (1.0 - square(t)) * inner)};
    },
});
Tensor gelu(Operand x, Gelu form) {
  return apply(form == Gelu::erf ? gelu_row : gelu_tanh_row, {x});
}

constexpr Op silu_row = elementwise<formulas::Silu>({
    .summary = "x * sigmoid(x)",
    .gradient = [](const GradientCall& call) -> Gradients {
      const Tensor s = sigmoid(call.inputs[0]);
      return {call.cotangent * (s * (call.inputs[0] * (1.0 - s) + 1.0))};
    },
});
Tensor silu(Operand x) {
  return apply(silu_row, {x});
}

constexpr Op softplus_row = elementwise<formulas::Softplus>({
    .summary = "log(1 + e^x), without overflow",
    .gradient = [](const GradientCall& call) -> Gradients { return {call.cotangent * sigmoid(call.inputs[0])}; },
});
Tensor softplus(Operand x) {
  return apply(softplus_row, {x});
}

constexpr Op erf_row = elementwise<formulas::Erf>({
    .summary = "error function",
    .gradient = [](const GradientCall& call) -> Gradients {
      return {call.cotangent * (2.0 * std::numbers::inv_sqrtpi) * exp(-square(call.inputs[0]))};
    },
});
Tensor erf(Operand x) {
  return apply(erf_row, {x});
}

constexpr Op clamp_row = elementwise<formulas::Clamp>({
    .summary = "min(max(x, low), high); the gradient passes at the bounds",
    .gradient = [](const GradientCall& call) -> Gradients {
      const Tensor& x = call.inputs[0];
      const Tensor inside =
          logical_and(greater_equal(x, call.attributes.reals[0]), less_equal(x, call.attributes.reals[1]));
      return {where(inside, call.cotangent, 0.0)};
    },
    .domain = {.kinks = clamp_kinks},
    .samples = []() -> std::vector<Sample> {
      return {{{sample_of({7, 5})}, {.reals = {-0.5, 0.7}}}};
    },
});
Tensor clamp(Operand x, double low, double high) {
  if (!(low <= high)) {
    Use("clamp", {x})
        .fail<ArgumentError>("low is " + std::to_string(low) + " and high is " + std::to_string(high) +
                             "; low must not be above high, and neither be NaN");
  }
  return apply(clamp_row, {x}, {.reals = {low, high}});
}

constexpr Op pow_scalar_row = elementwise<formulas::PowScalar>({
    .summary = "x^exponent",
    .gradient = [](const GradientCall& call) -> Gradients {
      const double exponent = call.attributes.reals[0];
      if (exponent == 0) {
        return {zeros_like(call.cotangent)};  // also at x = 0, where 0 * x^-1 is NaN
      }
      return {call.cotangent * exponent * pow(call.inputs[0], exponent - 1)};
    },
    .domain = {.low = 0.2, .high = 3.0},
    .samples = []() -> std::vector<Sample> {
      return {{{sample_of({7, 5})}, {.reals = {2.5}}}, {{sample_of({3})}, {.reals = {-1}}}};
    },
});
Tensor pow_scalar(Operand x, double exponent) {
  return apply(pow_scalar_row, {x}, {.reals = {exponent}});
}

constexpr Op logical_not_row = elementwise<formulas::LogicalNot>({.summary = "not x", .constant = true});
Tensor logical_not(Operand x) {
  return apply(logical_not_row, {x});
}

OpRows unary_rows() {
  return {&neg_row,   &abs_row,        &sign_row,       &exp_row,         &expm1_row,      &log_row,
          &log1p_row, &sqrt_row,       &rsqrt_row,      &square_row,      &reciprocal_row, &sin_row,
          &cos_row,   &tanh_row,       &sigmoid_row,    &log_sigmoid_row, &relu_row,       &leaky_relu_row,
          &elu_row,   &gelu_row,       &gelu_tanh_row,  &silu_row,        &softplus_row,   &erf_row,
          &clamp_row, &pow_scalar_row, &logical_not_row};
}

}  // namespace twingrad
