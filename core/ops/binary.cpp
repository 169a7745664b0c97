// Rows and functions of the elementwise ops of two and three inputs. Inputs broadcast; per_input() sums each gradient
// back to its input's shape.
#include <twingrad/ops/elementwise.h>
#include <twingrad/ops/rows.h>
#include <twingrad/ops/use.h>

namespace twingrad {
namespace {

// maximum and minimum: all of g where x wins (or is NaN), half of it where both are equal.
Tensor winners_share(const Tensor& x_loses, const Tensor& equal_inputs, const Tensor& g) {
  return where(x_loses, 0.0, where(equal_inputs, g * 0.5, g));
}

}  // namespace

constexpr Op add_row = elementwise<formulas::Add>({
    .summary = "a + b",
    .gradient =
        [](const GradientCall& call) {
          return per_input(
              call, [&] { return call.cotangent; }, [&] { return call.cotangent; });
        },
});
Tensor add(Operand a, Operand b) {
  return apply(add_row, {a, b});
}

constexpr Op sub_row = elementwise<formulas::Sub>({
    .summary = "a - b",
    .gradient =
        [](const GradientCall& call) {
          return per_input(
              call, [&] { return call.cotangent; }, [&] { return -call.cotangent; });
        },
});
Tensor sub(Operand a, Operand b) {
  return apply(sub_row, {a, b});
}

constexpr Op mul_row = elementwise<formulas::Mul>({
    .summary = "a * b",
    .gradient =
        [](const GradientCall& call) {
          return per_input(
              call, [&] { return call.cotangent * call.inputs[1]; }, [&] { return call.cotangent * call.inputs[0]; });
        },
});
Tensor mul(Operand a, Operand b) {
  return apply(mul_row, {a, b});
}

constexpr Op div_row = elementwise<formulas::Div>({
    .summary = "a / b",
    .gradient =
        [](const GradientCall& call) {
          return per_input(
              call, [&] { return call.cotangent / call.inputs[1]; },
              [&] { return -call.cotangent * (call.output / call.inputs[1]); });
        },
    .domain = {.low = 0.2, .high = 3.0},
});
Tensor div(Operand a, Operand b) {
  return apply(div_row, {a, b});
}

constexpr Op pow_row = elementwise<formulas::Pow>({
    .summary = "a^b; the gradient of b is 0 where a = 0",
    .gradient =
        [](const GradientCall& call) {
          const Tensor& a = call.inputs[0];
          const Tensor& b = call.inputs[1];
          return per_input(
              call,
              [&] {
                // b * a^(b - 1); 0^-1 is kept out, as 0 * inf is NaN.
                const Tensor exponent = where(logical_and(equal(a, 0.0), equal(b, 0.0)), 1.0, b) - 1.0;
                return call.cotangent * b * pow(a, exponent);
              },
              [&] {
                const Tensor at_zero = equal(a, 0.0);
                return where(at_zero, 0.0, call.cotangent * call.output * log(where(at_zero, 1.0, a)));
              });
        },
    .domain = {.low = 0.2, .high = 3.0},
});
Tensor pow(Operand a, Operand b) {
  if (!b.is_number() || a.is_number()) {
    return apply(pow_row, {a, b});
  }
  if (b.number() == 2.0 && a.tensor().defined() && is_floating(a.tensor().dtype())) {
    return square(a);  // the correctly rounded product, which a library's pow() need not give
  }
  return pow_scalar(a, b.number());
}

constexpr Op maximum_row = elementwise<formulas::Maximum>({
    .summary = "the larger one; NaN wins; equal ones share the gradient",
    .gradient =
        [](const GradientCall& call) {
          const Tensor& a = call.inputs[0];
          const Tensor& b = call.inputs[1];
          return per_input(
              call, [&] { return winners_share(less(a, b), equal(a, b), call.cotangent); },
              [&] { return winners_share(less(b, a), equal(a, b), call.cotangent); });
        },
});
Tensor maximum(Operand a, Operand b) {
  return apply(maximum_row, {a, b});
}

constexpr Op minimum_row = elementwise<formulas::Minimum>({
    .summary = "the smaller one; NaN wins; equal ones share the gradient",
    .gradient =
        [](const GradientCall& call) {
          const Tensor& a = call.inputs[0];
          const Tensor& b = call.inputs[1];
          return per_input(
              call, [&] { return winners_share(greater(a, b), equal(a, b), call.cotangent); },
              [&] { return winners_share(greater(b, a), equal(a, b), call.cotangent); });
        },
});
Tensor minimum(Operand a, Operand b) {
  return apply(minimum_row, {a, b});
}

constexpr Op equal_row = elementwise<formulas::Equal>({.summary = "a == b", .constant = true});
Tensor equal(Operand a, Operand b) {
  return apply(equal_row, {a, b});
}

constexpr Op not_equal_row = elementwise<formulas::NotEqual>({.summary = "a != b", .constant = true});
Tensor not_equal(Operand a, Operand b) {
  return apply(not_equal_row, {a, b});
}

constexpr Op less_row = elementwise<formulas::Less>({.summary = "a < b", .constant = true});
Tensor less(Operand a, Operand b) {
  return apply(less_row, {a, b});
}

constexpr Op less_equal_row = elementwise<formulas::LessEqual>({.summary = "a <= b", .constant = true});
Tensor less_equal(Operand a, Operand b) {
  return apply(less_equal_row, {a, b});
}

constexpr Op greater_row = elementwise<formulas::Greater>({.summary = "a > b", .constant = true});
Tensor greater(Operand a, Operand b) {
  return apply(greater_row, {a, b});
}

constexpr Op greater_equal_row = elementwise<formulas::GreaterEqual>({.summary = "a >= b", .constant = true});
Tensor greater_equal(Operand a, Operand b) {
  return apply(greater_equal_row, {a, b});
}

constexpr Op logical_and_row = elementwise<formulas::LogicalAnd>({.summary = "a and b", .constant = true});
Tensor logical_and(Operand a, Operand b) {
  return apply(logical_and_row, {a, b});
}

constexpr Op logical_or_row = elementwise<formulas::LogicalOr>({.summary = "a or b", .constant = true});
Tensor logical_or(Operand a, Operand b) {
  return apply(logical_or_row, {a, b});
}

constexpr Op relu_grad_row = elementwise<formulas::ReluGrad>({
    .summary = "b where a > 0 or NaN, else 0: relu's gradient in one pass",
    .gradient =
        [](const GradientCall& call) {
          return per_input(
              call, [&] { return zeros_like(call.cotangent); },
              [&] { return relu_grad(call.inputs[0], call.cotangent); });
        },
});
Tensor relu_grad(const Tensor& x, const Tensor& g) {
  return apply(relu_grad_row, {x, g});
}

constexpr Op bce_with_logits_grad_row = elementwise<formulas::BceWithLogitsGrad>({
    .summary = "sigmoid(a) - b without cancellation: bce_with_logits' gradient in one pass",
    .gradient =
        [](const GradientCall& call) {
          return per_input(
              call, [&] { return call.cotangent * (sigmoid(call.inputs[0]) * sigmoid(-call.inputs[0])); },
              [&] { return -call.cotangent; });
        },
});
constexpr Op bce_with_logits_row = elementwise<formulas::BceWithLogits>({
    .summary = "-b log(p) - (1 - b) log(1 - p), p = sigmoid(a), without overflow",
    .gradient =
        [](const GradientCall& call) {
          return per_input(
              call,
              [&] {
                return call.cotangent * apply(bce_with_logits_grad_row, {call.inputs[0], call.inputs[1]});
              },
              [&] { return -call.cotangent * call.inputs[0]; });
        },
});
Tensor bce_with_logits(const Tensor& x, const Tensor& y) {
  return apply(bce_with_logits_row, {x, y});
}

constexpr Op where_row = elementwise<formulas::Where>({
    .summary = "a where the condition holds, else b",
    .gradient =
        [](const GradientCall& call) {
          const Tensor& condition = call.inputs[0];
          return per_input(
              call, [] { return Tensor(); }, [&] { return where(condition, call.cotangent, 0.0); },
              [&] { return where(condition, 0.0, call.cotangent); });
        },
    .samples = []() -> std::vector<Sample> {
      const TensorType condition{{7, 5}, Dtype::boolean};
      return {{{condition, sample_of({7, 5}), sample_of({7, 5})}, {}, 2},
              {{condition, sample_of({5}), sample_of({7, 1})}, {}, 2}};
    },
});
Tensor where(Operand condition, Operand a, Operand b) {
  if (a.is_number() && b.is_number()) {
    // No operand gives a dtype: the condition's bool is none for its branches.
    const Use use("where", {condition});
    const Device device = use[0].device();
    return apply(where_row, {use[0], literal_scalar(a.number(), Dtype::f32, device),
                             literal_scalar(b.number(), Dtype::f32, device)});
  }
  return apply(where_row, {condition, a, b});
}

OpRows binary_rows() {
  return {&add_row,
          &sub_row,
          &mul_row,
          &div_row,
          &pow_row,
          &maximum_row,
          &minimum_row,
          &equal_row,
          &not_equal_row,
          &less_row,
          &less_equal_row,
          &greater_row,
          &greater_equal_row,
          &logical_and_row,
          &logical_or_row,
          &relu_grad_row,
          &bce_with_logits_row,
          &bce_with_logits_grad_row,
          &where_row};
}

}  // namespace twingrad
