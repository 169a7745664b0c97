// Rows and functions that read and write by index. Shapes are checked at the call, indices by the kernels when the
// value is computed.
#include <twingrad/kernels.h>
#include <twingrad/ops/rows.h>
#include <twingrad/ops/use.h>

namespace twingrad {
namespace {

void require_index(const TensorType& index) {
  if (index.dtype != Dtype::i64 && index.dtype != Dtype::i32) {
    throw DtypeError("the index must be int64 or int32, not " + std::string(name(index.dtype)) +
                     "; cast it with to(...)");
  }
}

void require_list(const TensorType& index) {
  require_index(index);
  if (index.shape.size() != 1) {
    throw ShapeError("the index must have one axis; reshape it");
  }
}

// Attributes of index_select: ints = {axis}.
TensorType infer_index_select(std::span<const TensorType> inputs, const Attributes& attributes) {
  require_list(inputs[1]);
  TensorType result = inputs[0];
  result.shape[static_cast<int>(attributes.ints[0])] = inputs[1].shape[0];
  return result;
}

// Attributes of index_add: ints = {axis, length of the output's axis}.
TensorType infer_index_add(std::span<const TensorType> inputs, const Attributes& attributes) {
  require_list(inputs[0]);
  const auto axis = static_cast<int>(attributes.ints[0]);
  TensorType result = inputs[1];
  if (result.shape[axis] != inputs[0].shape[0]) {
    throw ShapeError("the source has " + std::to_string(result.shape[axis]) + " slices along axis " +
                     std::to_string(axis) + " and the index " + std::to_string(inputs[0].shape[0]) +
                     " elements; both must be equal");
  }
  result.shape[axis] = attributes.ints[1];
  return result;
}

void require_index_fits(const TensorType& x, const TensorType& index, const Attributes& attributes) {
  require_index(index);
  if (index.shape.size() != x.shape.size()) {
    throw ShapeError("the index must have as many axes as the input");
  }
  for (int i = 0; i < x.shape.size(); ++i) {
    if (i != attributes.ints[0] && index.shape[i] > x.shape[i]) {
      throw ShapeError("the index is longer than the input along axis " + std::to_string(i) +
                       ", which is not the one indexed");
    }
  }
}

// Attributes of gather and scatter_add: ints = {axis}.
TensorType infer_gather(std::span<const TensorType> inputs, const Attributes& attributes) {
  require_index_fits(inputs[0], inputs[1], attributes);
  return {inputs[1].shape, inputs[0].dtype};
}

TensorType infer_scatter_add(std::span<const TensorType> inputs, const Attributes& attributes) {
  require_index_fits(inputs[0], inputs[1], attributes);
  require_same_dtype(inputs[0], inputs[2]);
  if (!(inputs[1].shape == inputs[2].shape)) {
    throw ShapeError("index and source must have one shape");
  }
  return inputs[0];
}

double no_flops(std::span<const TensorType>, const TensorType&) {
  return 0;
}

int axis_of(const GradientCall& call) {
  return static_cast<int>(call.attributes.ints[0]);
}

}  // namespace

constexpr Op index_select_row = {
    .name = "index_select",
    .family = Family::index,
    .kernel = static_cast<int>(Index::index_select),
    .min_inputs = 2,
    .max_inputs = 2,
    .summary = "the slices along an axis that index (k) names",
    .infer = infer_index_select,
    .gradient = [](const GradientCall& call) -> Gradients {
      const int axis = axis_of(call);
      const Shape& shape = call.inputs[0].shape();
      return {call.needed[0] ? index_add(call.inputs[1], call.cotangent, axis, shape[axis]) : Tensor(), Tensor()};
    },
    .samples = []() -> std::vector<Sample> {
      return {{{sample_of({5, 3}), sample_index({8})}, {.ints = {0}}, 5},
              {{sample_of({2, 4, 3}), sample_index({2})}, {.ints = {1}}, 4}};
    },
    .flops = no_flops,
};
Tensor index_select(Operand x, int axis, Operand index) {
  const Use use("index_select", {x, index});
  return apply(index_select_row, {use[0], use[1]}, {.ints = {use.axis(axis, use[0].rank())}});
}

constexpr Op index_add_row = {
    .name = "index_add",
    .family = Family::index,
    .kernel = static_cast<int>(Index::index_add),
    .min_inputs = 2,
    .max_inputs = 2,
    .summary = "zeros with the source's slices added where index (k) names: index_select's gradient",
    .infer = infer_index_add,
    .gradient = [](const GradientCall& call) -> Gradients {
      return {Tensor(), call.needed[1] ? index_select(call.cotangent, axis_of(call), call.inputs[0]) : Tensor()};
    },
    .samples = []() -> std::vector<Sample> {
      return {{{sample_index({8}), sample_of({8, 3})}, {.ints = {0, 5}}, 5},
              {{sample_index({2}), sample_of({2, 2, 3})}, {.ints = {1, 4}}, 4}};
    },
};
Tensor index_add(Operand index, Operand source, int axis, std::int64_t length) {
  const Use use("index_add", {index, source});
  if (length < 0) {
    use.fail<ArgumentError>("the length is " + std::to_string(length) + "; give 0 or more");
  }
  return apply(index_add_row, {use[0], use[1]}, {.ints = {use.axis(axis, use[1].rank()), length}});
}

constexpr Op gather_row = {
    .name = "gather",
    .family = Family::index,
    .kernel = static_cast<int>(Index::gather),
    .min_inputs = 2,
    .max_inputs = 2,
    .summary = "out[..., j, ...] = x[..., index[..., j, ...], ...] along an axis",
    .infer = infer_gather,
    .gradient = [](const GradientCall& call) -> Gradients {
      const Tensor& x = call.inputs[0];
      return {call.needed[0] ? scatter_add(zeros_like(x), axis_of(call), call.inputs[1], call.cotangent) : Tensor(),
              Tensor()};
    },
    .samples = []() -> std::vector<Sample> {
      return {{{sample_of({5, 3}), sample_index({5, 7})}, {.ints = {1}}, 3},
              {{sample_of({4, 3, 2}), sample_index({6, 2, 2})}, {.ints = {0}}, 4}};
    },
    .flops = no_flops,
};
Tensor gather(Operand x, int axis, Operand index) {
  const Use use("gather", {x, index});
  return apply(gather_row, {use[0], use[1]}, {.ints = {use.axis(axis, use[0].rank())}});
}

constexpr Op scatter_add_row = {
    .name = "scatter_add",
    .family = Family::index,
    .kernel = static_cast<int>(Index::scatter_add),
    .min_inputs = 3,
    .max_inputs = 3,
    .summary = "x with out[..., index[..., j, ...], ...] += source[..., j, ...] along an axis",
    .infer = infer_scatter_add,
    .gradient = [](const GradientCall& call) -> Gradients {
      return {call.needed[0] ? call.cotangent : Tensor(), Tensor(),
              call.needed[2] ? gather(call.cotangent, axis_of(call), call.inputs[1]) : Tensor()};
    },
    .samples = []() -> std::vector<Sample> {
      return {{{sample_of({5, 3}), sample_index({5, 7}), sample_of({5, 7})}, {.ints = {1}}, 3},
              {{sample_of({4, 3, 2}), sample_index({6, 2, 2}), sample_of({6, 2, 2})}, {.ints = {0}}, 4}};
    },
};
Tensor scatter_add(Operand x, int axis, Operand index, Operand source) {
  const Use use("scatter_add", {x, index, source});
  return apply(scatter_add_row, {use[0], use[1], use[2]}, {.ints = {use.axis(axis, use[0].rank())}});
}

Tensor embedding(Operand weight, Operand indices) {
  const Use use("embedding", {weight, indices});
  if (use[0].rank() != 2) {
    use.fail<ShapeError>("the weight must have the shape (count, width)");
  }
  Shape shape = use[1].shape();
  shape.push_back(use[0].size(1));
  return reshape(index_select(use[0], 0, reshape(use[1], {use[1].numel()})), shape);
}

Tensor one_hot(Operand labels, std::int64_t classes, Dtype dtype) {
  const Use use("one_hot", {labels});
  const Tensor& input = use[0];
  if (classes < 0) {
    use.fail<ArgumentError>("the number of classes is " + std::to_string(classes) + "; give 0 or more");
  }
  if (input.dtype() != Dtype::i64 && input.dtype() != Dtype::i32) {
    use.fail<DtypeError>("labels must be int64 or int32; cast them with to(...)");
  }
  const std::int64_t count = input.numel();
  const TensorOptions options{.dtype = dtype, .device = input.device()};
  // Added by index, and not by comparison, so that a label out of range is found.
  const Tensor rows =
      scatter_add(zeros({count, classes}, options), 1, reshape(input, {count, 1}), ones({count, 1}, options));
  Shape shape = input.shape();
  shape.push_back(classes);
  return reshape(rows, shape);
}

OpRows index_rows() {
  return {&index_select_row, &index_add_row, &gather_row, &scatter_add_row};
}

}  // namespace twingrad
