// Rows and functions that reduce axes: sums, extremes, arg reductions and running sums.
// Attributes of Family::reduce: ints = the axes, sorted; reals[0] = 1 when they stay with length 1.
#include <twingrad/kernels.h>
#include <twingrad/ops/rows.h>
#include <twingrad/ops/use.h>

#include <algorithm>
#include <cstring>

namespace twingrad {
namespace {

Shape reduced_shape(const Shape& shape, const Attributes& attributes) {
  const bool keepdim = attributes.reals[0] != 0;
  Shape result;
  for (int i = 0; i < shape.size(); ++i) {
    if (!attributes.ints.contains(i)) {
      result.push_back(shape[i]);
    } else if (keepdim) {
      result.push_back(1);
    }
  }
  return result;
}

std::int64_t reduced_count(const Shape& shape, const Attributes& attributes) {
  std::int64_t count = 1;
  for (const std::int64_t axis : attributes.ints) {
    count *= shape[static_cast<int>(axis)];
  }
  return count;
}

TensorType infer_accumulation(std::span<const TensorType> inputs, const Attributes& attributes) {
  return {reduced_shape(inputs[0].shape, attributes), is_floating(inputs[0].dtype) ? inputs[0].dtype : Dtype::i64};
}

TensorType infer_mean(std::span<const TensorType> inputs, const Attributes& attributes) {
  require_floating(inputs[0]);
  return {reduced_shape(inputs[0].shape, attributes), inputs[0].dtype};
}

TensorType infer_extreme(std::span<const TensorType> inputs, const Attributes& attributes) {
  if (reduced_count(inputs[0].shape, attributes) == 0) {
    throw ShapeError("axes " + to_string(attributes.ints) +
                     " hold no element, and nothing is the largest or smallest of none");
  }
  return {reduced_shape(inputs[0].shape, attributes), inputs[0].dtype};
}

TensorType infer_arg_reduce(std::span<const TensorType> inputs, const Attributes& attributes) {
  TensorType result = infer_extreme(inputs, attributes);
  result.dtype = Dtype::i64;
  return result;
}

TensorType infer_cumsum(std::span<const TensorType> inputs, const Attributes&) {
  return {inputs[0].shape, is_floating(inputs[0].dtype) ? inputs[0].dtype : Dtype::i64};
}

double reduce_flops(std::span<const TensorType> inputs, const TensorType&) {
  return static_cast<double>(numel(inputs[0].shape));
}

/// What was reduced, with the axes back at length 1, so that it broadcasts to the input.
Tensor with_axes(const Tensor& reduced, const GradientCall& call) {
  Shape shape = call.inputs[0].shape();
  for (const std::int64_t axis : call.attributes.ints) {
    shape[static_cast<int>(axis)] = 1;
  }
  return reshape(reduced, shape);
}

Tensor spread(const Tensor& reduced, const GradientCall& call) {
  return broadcast_to(with_axes(reduced, call), call.inputs[0].shape());
}

/// g / count. Of a number, as a loss's own gradient is, that is another number, rounded as a kernel would; not of one
/// that requires gradients itself.
Tensor share(const Tensor& g, std::int64_t count) {
  const Node& node = *g.node();
  const bool is_number = node.literal_bytes != 0 && g.rank() == 0 && !node.requires_grad;
  const auto divided = [&]<class T>(T value) {
    std::memcpy(&value, node.literal.data(), sizeof value);
    return literal_scalar(static_cast<double>(value / static_cast<T>(count)), g.dtype(), g.device());
  };
  if (is_number && g.dtype() == Dtype::f32) {
    return divided(float{});
  }
  if (is_number && g.dtype() == Dtype::f64) {
    return divided(double{});
  }
  return g / count;
}

/// Where an element is the extreme one, its share of the gradient.
Gradients extreme_gradient(const GradientCall& call) {
  const Tensor& x = call.inputs[0];
  const Tensor winners = cast(equal(x, with_axes(call.output, call)), x.dtype());
  const Tensor count = sum(winners, {.axes = call.attributes.ints, .keepdim = true});
  return {winners * (with_axes(call.cotangent, call) / count)};
}

/// g (rows, 1) times the product of all other elements of each row of x (rows, n). Products are paired in a tree, so
/// there is no division: zeros in x do no harm, in any derivative.
Tensor times_others(const Tensor& x, const Tensor& g) {
  const std::int64_t n = x.size(1);
  if (n == 1) {
    return g;
  }
  const std::int64_t half = n / 2;
  const Tensor a = slice(x, 1, 0, half);
  const Tensor b = slice(x, 1, half, 2 * half);
  const bool odd = n % 2 != 0;
  const Tensor pairs = odd ? cat({a * b, slice(x, 1, n - 1, n)}, 1) : a * b;
  const Tensor others = times_others(pairs, g);
  const Tensor of_pairs = slice(others, 1, 0, half);
  std::vector<Tensor> parts = {of_pairs * b, of_pairs * a};
  if (odd) {
    parts.push_back(slice(others, 1, half, half + 1));
  }
  return cat(parts, 1);
}

/// The axes in an order that brings `last` to the end.
Axes to_the_end(int rank, const Axes& last) {
  Axes order;
  for (int i = 0; i < rank; ++i) {
    if (!last.contains(i)) {
      order.push_back(i);
    }
  }
  for (const std::int64_t axis : last) {
    order.push_back(axis);
  }
  return order;
}

Axes inverse(const Axes& order) {
  Axes result = order;
  for (int i = 0; i < order.size(); ++i) {
    result[static_cast<int>(order[i])] = i;
  }
  return result;
}

Gradients prod_gradient(const GradientCall& call) {
  const Tensor& x = call.inputs[0];
  if (x.numel() == 0) {
    return {zeros_like(x)};
  }
  const Axes order = to_the_end(x.rank(), call.attributes.ints);
  const Tensor moved = permute(x, order);
  const std::int64_t count = reduced_count(x.shape(), call.attributes);
  const Tensor rows = reshape(moved, {x.numel() / count, count});
  const Tensor result = times_others(rows, reshape(call.cotangent, {x.numel() / count, 1}));
  return {permute(reshape(result, moved.shape()), inverse(order))};
}

Tensor reduce(const Op& row, const Use& use, const ReduceOptions& options) {
  return apply(row, {use[0]}, {.ints = use.axes(options.axes, use[0].rank()), .reals = {options.keepdim ? 1.0 : 0.0}});
}

std::vector<Sample> reduce_samples() {
  return {{{sample_of({7, 5})}, {.ints = {0, 1}}},
          {{sample_of({7, 5})}, {.ints = {0}}},
          {{sample_of({3, 4, 2})}, {.ints = {1}, .reals = {1}}},
          {{sample_of({3, 4, 2})}, {.ints = {0, 2}}},
          {{sample_of({257})}, {.ints = {0}}},
          {{sample_of({31, 3})}, {.ints = {0}, .reals = {1}}},
          {{sample_of({})}, {}}};
}

std::vector<Sample> axis_samples() {
  return {{{sample_of({7, 5})}, {.ints = {1}}},
          {{sample_of({3, 4, 2})}, {.ints = {1}, .reals = {1}}},
          {{sample_of({255, 2})}, {.ints = {0}}}};
}

}  // namespace

constexpr Op sum_row = {
    .name = "sum",
    .family = Family::reduce,
    .kernel = static_cast<int>(Reduce::sum),
    .summary = "sum over axes; integers and bool give int64",
    .infer = infer_accumulation,
    .gradient = [](const GradientCall& call) -> Gradients { return {spread(call.cotangent, call)}; },
    .samples = reduce_samples,
    .flops = reduce_flops,
};
Tensor sum(Operand x, ReduceOptions options) {
  return reduce(sum_row, Use("sum", {x}), options);
}

constexpr Op mean_row = {
    .name = "mean",
    .family = Family::reduce,
    .kernel = static_cast<int>(Reduce::mean),
    .summary = "arithmetic mean over axes",
    .infer = infer_mean,
    .gradient = [](const GradientCall& call) -> Gradients {
      const std::int64_t count = reduced_count(call.inputs[0].shape(), call.attributes);
      return {spread(share(call.cotangent, std::max<std::int64_t>(count, 1)), call)};
    },
    .samples = reduce_samples,
    .flops = reduce_flops,
};
Tensor mean(Operand x, ReduceOptions options) {
  return reduce(mean_row, Use("mean", {x}), options);
}

constexpr Op prod_row = {
    .name = "prod",
    .family = Family::reduce,
    .kernel = static_cast<int>(Reduce::prod),
    .summary = "product over axes; integers and bool give int64",
    .infer = infer_accumulation,
    .gradient = prod_gradient,
    .domain = {.low = 0.7, .high = 1.35},  // long products of these stay near 1
    .samples = reduce_samples,
    .flops = reduce_flops,
};
Tensor prod(Operand x, ReduceOptions options) {
  return reduce(prod_row, Use("prod", {x}), options);
}

constexpr Op amax_row = {
    .name = "amax",
    .family = Family::reduce,
    .kernel = static_cast<int>(Reduce::amax),
    .summary = "largest element over axes; NaN wins; equal ones share the gradient",
    .infer = infer_extreme,
    .gradient = extreme_gradient,
    .samples = reduce_samples,
    .flops = reduce_flops,
};
Tensor amax(Operand x, ReduceOptions options) {
  return reduce(amax_row, Use("amax", {x}), options);
}

constexpr Op amin_row = {
    .name = "amin",
    .family = Family::reduce,
    .kernel = static_cast<int>(Reduce::amin),
    .summary = "smallest element over axes; NaN wins; equal ones share the gradient",
    .infer = infer_extreme,
    .gradient = extreme_gradient,
    .samples = reduce_samples,
    .flops = reduce_flops,
};
Tensor amin(Operand x, ReduceOptions options) {
  return reduce(amin_row, Use("amin", {x}), options);
}

constexpr Op argmax_row = {
    .name = "argmax",
    .family = Family::arg_reduce,
    .kernel = static_cast<int>(ArgReduce::argmax),
    .summary = "int64 index of the first largest element along an axis; NaN wins",
    .infer = infer_arg_reduce,
    .constant = true,
    .samples = axis_samples,
    .flops = reduce_flops,
};
constexpr Op argmin_row = {
    .name = "argmin",
    .family = Family::arg_reduce,
    .kernel = static_cast<int>(ArgReduce::argmin),
    .summary = "int64 index of the first smallest element along an axis; NaN wins",
    .infer = infer_arg_reduce,
    .constant = true,
    .samples = axis_samples,
    .flops = reduce_flops,
};
Tensor argmax(Operand x, int axis, bool keepdim) {
  const Use use("argmax", {x});
  return apply(argmax_row, {use[0]}, {.ints = {use.axis(axis, use[0].rank())}, .reals = {keepdim ? 1.0 : 0.0}});
}
Tensor argmin(Operand x, int axis, bool keepdim) {
  const Use use("argmin", {x});
  return apply(argmin_row, {use[0]}, {.ints = {use.axis(axis, use[0].rank())}, .reals = {keepdim ? 1.0 : 0.0}});
}

constexpr Op cumsum_row = {
    .name = "cumsum",
    .family = Family::scan,
    .summary = "running sum along an axis, from the end when reversed; integers and bool give int64",
    .infer = infer_cumsum,
    .gradient = [](const GradientCall& call) -> Gradients {
      return {cumsum(call.cotangent, static_cast<int>(call.attributes.ints[0]), call.attributes.ints[1] == 0)};
    },
    .samples = []() -> std::vector<Sample> {
      return {{{sample_of({7, 5})}, {.ints = {1, 0}}},
              {{sample_of({3, 4, 2})}, {.ints = {1, 1}}},
              {{sample_of({255, 2})}, {.ints = {0, 0}}}};
    },
};
Tensor cumsum(Operand x, int axis, bool reverse) {
  const Use use("cumsum", {x});
  return apply(cumsum_row, {use[0]}, {.ints = {use.axis(axis, use[0].rank()), reverse ? 1 : 0}});
}

Tensor sum_to(Operand x, const Shape& shape) {
  const Use use("sum_to", {x});
  const Tensor& input = use[0];
  if (input.shape() == shape) {
    return input;
  }
  if (!broadcasts_to(shape, input.shape())) {
    use.fail<ShapeError>("the target " + to_string(shape) + " does not broadcast to the input's shape");
  }
  const int extra = input.rank() - shape.size();
  Axes axes;
  for (int i = 0; i < input.rank(); ++i) {
    if (i < extra || (shape[i - extra] == 1 && input.shape()[i] != 1)) {
      axes.push_back(i);
    }
  }
  return reshape(sum(input, {.axes = axes, .keepdim = true}), shape);
}

OpRows reduce_rows() {
  return {&sum_row, &mean_row, &prod_row, &amax_row, &amin_row, &argmax_row, &argmin_row, &cumsum_row};
}

}  // namespace twingrad
