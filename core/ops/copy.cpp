// Rows and functions of Family::copy: what moves or converts elements without arithmetic.
#include <twingrad/kernels.h>
#include <twingrad/ops/rows.h>
#include <twingrad/ops/use.h>

#include <limits>

namespace twingrad {
namespace {

// Attributes of cast: ints = {dtype}.
TensorType infer_cast(std::span<const TensorType> inputs, const Attributes& attributes) {
  return {inputs[0].shape, static_cast<Dtype>(attributes.ints[0])};
}

// Attributes of cat: ints = {axis}.
TensorType infer_cat(std::span<const TensorType> inputs, const Attributes& attributes) {
  const auto axis = static_cast<int>(attributes.ints[0]);
  TensorType result = inputs[0];
  for (std::size_t i = 1; i < inputs.size(); ++i) {
    require_same_dtype(inputs[0], inputs[i]);
    Shape other = inputs[i].shape;
    if (other.size() != result.shape.size()) {
      throw ShapeError("input " + std::to_string(i) + " has another number of axes than input 0");
    }
    const std::int64_t length = other[axis];
    other[axis] = result.shape[axis];
    if (!(other == result.shape)) {
      throw ShapeError("input " + std::to_string(i) + " differs from input 0 in an axis other than " +
                       std::to_string(axis));
    }
    result.shape[axis] += length;
  }
  return result;
}

// Attributes of slice_embed: ints = {axis, start, step > 0, length of the output's axis}.
TensorType infer_slice_embed(std::span<const TensorType> inputs, const Attributes& attributes) {
  TensorType result = inputs[0];
  result.shape[static_cast<int>(attributes.ints[0])] = attributes.ints[3];
  return result;
}

// Attributes of arange: ints = {count, dtype}; reals = {start, step}.
TensorType infer_arange(std::span<const TensorType>, const Attributes& attributes) {
  return {{attributes.ints[0]}, static_cast<Dtype>(attributes.ints[1])};
}

double no_flops(std::span<const TensorType>, const TensorType&) {
  return 0;
}

}  // namespace

constexpr Op contiguous_op = {
    .name = "contiguous",
    .family = Family::copy,
    .kernel = static_cast<int>(Copy::cast),
    .summary = "the elements in row-major order without gaps",
    .infer = same_type,
    .gradient = [](const GradientCall& call) -> Gradients { return {call.cotangent}; },
    .samples = []() -> std::vector<Sample> {
      return {{{sample_of({7, 5})}}};
    },
    .flops = no_flops,
};
Tensor contiguous(Operand x) {
  return apply(contiguous_op, {x});
}

constexpr Op cast_row = {
    .name = "cast",
    .family = Family::copy,
    .kernel = static_cast<int>(Copy::cast),
    .summary = "another dtype; float to integer truncates toward zero, to bool is != 0",
    .infer = infer_cast,
    .gradient = [](const GradientCall& call) -> Gradients { return {cast(call.cotangent, call.inputs[0].dtype())}; },
    // float64 to itself: differences of a rounded function would measure the rounding.
    .samples = []() -> std::vector<Sample> {
      return {{{sample_of({7, 5})}, {.ints = {static_cast<std::int64_t>(Dtype::f64)}}}};
    },
    .flops = no_flops,
};
Tensor cast(Operand x, Dtype dtype) {
  const Use use("cast", {x});
  return use[0].dtype() == dtype ? use[0] : apply(cast_row, {use[0]}, {.ints = {static_cast<std::int64_t>(dtype)}});
}

constexpr Op cat_row = {
    .name = "cat",
    .family = Family::copy,
    .kernel = static_cast<int>(Copy::cat),
    .max_inputs = std::numeric_limits<int>::max(),
    .summary = "inputs side by side along an axis",
    .infer = infer_cat,
    .gradient = [](const GradientCall& call) -> Gradients {
      const auto axis = static_cast<int>(call.attributes.ints[0]);
      Gradients result;
      std::int64_t start = 0;
      for (std::size_t i = 0; i < call.inputs.size(); ++i) {
        const std::int64_t stop = start + call.inputs[i].shape()[axis];
        result.push_back(call.needed[i] ? slice(call.cotangent, axis, start, stop) : Tensor());
        start = stop;
      }
      return result;
    },
    .samples = []() -> std::vector<Sample> {
      return {{{sample_of({7, 5}), sample_of({7, 2})}, {.ints = {1}}},
              {{sample_of({2, 3}), sample_of({1, 3}), sample_of({4, 3})}, {.ints = {0}}}};
    },
    .flops = no_flops,
};

namespace {

/// The tensors as operands on the line `where`. Throws ArgumentError for none, and for an undefined one.
std::vector<Operand> operands_of(std::string_view name, const std::vector<Tensor>& tensors,
                                 const std::source_location& where) {
  if (tensors.empty()) {
    throw ArgumentError(std::string(name) + " at " + to_string(where) +
                        ": there is no tensor to join; give at least one");
  }
  std::vector<Operand> operands;
  for (const Tensor& tensor : tensors) {
    if (!tensor.defined()) {
      throw ArgumentError(std::string(name) + " at " + to_string(where) +
                          ": an input is an undefined tensor; give it a value first");
    }
    operands.emplace_back(tensor, where);
  }
  return operands;
}

}  // namespace

Tensor cat(const std::vector<Tensor>& tensors, int axis, std::source_location where) {
  const std::source_location line = WhereScope::current(where);
  const std::vector<Operand> operands = operands_of("cat", tensors, line);
  const int a = Use("cat", {operands[0]}).axis(axis, tensors[0].rank());
  return apply(cat_row, operands, {.ints = {a}});
}

Tensor stack(const std::vector<Tensor>& tensors, int axis, std::source_location where) {
  const std::source_location line = WhereScope::current(where);
  const std::vector<Operand> operands = operands_of("stack", tensors, line);
  const WhereScope scope(line);
  const Use use("stack", {operands[0]});
  const int a = use.axis(axis, tensors[0].rank() + 1);
  std::vector<Tensor> parts;
  for (const Tensor& tensor : tensors) {
    if (!(tensor.shape() == tensors[0].shape())) {
      use.fail<ShapeError>("another input has the shape " + to_string(tensor.shape()) + "; all must have one shape");
    }
    parts.push_back(unsqueeze(tensor, a));
  }
  return cat(parts, a);
}

constexpr Op slice_embed_row = {
    .name = "slice_embed",
    .family = Family::copy,
    .kernel = static_cast<int>(Copy::slice_embed),
    .summary = "zeros with the input at start, start + step, ... along an axis: slice's gradient",
    .infer = infer_slice_embed,
    .gradient = [](const GradientCall& call) -> Gradients {
      const Dims& ints = call.attributes.ints;
      const auto axis = static_cast<int>(ints[0]);
      const std::int64_t last = ints[1] + ints[2] * (call.inputs[0].shape()[axis] - 1);
      return {slice(call.cotangent, axis, ints[1], last + 1, ints[2])};
    },
    .samples = []() -> std::vector<Sample> {
      return {{{sample_of({3, 5})}, {.ints = {0, 1, 2, 7}}}, {{sample_of({2, 3, 2})}, {.ints = {1, 0, 1, 4}}}};
    },
    .flops = no_flops,
};
Tensor slice_embed(const Tensor& x, int axis, std::int64_t start, std::int64_t step, std::int64_t length) {
  const std::int64_t count = x.shape()[axis];
  if (count == 0) {
    Shape shape = x.shape();
    shape[axis] = length;
    return zeros(shape, {.dtype = x.dtype(), .device = x.device()});
  }
  if (step < 0) {
    // The same elements from the other end, so that kernels see positive steps only.
    return slice_embed(slice(x, axis, count - 1, {}, -1), axis, start + (count - 1) * step, -step, length);
  }
  return apply(slice_embed_row, {x}, {.ints = {axis, start, step, length}});
}

constexpr Op arange_row = {
    .name = "arange",
    .family = Family::copy,
    .kernel = static_cast<int>(Copy::arange),
    .min_inputs = 0,
    .max_inputs = 0,
    .summary = "start, start + step, ...",
    .infer = infer_arange,
    .constant = true,
    .samples = []() -> std::vector<Sample> {
      return {{{}, {.ints = {7, static_cast<std::int64_t>(Dtype::f64)}, .reals = {0.5, 0.25}}},
              {{}, {.ints = {5, static_cast<std::int64_t>(Dtype::i64)}, .reals = {3, -2}}}};
    },
};
Tensor arange(std::int64_t count, double start, double step, TensorOptions options) {
  if (count < 0) {
    throw ArgumentError("arange: the count is " + std::to_string(count) + "; give 0 or more");
  }
  const Dtype dtype = options.dtype.value_or(Dtype::i64);
  const Attributes attributes{.ints = {count, static_cast<std::int64_t>(dtype)}, .reals = {start, step}};
  Tensor result = apply_typed(arange_row, {}, attributes, arange_row.infer({}, attributes), options.device,
                              std::source_location::current());
  if (options.requires_grad) {
    result.eval();
    result = result.detach().requires_grad(true);
  }
  return result;
}

OpRows copy_rows() {
  return {&contiguous_op, &cast_row, &cat_row, &slice_embed_row, &arange_row};
}

}  // namespace twingrad
