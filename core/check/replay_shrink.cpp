// Makes a failing node smaller while it still fails. Axes first, because they cost most: all axes of one length are
// shortened together (the two inner lengths of a product), or one alone; then values become 0 or 1, in bulk and later
// in pieces. Whatever the op's shape rule refuses is not tried. Inputs keep lying in memory as they did (turned,
// broadcast, with gaps), unless the node fails on contiguous ones, too.
#include <twingrad/check/replay.h>
#include <twingrad/check/subject.h>

#include <algorithm>
#include <cstdlib>
#include <set>
#include <utility>

namespace twingrad::check {
namespace {

/// `array` with elements begin, begin + 1, ... before end along `axis`.
Array<double> cut(const Array<double>& array, int axis, std::int64_t begin, std::int64_t end) {
  Array<double> result{array.type, {}, {}};
  const std::int64_t length = array.type.shape[axis];
  result.type.shape[axis] = end - begin;
  std::int64_t inner = 1;
  for (int i = axis + 1; i < array.type.shape.size(); ++i) {
    inner *= array.type.shape[i];
  }
  for (std::int64_t i = 0; i < array.size(); ++i) {
    const std::int64_t position = i / inner % length;
    if (position >= begin && position < end) {
      result.data.push_back(array.data[static_cast<std::size_t>(i)]);
      if (!array.integers.empty()) {
        result.integers.push_back(array.integers[static_cast<std::size_t>(i)]);
      }
    }
  }
  return result;
}

/// `strides` of a window of shape `from`, for one of shape `to`: axes in the same order in memory, with the same gaps
/// between them, broadcast and reversed where they were.
Strides strides_like(const Shape& from, const Strides& strides, const Shape& to) {
  std::vector<int> axes;
  for (int axis = 0; axis < from.size(); ++axis) {
    axes.push_back(axis);
  }
  std::stable_sort(axes.begin(), axes.end(), [&](int a, int b) { return std::abs(strides[a]) < std::abs(strides[b]); });
  Strides result = strides;
  std::int64_t dense_before = 1;
  std::int64_t dense = 1;
  for (const int axis : axes) {
    const std::int64_t before = std::abs(strides[axis]);
    if (before == 0) {
      continue;
    }
    const std::int64_t gap = std::max<std::int64_t>(0, before - dense_before);
    const std::int64_t now = dense + gap;
    result[axis] = strides[axis] < 0 ? -now : now;
    dense_before = before * from[axis];
    dense = now * to[axis];
  }
  return result;
}

/// Gives elements that share memory one value, that of the first of them.
void share(Array<double>& array, const Strides& strides) {
  const Strides own = contiguous_strides(array.type.shape);
  for (std::int64_t i = 0; i < array.size(); ++i) {
    std::int64_t first = i;
    for (int axis = 0; axis < own.size(); ++axis) {
      first -= strides[axis] == 0 ? i / own[axis] % array.type.shape[axis] * own[axis] : 0;
    }
    array.data[static_cast<std::size_t>(i)] = array.data[static_cast<std::size_t>(first)];
    if (!array.integers.empty()) {
      array.integers[static_cast<std::size_t>(i)] = array.integers[static_cast<std::size_t>(first)];
    }
  }
}

/// Elements of inputs in all tries together: a node of millions of elements gets fewer tries.
constexpr std::int64_t most_work = 300'000'000;

class Shrinker {
 public:
  Shrinker(NodeUse use, Device device, double lambda, int tries)
      : best_(std::move(use)), device_(device), lambda_(lambda), tries_(tries) {}

  NodeUse run() {
    if (!fails(best_)) {
      return std::move(best_);
    }
    if (!best_.strides.empty()) {
      NodeUse contiguous = best_;
      contiguous.strides.clear();
      take(std::move(contiguous));
    }
    while (tries_ > 0 && shorten_once()) {
    }
    simplify();
    return std::move(best_);
  }

 private:
  bool fails(const NodeUse& use) const {
    const Comparison found = check_node(use, device_, lambda_);
    return !found.passes() && found.finding != Finding::nothing_checked;
  }

  /// Takes `use` when it is a legal use that fails.
  bool take(NodeUse use) {
    for (const Array<double>& input : use.inputs) {
      work_ += input.size();
    }
    if (tries_ <= 0 || work_ > most_work) {
      tries_ = 0;
      return false;
    }
    --tries_;
    try {
      std::vector<TensorType> types;
      for (const Array<double>& input : use.inputs) {
        types.push_back(input.type);
      }
      // An op without inputs, or one that makes its type from elsewhere, keeps its shape.
      use.type = use.op->infer != nullptr && !types.empty() ? use.op->infer(types, use.attributes) : use.type;
      for (std::size_t j = 0; j < use.strides.size(); ++j) {
        use.strides[j] = strides_like(best_.inputs[j].type.shape, best_.strides[j], use.inputs[j].type.shape);
        share(use.inputs[j], use.strides[j]);
      }
      if (numel(use.type.shape) == 0 || !fails(use)) {
        return false;
      }
    } catch (const Error&) {
      return false;
    }
    best_ = std::move(use);
    return true;
  }

  /// Cuts every axis of `length`, or only the axis of one input.
  NodeUse with_axes_cut(std::int64_t length, int only_input, int only_axis, std::int64_t begin,
                        std::int64_t end) const {
    NodeUse use = best_;
    for (std::size_t j = 0; j < use.inputs.size(); ++j) {
      for (int axis = 0; axis < use.inputs[j].type.shape.size(); ++axis) {
        const bool one = static_cast<int>(j) == only_input && axis == only_axis;
        if (use.inputs[j].type.shape[axis] == length && (only_input < 0 || one)) {
          use.inputs[j] = cut(use.inputs[j], axis, begin, end);
        }
      }
    }
    return use;
  }

  bool shorten(std::int64_t length, int input, int axis) {
    const std::int64_t half = length / 2;
    return take(with_axes_cut(length, input, axis, 0, length - half)) ||
           take(with_axes_cut(length, input, axis, half, length)) ||
           (length > 2 && (take(with_axes_cut(length, input, axis, 0, length - 1)) ||
                           take(with_axes_cut(length, input, axis, 1, length))));
  }

  /// Tries the longest axes first.
  bool shorten_once() {
    struct Axis {
      std::int64_t length;
      int input;
      int axis;
    };
    std::vector<Axis> axes;
    std::set<std::int64_t> lengths;
    for (std::size_t j = 0; j < best_.inputs.size(); ++j) {
      const Shape& shape = best_.inputs[j].type.shape;
      for (int a = 0; a < shape.size(); ++a) {
        if (shape[a] > 1) {
          axes.push_back({shape[a], static_cast<int>(j), a});
          lengths.insert(shape[a]);
        }
      }
    }
    for (auto length = lengths.rbegin(); length != lengths.rend(); ++length) {
      if (shorten(*length, -1, -1)) {
        return true;
      }
    }
    std::stable_sort(axes.begin(), axes.end(), [](const Axis& a, const Axis& b) { return a.length > b.length; });
    return std::any_of(axes.begin(), axes.end(),
                       [&](const Axis& one) { return shorten(one.length, one.input, one.axis); });
  }

  /// The elements [begin, end) of one input replaced by `value`.
  bool replace(std::size_t input, std::size_t begin, std::size_t end, double value) {
    NodeUse use = best_;
    std::vector<double>& data = use.inputs[input].data;
    const auto first = data.begin() + static_cast<std::ptrdiff_t>(begin);
    const auto last = data.begin() + static_cast<std::ptrdiff_t>(end);
    if (std::all_of(first, last, [&](double x) { return x == value; })) {
      return true;
    }
    std::fill(first, last, value);
    return take(std::move(use));
  }

  void simplify() {
    for (std::size_t j = 0; j < best_.inputs.size(); ++j) {
      // Keys of random ops and indices mean something else than their size.
      if (is_floating(best_.inputs[j].type.dtype)) {
        simplify(j, 0, best_.inputs[j].data.size());
      }
    }
  }

  void simplify(std::size_t input, std::size_t begin, std::size_t end) {
    if (tries_ <= 0 || begin == end || replace(input, begin, end, 0) || replace(input, begin, end, 1) ||
        end - begin == 1) {
      return;
    }
    const std::size_t middle = begin + (end - begin) / 2;
    simplify(input, begin, middle);
    simplify(input, middle, end);
  }

  NodeUse best_;
  Device device_;
  double lambda_;
  int tries_;
  std::int64_t work_ = 0;
};

}  // namespace

NodeUse shrink(NodeUse use, Device device, double lambda, int tries) {
  return Shrinker(std::move(use), device, lambda, tries).run();
}

}  // namespace twingrad::check
