#include <twingrad/check/op_case_maker.h>
#include <twingrad/check/op_cases.h>
#include <twingrad/check/subject.h>
#include <twingrad/kernels.h>
#include <twingrad/ops.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace twingrad::check {
namespace {

std::vector<double> draw_index(std::int64_t count, std::int64_t limit, Draws& draws) {
  const std::int64_t pattern = draws.below(4);
  const std::int64_t constant = limit == 0 ? 0 : draws.below(limit);
  std::vector<double> result;
  for (std::int64_t i = 0; i < count; ++i) {
    switch (pattern) {
      case 0:
        result.push_back(static_cast<double>(draws.below(limit)));
        break;
      case 1:
        result.push_back(static_cast<double>(constant));  // all the same
        break;
      case 2:
        result.push_back(static_cast<double>(limit - 1 - i % limit));  // reversed
        break;
      default:
        result.push_back(static_cast<double>(i / 2 % limit));  // each twice
    }
  }
  return result;
}

bool holds_index(const OpCase& drawn, std::size_t input) {
  return drawn.op->family == Family::index &&
         (drawn.inputs[input].type.dtype == Dtype::i64 || drawn.inputs[input].type.dtype == Dtype::i32) &&
         input == (static_cast<Index>(drawn.op->kernel) == Index::index_add ? 0U : 1U);
}

void fill(OpCase& drawn, std::int64_t index_limit, Draws& draws) {
  for (std::size_t j = 0; j < drawn.inputs.size(); ++j) {
    CaseInput& input = drawn.inputs[j];
    const std::int64_t count = numel(input.type.shape);
    if (drawn.op->family == Family::random) {
      input.integers = {static_cast<std::int64_t>(draws.uniform(0, 0x1p62)), draws.below(1000)};
      input.values.assign(input.integers.begin(), input.integers.end());
      continue;
    }
    const bool sampled_index = drawn.op->family == Family::custom && !is_floating(input.type.dtype);
    if (holds_index(drawn, j) || sampled_index) {
      input.values = draw_index(count, index_limit, draws);
      continue;
    }
    const std::int64_t row = input.type.shape.empty() ? 1 : input.type.shape.back();
    input.values = draw_values(*drawn.op, drawn.values, input.type.dtype, count, row, j, draws);
  }
}

/// The values repeated along `axis`, as an expanded input shows them.
void repeat_along(CaseInput& input) {
  const Shape& shape = input.type.shape;
  std::int64_t inner = 1;
  for (int i = input.axis + 1; i < shape.size(); ++i) {
    inner *= shape[i];
  }
  const std::int64_t length = shape[input.axis];
  for (std::int64_t i = 0; i < static_cast<std::int64_t>(input.values.size()); ++i) {
    input.values[static_cast<std::size_t>(i)] =
        input.values[static_cast<std::size_t>(i / (inner * length) * inner * length + i % inner)];
  }
}

void choose_placement(OpCase& drawn, Draws& draws) {
  if (drawn.op->family == Family::random) {
    return;
  }
  for (std::size_t j = 0; j < drawn.inputs.size(); ++j) {
    CaseInput& input = drawn.inputs[j];
    for (std::size_t i = 0; i < j; ++i) {
      const CaseInput& other = drawn.inputs[i];
      if (other.type.dtype == input.type.dtype && other.type.shape == input.type.shape && other.same_as < 0 &&
          !holds_index(drawn, j) && !holds_index(drawn, i) && draws.chance(0.15)) {
        input.same_as = static_cast<int>(i);
        input.values = other.values;
        break;
      }
    }
    if (input.same_as >= 0 || input.type.shape.empty() || input.values.empty() || draws.chance(0.45)) {
      continue;
    }
    input.placement = static_cast<Placement>(draws.between(1, 5));
    input.axis = static_cast<int>(draws.below(input.type.shape.size()));
    if (input.placement == Placement::expanded) {
      repeat_along(input);
    }
  }
}

bool takes(const Op& op, Dtype dtype) {
  if (op.family == Family::random) {
    return static_cast<Random>(op.kernel) == Random::permutation ? dtype == Dtype::i64 : is_floating(dtype);
  }
  if (op.max_inputs == 0) {
    return dtype != Dtype::boolean;  // arange
  }
  std::vector<TensorType> types;
  if (op.samples != nullptr) {
    const Sample sample = op.samples().front();
    for (const TensorType& type : sample.inputs) {
      types.push_back({type.shape, is_floating(type.dtype) ? dtype : type.dtype});
    }
    try {
      op.infer(types, sample.attributes);
      return true;
    } catch (const DtypeError&) {
      return false;
    }
  }
  types.assign(static_cast<std::size_t>(op.max_inputs), {{3}, dtype});
  try {
    op.infer(types, {});
    return true;
  } catch (const DtypeError&) {
    return false;
  }
}

Tensor leaf(const std::vector<double>& values, const Shape& shape, Dtype dtype, Device device) {
  return tensor(values, shape, {.dtype = dtype, .device = device});
}

/// Memory with gaps that shows the values at offset + i * step of a longer axis.
std::vector<double> spaced(const CaseInput& input, std::int64_t length, std::int64_t offset, std::int64_t step) {
  const Shape& shape = input.type.shape;
  std::int64_t inner = 1;
  for (int i = input.axis + 1; i < shape.size(); ++i) {
    inner *= shape[i];
  }
  const std::int64_t shown = shape[input.axis];
  const std::int64_t outer = numel(shape) / (shown * inner);
  // What lies between must never be read.
  const double filler = is_floating(input.type.dtype) ? std::numeric_limits<double>::quiet_NaN() : 1;
  std::vector<double> memory(static_cast<std::size_t>(outer * length * inner), filler);
  for (std::int64_t o = 0; o < outer; ++o) {
    for (std::int64_t l = 0; l < shown; ++l) {
      for (std::int64_t i = 0; i < inner; ++i) {
        memory[static_cast<std::size_t>((o * length + offset + l * step) * inner + i)] =
            input.values[static_cast<std::size_t>((o * shown + l) * inner + i)];
      }
    }
  }
  return memory;
}

Tensor show(const CaseInput& input, Device device, std::vector<Tensor>& leaves) {
  const Shape& shape = input.type.shape;
  const Dtype dtype = input.type.dtype;
  const auto keep = [&](const Tensor& made) {
    leaves.push_back(made);
    return made;
  };
  if (!input.integers.empty()) {
    return keep(tensor(input.integers, shape, {.dtype = dtype, .device = device}));
  }
  const std::int64_t length = shape.empty() ? 1 : shape[input.axis];
  Shape base = shape;
  switch (input.placement) {
    case Placement::contiguous:
      return keep(leaf(input.values, shape, dtype, device));
    case Placement::transposed: {
      // Axes in reverse order in memory.
      Axes reversed;
      for (int i = 0; i < shape.size(); ++i) {
        reversed.push_back(shape.size() - 1 - i);
        base[i] = shape[shape.size() - 1 - i];
      }
      const Strides strides = contiguous_strides(shape);
      std::vector<double> memory;
      memory.reserve(input.values.size());
      Dims at = Dims::filled(base.size(), 0);
      for (std::int64_t i = 0; i < numel(base); ++i) {
        std::int64_t from = 0;
        for (int axis = 0; axis < base.size(); ++axis) {
          from += at[axis] * strides[shape.size() - 1 - axis];
        }
        memory.push_back(input.values[static_cast<std::size_t>(from)]);
        for (int axis = base.size() - 1; axis >= 0 && ++at[axis] == base[axis]; --axis) {
          at[axis] = 0;
        }
      }
      return permute(keep(leaf(memory, base, dtype, device)), reversed);
    }
    case Placement::offset:
      base[input.axis] = length + 3;
      return slice(keep(leaf(spaced(input, length + 3, 1, 1), base, dtype, device)), input.axis, 1, length + 1);
    case Placement::stepped:
      base[input.axis] = 2 * length + 1;
      return slice(keep(leaf(spaced(input, 2 * length + 1, 1, 2), base, dtype, device)), input.axis, 1, {}, 2);
    case Placement::reversed:
      return slice(keep(leaf(spaced(input, length, length - 1, -1), base, dtype, device)), input.axis, length - 1, {},
                   -1);
    case Placement::expanded: {
      base[input.axis] = 1;
      CaseInput one{{base, dtype}, {}};
      std::int64_t inner = 1;
      for (int i = input.axis + 1; i < shape.size(); ++i) {
        inner *= shape[i];
      }
      for (std::size_t i = 0; i < input.values.size(); ++i) {
        if (static_cast<std::int64_t>(i) / inner % length == 0) {
          one.values.push_back(input.values[i]);
        }
      }
      return broadcast_to(keep(leaf(one.values, base, dtype, device)), shape);
    }
  }
  throw ArgumentError("unknown placement");
}

}  // namespace

std::vector<Dtype> dtypes_of(const Op& op) {
  std::vector<Dtype> result;
  for (const Dtype dtype : all_dtypes) {
    if (takes(op, dtype)) {
      result.push_back(dtype);
    }
  }
  return result;
}

OpCase make_case(const Op& op, std::int64_t number, std::uint64_t seed, const CaseFilter& filter) {
  const std::vector<Dtype> dtypes = dtypes_of(op);
  if (dtypes.empty()) {
    throw ArgumentError("the op " + std::string(op.name) + " takes no dtype");
  }
  if (filter.dtype && std::find(dtypes.begin(), dtypes.end(), *filter.dtype) == dtypes.end()) {
    throw ArgumentError("the op " + std::string(op.name) + " does not take " + std::string(name(*filter.dtype)));
  }
  // A shape may come out as one that the op refuses, such as the largest element of none: then it is drawn again.
  constexpr int attempts = 64;
  Draws draws(seed, stream_of(op.name, static_cast<std::uint64_t>(number)));
  std::string refusal;
  for (int attempt = 0; attempt < attempts; ++attempt) {
    OpCase drawn;
    drawn.op = &op;
    drawn.number = number;
    drawn.seed = seed;
    // float32 every other time, all of them in turn otherwise.
    const auto turn = static_cast<std::size_t>(number / 2) % dtypes.size();
    drawn.dtype = filter.dtype ? *filter.dtype : (number % 2 == 0 ? dtypes.front() : dtypes[turn]);
    drawn.values = draws.chance(0.25) ? Values::domain : static_cast<Values>(draws.below(value_kinds));
    try {
      const std::int64_t index_limit = make_inputs(drawn, filter, draws);
      std::vector<TensorType> types;
      for (const CaseInput& input : drawn.inputs) {
        types.push_back(input.type);
      }
      drawn.output = op.infer(types, drawn.attributes);
      fill(drawn, index_limit, draws);
      choose_placement(drawn, draws);
      return drawn;
    } catch (const ShapeError& error) {
      refusal = error.what();
    }
  }
  throw ArgumentError("the op " + std::string(op.name) + " takes no such shape: " + refusal);
}

std::string describe(const OpCase& drawn) {
  std::string text = std::string(drawn.op->name) + "(";
  for (std::size_t j = 0; j < drawn.inputs.size(); ++j) {
    const CaseInput& input = drawn.inputs[j];
    text += j == 0 ? "" : ", ";
    if (input.same_as >= 0) {
      text += "input " + std::to_string(input.same_as) + " again";
      continue;
    }
    text += describe(input.type);
    if (input.placement != Placement::contiguous) {
      text += " " + std::string(name(input.placement)) + " along axis " + std::to_string(input.axis);
    }
  }
  text += ")";
  if (!drawn.attributes.ints.empty()) {
    text += " ints " + to_string(drawn.attributes.ints);
  }
  if (drawn.attributes.reals[0] != 0 || drawn.attributes.reals[1] != 0) {
    text += " reals " + std::to_string(drawn.attributes.reals[0]) + " " + std::to_string(drawn.attributes.reals[1]);
  }
  return text + " -> " + describe(drawn.output) + ", " + std::string(name(drawn.values));
}

PlacedCase place(const OpCase& drawn, Device device) {
  PlacedCase placed;
  for (const CaseInput& input : drawn.inputs) {
    placed.inputs.push_back(input.same_as >= 0 ? placed.inputs[static_cast<std::size_t>(input.same_as)]
                                               : show(input, device, placed.leaves));
  }
  return placed;
}

std::string_view name(Placement placement) {
  switch (placement) {
    case Placement::contiguous:
      return "contiguous";
    case Placement::transposed:
      return "transposed";
    case Placement::offset:
      return "at an offset";
    case Placement::stepped:
      return "every other element";
    case Placement::reversed:
      return "reversed";
    case Placement::expanded:
      return "expanded";
  }
  return "?";
}

}  // namespace twingrad::check
