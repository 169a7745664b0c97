// The matrix product, one row for matmul() and linear(). The kernel takes row- or column-major matrices, so the
// transposes of its gradient cost nothing.
#include <twingrad/ops/autocast.h>
#include <twingrad/ops/rows.h>
#include <twingrad/ops/use.h>

#include <utility>

namespace twingrad {
namespace {

/// Batch axes of (..., rows, columns).
Shape batch_of(const Shape& shape) {
  Shape batch;
  for (int i = 0; i + 2 < shape.size(); ++i) {
    batch.push_back(shape[i]);
  }
  return batch;
}

TensorType infer_matmul(std::span<const TensorType> inputs, const Attributes&) {
  const Shape& a = inputs[0].shape;
  const Shape& b = inputs[1].shape;
  require_floating(inputs[0]);
  for (std::size_t i = 1; i < inputs.size(); ++i) {
    require_same_dtype(inputs[0], inputs[i]);
  }
  if (a.size() < 2 || b.size() < 2) {
    throw ShapeError("takes matrices; unsqueeze a vector first");
  }
  const std::int64_t k = a.back();
  const std::int64_t n = b.back();
  if (b[b.size() - 2] != k) {
    throw ShapeError("the inner lengths differ: " + std::to_string(k) + " columns and " +
                     std::to_string(b[b.size() - 2]) + " rows; transpose or reshape one of them");
  }
  if (inputs.size() == 3 && !(inputs[2].shape == Shape{n})) {
    throw ShapeError("the bias must have the shape (" + std::to_string(n) + ")");
  }
  Shape result = broadcast(batch_of(a), batch_of(b), "batch axes");
  result.push_back(a[a.size() - 2]);
  result.push_back(n);
  return {result, inputs[0].dtype};
}

std::int64_t rows_of(const Shape& shape) {
  std::int64_t rows = 1;
  for (int i = 0; i + 1 < shape.size(); ++i) {
    rows *= shape[i];
  }
  return rows;
}

/// All axes but the last joined: one product instead of one per batch entry.
Tensor as_matrix(const Tensor& x) {
  return x.rank() == 2 ? x : reshape(x, {rows_of(x.shape()), x.shape().back()});
}

/// Whether x shows another tensor with its last two axes swapped.
bool is_transposed(const Tensor& x) {
  const Node& node = *x.node();
  const int last = x.rank() - 1;
  return node.op == &permute_op && node.attributes.ints[last] == last - 1 && node.attributes.ints[last - 1] == last;
}

/// `shape` with its last length replaced.
Shape with_last(Shape shape, std::int64_t length) {
  shape[shape.size() - 1] = length;
  return shape;
}

/// matmul() with the row's attributes.
Tensor multiply(const Operand& a, const Operand& b, const Attributes& attributes);

}  // namespace

constexpr Op matmul_row = {
    .name = "matmul",
    .family = Family::matmul,
    .min_inputs = 2,
    .max_inputs = 3,
    .summary = "(..., m, k) x (..., k, n) + bias (n) -> (..., m, n)",
    .infer = infer_matmul,
    .gradient = [](const GradientCall& call) -> Gradients {
      const auto of_a = [&] { return multiply(call.cotangent, transpose(call.inputs[1]), call.attributes); };
      // Of a weight that is used transposed, the gradient is computed transposed: turned back, it lies as the weight.
      const auto of_b = [&] {
        return is_transposed(call.inputs[1])
                   ? transpose(multiply(transpose(call.cotangent), call.inputs[0], call.attributes))
                   : multiply(transpose(call.inputs[0]), call.cotangent, call.attributes);
      };
      if (call.inputs.size() == 2) {
        return per_input(call, of_a, of_b);
      }
      return per_input(call, of_a, of_b, [&] { return call.cotangent; });
    },
    .samples = []() -> std::vector<Sample> {
      return {{{sample_of({7, 5}), sample_of({5, 3})}},
              {{sample_of({4, 5}), sample_of({5, 3}), sample_of({3})}},
              {{sample_of({2, 3, 4}), sample_of({2, 4, 2})}},
              {{sample_of({2, 1, 3, 4}), sample_of({3, 4, 2})}},
              {{sample_of({3, 33}), sample_of({33, 7})}},
              {{sample_of({1, 257}), sample_of({257, 1})}},
              {{sample_of({3, 0}), sample_of({0, 2}), sample_of({2})}}};
    },
    .flops =
        [](std::span<const TensorType> inputs, const TensorType& output) {
          const double bias = inputs.size() == 3 ? 1.0 : 0.0;
          const double inner = static_cast<double>(inputs[0].shape.back());
          return static_cast<double>(numel(output.shape)) * (2.0 * inner + bias);
        },
};

namespace {

Tensor multiply(const Operand& a, const Operand& b, const Attributes& attributes) {
  const Use use("matmul", {a, b});
  if (use[0].rank() == 0 || use[1].rank() == 0) {
    use.fail<ShapeError>("takes vectors or matrices, not scalars; multiply with *");
  }
  const bool left_vector = use[0].rank() == 1;
  const bool right_vector = use[1].rank() == 1;
  const Tensor left = left_vector ? unsqueeze(use[0], 0) : use[0];
  const Tensor right = right_vector ? unsqueeze(use[1], 1) : use[1];
  Tensor result;
  if (left.rank() > 2 && right.rank() == 2 && left.shape().back() == right.size(0)) {
    result = reshape(apply(matmul_row, {as_matrix(left), right}, attributes), with_last(left.shape(), right.size(1)));
  } else {
    result = apply(matmul_row, {left, right}, attributes);
  }
  if (right_vector) {
    result = squeeze(result, -1);
  }
  if (left_vector) {
    result = squeeze(result, right_vector ? -1 : -2);
  }
  return result;
}

/// What the scope around the call says, for errors with the line of the call.
Attributes attributes_of(const char* function, const Operand& operand) {
  if (operand.is_number() || !operand.tensor().defined()) {
    return {};  // an error that the shapes' check explains
  }
  try {
    return product_attributes(operand.tensor().device());
  } catch (const DeviceError& error) {
    throw DeviceError(std::string(function) + " at " + to_string(WhereScope::current(operand.where())) + ": " +
                      error.what());
  }
}

}  // namespace

Tensor matmul(Operand a, Operand b) {
  return multiply(autocast_product("matmul", a), autocast_product("matmul", b), attributes_of("matmul", a));
}

namespace {

Tensor linear_of(const Use& use, const Tensor* bias, const Attributes& attributes) {
  const Tensor& x = use[0];
  const Tensor& weight = use[1];
  use.require_floats();
  if (x.rank() == 0 || weight.rank() != 2 || x.shape().back() != weight.size(1)) {
    use.fail<ShapeError>("takes x (..., in), weight (out, in) and bias (out)");
  }
  if (bias != nullptr && !(bias->shape() == Shape{weight.size(0)})) {
    use.fail<ShapeError>("the bias must have the shape (" + std::to_string(weight.size(0)) + ")");
  }
  const Tensor matrix = as_matrix(x);
  const Tensor turned = apply(permute_op, {weight}, {.ints = {1, 0}});
  const Tensor result = bias == nullptr ? apply(matmul_row, {matrix, turned}, attributes)
                                        : apply(matmul_row, {matrix, turned, *bias}, attributes);
  return x.rank() == 2 ? result : reshape(result, with_last(x.shape(), weight.size(0)));
}

}  // namespace

Tensor linear(Operand x, Operand weight, Operand bias) {
  if (!bias.is_number() && !bias.tensor().defined()) {
    return linear(x, weight);
  }
  if (AutocastScope::active() == nullptr) {
    const Use use("linear", {std::move(x), std::move(weight), std::move(bias)});
    return linear_of(use, &use[2], {});
  }
  const Use use("linear",
                {autocast_product("linear", x), autocast_product("linear", weight), autocast_product("linear", bias)});
  return linear_of(use, &use[2], attributes_of("linear", x));
}
Tensor linear(Operand x, Operand weight) {
  return linear_of(Use("linear", {autocast_product("linear", x), autocast_product("linear", weight)}), nullptr,
                   attributes_of("linear", x));
}

OpRows matmul_rows() {
  return {&matmul_row};
}

}  // namespace twingrad
