// Rows and functions of the views: ops that compute nothing and show their input's memory in another way.
#include <twingrad/ops/rows.h>
#include <twingrad/ops/use.h>

#include <algorithm>

namespace twingrad {
namespace {

// Attributes of reshape and broadcast_to: ints = the output's shape.
TensorType infer_given_shape(std::span<const TensorType> inputs, const Attributes& attributes) {
  return {attributes.ints, inputs[0].dtype};
}

/// Splits and joins axes where the memory allows it: groups of axes whose lengths multiply to the same number are
/// matched from the left, and the input's axes of a group must lie in memory as one.
bool view_reshape(Window& window, const TensorType& output, const Attributes&) {
  const Shape& target = output.shape;
  Strides strides = contiguous_strides(target);
  if (numel(target) != 0) {
    Shape lengths;
    Strides steps;
    for (int i = 0; i < window.shape.size(); ++i) {
      if (window.shape[i] != 1) {
        lengths.push_back(window.shape[i]);
        steps.push_back(window.strides[i]);
      }
    }
    int from = 0;
    int to = 0;
    while (from < lengths.size()) {
      int from_end = from + 1;
      int to_end = to + 1;
      std::int64_t from_count = lengths[from];
      std::int64_t to_count = target[to];
      while (from_count != to_count) {
        if (from_count < to_count) {
          from_count *= lengths[from_end++];
        } else {
          to_count *= target[to_end++];
        }
      }
      for (int i = from; i + 1 < from_end; ++i) {
        if (steps[i] != steps[i + 1] * lengths[i + 1]) {
          return false;
        }
      }
      std::int64_t step = steps[from_end - 1];
      for (int i = to_end - 1; i >= to; --i) {
        strides[i] = step;
        step *= target[i];
      }
      from = from_end;
      to = to_end;
    }
  }
  window.shape = target;
  window.strides = strides;
  return true;
}

TensorType infer_permute(std::span<const TensorType> inputs, const Attributes& attributes) {
  TensorType result = inputs[0];
  for (int i = 0; i < result.shape.size(); ++i) {
    result.shape[i] = inputs[0].shape[static_cast<int>(attributes.ints[i])];
  }
  return result;
}

bool view_permute(Window& window, const TensorType& output, const Attributes& attributes) {
  const Strides before = window.strides;
  for (int i = 0; i < before.size(); ++i) {
    window.strides[i] = before[static_cast<int>(attributes.ints[i])];
  }
  window.shape = output.shape;
  return true;
}

bool view_broadcast(Window& window, const TensorType& output, const Attributes&) {
  const int extra = output.shape.size() - window.shape.size();
  Strides strides = Dims::filled(output.shape.size(), 0);
  for (int i = 0; i < window.shape.size(); ++i) {
    strides[i + extra] = window.shape[i] == 1 ? 0 : window.strides[i];
  }
  window.shape = output.shape;
  window.strides = strides;
  return true;
}

// Attributes of slice: ints = {axis, start, step, length of the output}.
TensorType infer_slice(std::span<const TensorType> inputs, const Attributes& attributes) {
  TensorType result = inputs[0];
  result.shape[static_cast<int>(attributes.ints[0])] = attributes.ints[3];
  return result;
}

bool view_slice(Window& window, const TensorType& output, const Attributes& attributes) {
  const auto axis = static_cast<int>(attributes.ints[0]);
  if (numel(output.shape) != 0) {
    window.offset += attributes.ints[1] * window.strides[axis];
  }
  window.strides[axis] *= attributes.ints[2];
  window.shape = output.shape;
  return true;
}

bool view_identity(Window&, const TensorType&, const Attributes&) {
  return true;
}

Axes inverse(const Axes& order) {
  Axes result = order;
  for (int i = 0; i < order.size(); ++i) {
    result[static_cast<int>(order[i])] = i;
  }
  return result;
}

double no_flops(std::span<const TensorType>, const TensorType&) {
  return 0;
}

}  // namespace

constexpr Op reshape_row = {
    .name = "reshape",
    .summary = "the same elements in row-major order in another shape",
    .infer = infer_given_shape,
    .gradient = [](const GradientCall& call) -> Gradients { return {reshape(call.cotangent, call.inputs[0].shape())}; },
    .view = view_reshape,
    .samples = []() -> std::vector<Sample> {
      return {{{sample_of({6, 4})}, {.ints = {3, 8}}}, {{sample_of({2, 1, 6})}, {.ints = {4, 3}}}};
    },
    .flops = no_flops,
};
Tensor reshape(Operand x, Shape shape) {
  const Use use("reshape", {x});
  const Tensor& input = use[0];
  const std::int64_t count = input.numel();
  int open = -1;
  std::int64_t known = 1;
  for (int i = 0; i < shape.size(); ++i) {
    if (shape[i] < -1 || (shape[i] == -1 && open >= 0)) {
      use.fail<ShapeError>("the shape " + to_string(shape) + " may hold one -1 and no other negative length");
    }
    if (shape[i] == -1) {
      open = i;
    } else {
      known *= shape[i];
    }
  }
  if (open >= 0 && known != 0 && count % known == 0) {
    shape[open] = count / known;
    known = count;
  } else if (open >= 0 || known != count) {
    use.fail<ShapeError>("the shape " + to_string(shape) + " does not hold the input's " + std::to_string(count) +
                         (count == 1 ? " element" : " elements"));
  }
  return shape == input.shape() ? input : apply(reshape_row, {input}, {.ints = shape});
}

Tensor squeeze(Operand x, std::optional<int> axis) {
  const Use use("squeeze", {x});
  Shape shape;
  const int only = axis ? use.axis(*axis, use[0].rank()) : -1;
  if (axis && use[0].shape()[only] != 1) {
    use.fail<ShapeError>("axis " + std::to_string(only) + " has length " + std::to_string(use[0].shape()[only]) +
                         "; only an axis of length 1 can be dropped");
  }
  for (int i = 0; i < use[0].rank(); ++i) {
    if (axis ? i != only : use[0].shape()[i] != 1) {
      shape.push_back(use[0].shape()[i]);
    }
  }
  return reshape(use[0], shape);
}

Tensor unsqueeze(Operand x, int axis) {
  const Use use("unsqueeze", {x});
  Shape shape = use[0].shape();
  shape.insert(use.axis(axis, use[0].rank() + 1), 1);
  return reshape(use[0], shape);
}

Tensor flatten(Operand x, int first, int last) {
  const Use use("flatten", {x});
  const int rank = use[0].rank();
  if (rank == 0) {
    return reshape(use[0], {1});
  }
  const int from = use.axis(first, rank);
  const int to = use.axis(last, rank);
  if (from > to) {
    use.fail<ShapeError>("axis " + std::to_string(from) + " comes after axis " + std::to_string(to) +
                         "; give the first one first");
  }
  Shape shape;
  for (int i = 0; i < rank; ++i) {
    if (i <= from || i > to) {
      shape.push_back(use[0].shape()[i]);
    } else {
      shape[from] *= use[0].shape()[i];
    }
  }
  return reshape(use[0], shape);
}

constexpr Op permute_op = {
    .name = "permute",
    .summary = "axes in another order",
    .infer = infer_permute,
    .gradient = [](const GradientCall& call) -> Gradients {
      return {permute(call.cotangent, inverse(call.attributes.ints))};
    },
    .view = view_permute,
    .samples = []() -> std::vector<Sample> {
      return {{{sample_of({7, 5})}, {.ints = {1, 0}}}, {{sample_of({2, 3, 4})}, {.ints = {2, 0, 1}}}};
    },
    .flops = no_flops,
};
Tensor permute(Operand x, Axes axes) {
  const Use use("permute", {x});
  if (axes.size() != use[0].rank()) {
    use.fail<ShapeError>("the axes " + to_string(axes) + " must name each of the input's " +
                         std::to_string(use[0].rank()) + " axes once");
  }
  if (!axes.empty()) {
    use.axes(axes, use[0].rank());  // refuses duplicates
  }
  bool in_order = true;
  for (int i = 0; i < axes.size(); ++i) {
    axes[i] = use.axis(axes[i], use[0].rank());
    in_order = in_order && axes[i] == i;
  }
  return in_order ? use[0] : apply(permute_op, {use[0]}, {.ints = axes});
}

Tensor transpose(Operand x, int axis0, int axis1) {
  const Use use("transpose", {x});
  const int first = use.axis(axis0, use[0].rank());
  const int second = use.axis(axis1, use[0].rank());
  Axes axes;
  for (int i = 0; i < use[0].rank(); ++i) {
    axes.push_back(i == first ? second : (i == second ? first : i));
  }
  return permute(use[0], axes);
}

constexpr Op broadcast_to_row = {
    .name = "broadcast_to",
    .summary = "axes of length 1 repeated, axes put in front",
    .infer = infer_given_shape,
    .gradient = [](const GradientCall& call) -> Gradients { return {sum_to(call.cotangent, call.inputs[0].shape())}; },
    .view = view_broadcast,
    .samples = []() -> std::vector<Sample> {
      return {{{sample_of({5})}, {.ints = {7, 5}}}, {{sample_of({3, 1, 2})}, {.ints = {2, 3, 4, 2}}}};
    },
    .flops = no_flops,
};
Tensor broadcast_to(Operand x, const Shape& shape) {
  const Use use("broadcast_to", {x});
  if (std::any_of(shape.begin(), shape.end(), [](std::int64_t length) { return length < 0; })) {
    use.fail<ShapeError>("the shape " + to_string(shape) + " holds a negative length");
  }
  if (!broadcasts_to(use[0].shape(), shape)) {
    use.fail<ShapeError>("the input does not broadcast to " + to_string(shape) +
                         "; aligned at the last axis, lengths must be equal or 1 in the input");
  }
  return use[0].shape() == shape ? use[0] : apply(broadcast_to_row, {use[0]}, {.ints = shape});
}

constexpr Op slice_row = {
    .name = "slice",
    .summary = "elements start, start + step, ... along an axis",
    .infer = infer_slice,
    .gradient = [](const GradientCall& call) -> Gradients {
      const Dims& ints = call.attributes.ints;
      const auto axis = static_cast<int>(ints[0]);
      return {slice_embed(call.cotangent, axis, ints[1], ints[2], call.inputs[0].shape()[axis])};
    },
    .view = view_slice,
    .samples = []() -> std::vector<Sample> {
      return {{{sample_of({7, 5})}, {.ints = {0, 1, 2, 3}}}, {{sample_of({2, 7, 3})}, {.ints = {1, 6, -3, 3}}}};
    },
    .flops = no_flops,
};
Tensor slice(Operand x, int axis, std::int64_t start, std::optional<std::int64_t> stop, std::int64_t step) {
  const Use use("slice", {x});
  const int a = use.axis(axis, use[0].rank());
  const std::int64_t length = use[0].shape()[a];
  if (step == 0) {
    use.fail<ArgumentError>("step is 0; give one above or below");
  }
  // Python's rule: positions beyond an end mean that end, which is -1 before the first element for a negative step.
  const std::int64_t lowest = step > 0 ? 0 : -1;
  const std::int64_t highest = step > 0 ? length : length - 1;
  const auto place = [&](std::int64_t position) {
    return std::clamp(position < 0 ? position + length : position, lowest, highest);
  };
  const std::int64_t from = place(start);
  const std::int64_t to = stop ? place(*stop) : (step > 0 ? length : -1);
  const std::int64_t span = step > 0 ? to - from : from - to;
  const std::int64_t stride = step > 0 ? step : -step;
  const std::int64_t count = span <= 0 ? 0 : (span - 1) / stride + 1;
  if (from == 0 && step == 1 && count == length) {
    return use[0];
  }
  return apply(slice_row, {use[0]}, {.ints = {a, from, step, count}});
}

constexpr Op identity_row = {
    .name = "identity",
    .summary = "x",
    .infer = same_type,
    .gradient = [](const GradientCall& call) -> Gradients { return {call.cotangent}; },
    .view = view_identity,
    .samples = []() -> std::vector<Sample> {
      return {{{sample_of({7, 5})}}};
    },
    .flops = no_flops,
};
Tensor identity(Operand x) {
  return apply(identity_row, {x});
}

constexpr Op to_device_op = {
    .name = "to_device",
    .summary = "a copy on another device",
    .infer = same_type,
    .gradient = [](const GradientCall& call) -> Gradients {
      return {to_device(call.cotangent, call.inputs[0].device())};
    },
    .view = view_identity,
    .samples = []() -> std::vector<Sample> {
      return {{{sample_of({7, 5})}}};
    },
    .flops = no_flops,
};
Tensor to_device(Operand x, Device device) {
  const Use use("to_device", {x});
  const Tensor& input = use[0];
  if (input.device() == device) {
    return input;
  }
  return apply_typed(to_device_op, {input}, {}, input.node()->type(), device, use.where());
}

OpRows layout_rows() {
  return {&reshape_row, &permute_op, &broadcast_to_row, &slice_row, &identity_row, &to_device_op};
}

}  // namespace twingrad
