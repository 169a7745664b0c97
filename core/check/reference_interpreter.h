// The interpreter behind reference(): one class over all number types, whose families are defined in files of their own
// (reference_*.cpp). Private to the cross-check.
#pragma once

#include <twingrad/check/reference.h>
#include <twingrad/check/reference_sum.h>
#include <twingrad/formulas.h>

#include <cmath>
#include <cstdint>
#include <span>
#include <tuple>
#include <type_traits>
#include <vector>

namespace twingrad::check {

inline double value_of(double x) {
  return x;
}
inline double value_of(const Dual& x) {
  return static_cast<double>(x.value);
}
inline double value_of(const Tracked& x) {
  return x.value;
}

/// x as it is stored in a narrower dtype: one more rounding, which has no order.
inline double stored_as(double x, Dtype /*dtype*/, const ErrorModel& /*model*/) {
  return x;
}
inline Dual stored_as(const Dual& x, Dtype /*dtype*/, const ErrorModel& /*model*/) {
  return x;
}
inline ErrorModel one_by_one(const ErrorModel& model) {
  ErrorModel result = model;
  result.order.known = true;
  return result;
}
inline Tracked stored_as(const Tracked& x, Dtype dtype, const ErrorModel& model) {
  const RoundingScope scope(dtype, one_by_one(model));
  return Tracked::unary(x, x.value, 1, 0.5);
}

/// What integers and bool make of a result beyond their range: the low bits, and true.
inline double wrapped(double x, Dtype dtype) {
  switch (dtype) {
    case Dtype::u8:
      return x - 256 * std::floor(x / 256);
    case Dtype::i32:
      return x - 0x1p32 * std::floor(x / 0x1p32 + 0.5);
    case Dtype::boolean:
      return x != 0 ? 1 : 0;
    default:
      return x;
  }
}

inline double smallest_normal(Dtype dtype) {
  return dtype == Dtype::f64 ? 0x1p-1022 : (dtype == Dtype::f16 ? 0x1p-14 : 0x1p-126);
}

/// Calls visit(output position, input positions) for the elements [begin, end), row-major, of windows with one shape.
template <class Visit>
void for_each_element(const Shape& shape, std::span<const Window> windows, std::int64_t begin, std::int64_t end,
                      const Visit& visit) {
  std::vector<std::int64_t> offsets;
  for (const Window& window : windows) {
    offsets.push_back(window.offset);
  }
  Dims index = Dims::filled(shape.size(), 0);
  std::int64_t rest = begin;
  for (int axis = shape.size() - 1; axis >= 0 && rest > 0; --axis) {
    index[axis] = rest % shape[axis];
    rest /= shape[axis];
    for (std::size_t w = 0; w < windows.size(); ++w) {
      offsets[w] += windows[w].strides[axis] * index[axis];
    }
  }
  for (std::int64_t i = begin; i < end; ++i) {
    visit(i, offsets);
    for (int axis = shape.size() - 1; axis >= 0; --axis) {
      ++index[axis];
      for (std::size_t w = 0; w < windows.size(); ++w) {
        offsets[w] += windows[w].strides[axis];
      }
      if (index[axis] < shape[axis]) {
        break;
      }
      for (std::size_t w = 0; w < windows.size(); ++w) {
        offsets[w] -= windows[w].strides[axis] * shape[axis];
      }
      index[axis] = 0;
    }
  }
}
template <class Visit>
void for_each_element(const Shape& shape, std::span<const Window> windows, const Visit& visit) {
  for_each_element(shape, windows, 0, numel(shape), visit);
}

/// A window that shows a contiguous tensor broadcast to `shape`.
Window broadcast_window(const Shape& from, const Shape& shape);

/// A tensor seen as (outer, length, inner) around one axis.
struct Around {
  Around(const Shape& shape, std::int64_t axis) : length(shape[static_cast<int>(axis)]) {
    for (int i = 0; i < shape.size(); ++i) {
      if (i < axis) {
        outer *= shape[i];
      } else if (i > axis) {
        inner *= shape[i];
      }
    }
  }
  std::int64_t outer = 1;
  std::int64_t length;
  std::int64_t inner = 1;
  std::size_t at(std::int64_t o, std::int64_t l, std::int64_t i) const {
    return static_cast<std::size_t>((o * length + l) * inner + i);
  }
};

/// Calls run<Formula>() for formula number `kernel` of a list.
template <class List, class Run>
void for_formula(int kernel, const Run& run) {
  [&]<class... Formula>(std::type_identity<std::tuple<Formula...>>) {
    int index = 0;
    ((index++ == kernel ? run.template operator()<Formula>() : void()), ...);
  }(std::type_identity<List>{});
}

/// A matrix product's sizes, and where the operands of each batch lie, in matrices.
struct Product {
  std::int64_t m, k, n, batches;
  std::vector<std::int64_t> a, b;  ///< per batch
  Product(const Shape& a_shape, const Shape& b_shape, const Shape& output);
};

/// A reduction over the axes `ints`: where the first term of every output is, and all its terms from there.
struct Reduction {
  Window kept;
  std::vector<std::int64_t> terms;
  Reduction(const Shape& shape, const Attributes& attributes);
};

template <class N>
class Interpreter {
 public:
  Interpreter(const Op& op, const Attributes& attributes, std::span<const Array<N>* const> inputs,
              const TensorType& type, const ErrorModel& model)
      : op_(op), attributes_(attributes), inputs_(inputs), model_(model), output_{type, {}, {}} {
    output_.data.assign(static_cast<std::size_t>(numel(type.shape)), N(0));
  }
  Array<N> run();

 private:
  const Array<N>& in(std::size_t i) const { return *inputs_[i]; }
  N& out(std::int64_t i) { return output_.data[static_cast<std::size_t>(i)]; }

  void view();
  void elementwise();
  void update();
  void reduce();
  void arg_reduce();
  void scan();
  void matmul();
  void rows();
  void index();
  void random();
  void copy();
  /// A custom op has its own CPU kernel as reference, in float64.
  void custom();
  /// The rounding to the output's dtype where the arithmetic had more bits.
  void store();

  template <class Term>
  N reduced(std::int64_t n, const Term& term) const;

  /// Operands as the kernel multiplies them: TF32 drops bits first.
  std::vector<N> product_operand(const Array<N>& array) const;

  void row(const N* x, std::int64_t n, std::int64_t r);
  void exponential_row(const N* x, std::int64_t n, std::int64_t r);

  std::int64_t checked_index(const N& element, std::int64_t length) const;
  /// visit(position in the index, position in x that it names) for all elements of the index, row-major.
  template <class Visit>
  void indexed(const Shape& shape, const Shape& x_shape, const Array<N>& indices, const Visit& visit) const;
  void take_results(const std::vector<Sum<N>>& sums);

  /// A float64 in the output's dtype, exactly as conversion rounds it.
  N narrowed(double x) const;
  void cast();

  const Op& op_;
  const Attributes& attributes_;
  std::span<const Array<N>* const> inputs_;
  const ErrorModel& model_;
  Array<N> output_;
};

}  // namespace twingrad::check
