#include <twingrad/check/reference.h>
#include <twingrad/check/reference_sum.h>
#include <twingrad/formulas.h>
#include <twingrad/kernels.h>
#include <twingrad/philox.h>
#include <twingrad/update_formulas.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

namespace twingrad::check {
namespace {

double value_of(double x) {
  return x;
}
double value_of(const Dual& x) {
  return static_cast<double>(x.value);
}
double value_of(const Tracked& x) {
  return x.value;
}

/// x as it is stored in a narrower dtype: one more rounding.
double stored_as(double x, Dtype /*dtype*/, const ErrorModel& /*model*/) {
  return x;
}
Dual stored_as(const Dual& x, Dtype /*dtype*/, const ErrorModel& /*model*/) {
  return x;
}
Tracked stored_as(const Tracked& x, Dtype dtype, const ErrorModel& model) {
  ErrorModel one_by_one = model;
  one_by_one.order.known = true;  // one rounding has no order
  const RoundingScope scope(dtype, one_by_one);
  return Tracked::unary(x, x.value, 1, 0.5);
}

/// x with the range of float32 and fewer bits: an operand of a product in TF32.
double shortened(double x, int /*bits*/, const ErrorModel& /*model*/) {
  return x;
}
Dual shortened(const Dual& x, int /*bits*/, const ErrorModel& /*model*/) {
  return x;
}
Tracked shortened(const Tracked& x, int bits, const ErrorModel& model) {
  ErrorModel one_by_one = model;
  one_by_one.order.known = true;
  const RoundingScope scope(bits, one_by_one);
  return Tracked::unary(x, x.value, 1, 0.5);
}

/// Nothing is predicted for an element whose formula took a branch that hangs on a rounding.
void settle(double& /*x*/) {}
void settle(Dual& /*x*/) {}
void settle(Tracked& x) {
  Rounding& rounding = Rounding::current();
  x.overflow = x.overflow || rounding.ambiguous;
  rounding.ambiguous = false;
}

/// What integers and bool make of a result beyond their range: the low bits, and true.
double wrapped(double x, Dtype dtype) {
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

/// Calls visit(output position, input positions) for all elements, row-major, of windows with one shape.
template <class Visit>
void for_each_element(const Shape& shape, std::span<const Window> windows, const Visit& visit) {
  std::vector<std::int64_t> offsets;
  for (const Window& window : windows) {
    offsets.push_back(window.offset);
  }
  Dims index = Dims::filled(shape.size(), 0);
  const std::int64_t count = numel(shape);
  for (std::int64_t i = 0; i < count; ++i) {
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

/// A window that shows a contiguous tensor broadcast to `shape`.
Window broadcast_window(const Shape& from, const Shape& shape) {
  Window window{0, shape, Dims::filled(shape.size(), 0)};
  const Strides strides = contiguous_strides(from);
  const int shift = shape.size() - from.size();
  for (int i = 0; i < from.size(); ++i) {
    window.strides[i + shift] = from[i] == 1 ? 0 : strides[i];
  }
  return window;
}

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

template <class N>
class Interpreter {
 public:
  Interpreter(const Op& op, const Attributes& attributes, std::span<const Array<N>> inputs, const TensorType& type,
              const ErrorModel& model)
      : op_(op), attributes_(attributes), inputs_(inputs), model_(model), output_{type, {}, {}} {
    output_.data.assign(static_cast<std::size_t>(numel(type.shape)), N(0));
  }

  Array<N> run() {
    if (output_.data.empty() && op_.family != Family::index) {
      return std::move(output_);
    }
    const RoundingScope scope(arithmetic_bits(op_, output_.type.dtype, model_), model_);
    switch (op_.family) {
      case Family::view:
        view();
        break;
      case Family::elementwise:
        elementwise();
        break;
      case Family::update:
        update();
        break;
      case Family::reduce:
        reduce();
        break;
      case Family::arg_reduce:
        arg_reduce();
        break;
      case Family::scan:
        scan();
        break;
      case Family::matmul:
        matmul();
        break;
      case Family::rows:
        rows();
        break;
      case Family::index:
        index();
        break;
      case Family::random:
        random();
        break;
      case Family::copy:
        copy();
        break;
      case Family::custom:
        custom();
        break;
    }
    store();
    return std::move(output_);
  }

 private:
  const Array<N>& in(std::size_t i) const { return inputs_[i]; }
  N& out(std::int64_t i) { return output_.data[static_cast<std::size_t>(i)]; }

  /// The rounding to the output's dtype where the arithmetic had more bits.
  void store() {
    const Dtype dtype = output_.type.dtype;
    const int bits = significant_bits(dtype);
    const bool moves = op_.family == Family::view || op_.family == Family::random || op_.family == Family::copy;
    if (bits != 0 && !moves && bits < arithmetic_bits(op_, dtype, model_)) {
      for (N& element : output_.data) {
        element = stored_as(element, dtype, model_);
      }
    }
    if (bits == 0 && (op_.family == Family::elementwise || op_.family == Family::index)) {
      for (N& element : output_.data) {
        element = N(wrapped(value_of(element), dtype));
      }
    }
  }

  void view() {
    Window window{0, in(0).type.shape, contiguous_strides(in(0).type.shape)};
    op_.view(window, output_.type, attributes_);
    for_each_element(window.shape, std::span(&window, 1), [&](std::int64_t i, const auto& offsets) {
      out(i) = in(0).data[static_cast<std::size_t>(offsets[0])];
    });
  }

  void elementwise() {
    std::vector<Window> windows;
    for (const Array<N>& input : inputs_) {
      windows.push_back(broadcast_window(input.type.shape, output_.type.shape));
    }
    for_each_formula<formulas::Formulas>([&]<class Formula>() {
      formulas::Parameters parameters{};
      std::copy(attributes_.reals.begin(), attributes_.reals.end(), parameters.p);
      for_each_element(output_.type.shape, windows, [&](std::int64_t i, const auto& offsets) {
        const auto operand = [&](std::size_t j) -> const N& {
          return in(j).data[static_cast<std::size_t>(offsets[j])];
        };
        out(i) = apply_formula<Formula>(operand, parameters);
        settle(out(i));
      });
    });
  }

  template <class Formula, class Operand>
  static N apply_formula(const Operand& operand, const formulas::Parameters& parameters) {
    const auto truth = [&](std::size_t j) { return value_of(operand(j)) != 0; };
    if constexpr (std::is_same_v<Formula, formulas::Where>) {
      return Formula::template apply<N>(truth(0), operand(1), operand(2), parameters);
    } else if constexpr (Formula::takes == formulas::Takes::bools) {
      if constexpr (Formula::arity == 1) {
        return N(Formula::template apply<bool>(truth(0), parameters) ? 1 : 0);
      } else {
        return N(Formula::template apply<bool>(truth(0), truth(1), parameters) ? 1 : 0);
      }
    } else if constexpr (Formula::gives == formulas::Gives::boolean) {
      return N(Formula::template apply<N>(operand(0), operand(1), parameters) ? 1 : 0);
    } else if constexpr (Formula::arity == 1) {
      return Formula::template apply<N>(operand(0), parameters);
    } else {
      return Formula::template apply<N>(operand(0), operand(1), parameters);
    }
  }

  void update() {
    const std::size_t operands = inputs_.size() - 1;
    std::vector<N> x(operands);
    for_each_formula<formulas::UpdateFormulas>([&]<class Formula>() {
      for (std::int64_t i = 0; i < output_.size(); ++i) {
        for (std::size_t j = 0; j < operands; ++j) {
          x[j] = in(j).data[static_cast<std::size_t>(i)];
        }
        out(i) = Formula::template apply<N>(x.data(), in(operands).data.data());
        settle(out(i));
      }
    });
  }

  /// Calls run<Formula>() for the formula that the op's kernel number names.
  template <class List, class Run>
  void for_each_formula(const Run& run) {
    [&]<class... Formula>(std::type_identity<std::tuple<Formula...>>) {
      int index = 0;
      ((index++ == op_.kernel ? run.template operator()<Formula>() : void()), ...);
    }(std::type_identity<List>{});
  }

  /// Positions of the inputs of every output of a reduction over axes `ints`.
  template <class Visit>
  void for_each_reduced(const Visit& visit) {
    const Shape& shape = in(0).type.shape;
    const Strides strides = contiguous_strides(shape);
    Shape kept;
    Shape reduced;
    Window kept_window;
    Window reduced_window;
    for (int i = 0; i < shape.size(); ++i) {
      const bool reduces = attributes_.ints.contains(i);
      (reduces ? reduced : kept).push_back(shape[i]);
      (reduces ? reduced_window : kept_window).strides.push_back(strides[i]);
    }
    std::vector<std::int64_t> relative;
    for_each_element(reduced, std::span(&reduced_window, 1),
                     [&](std::int64_t, const auto& offsets) { relative.push_back(offsets[0]); });
    for_each_element(kept, std::span(&kept_window, 1),
                     [&](std::int64_t i, const auto& offsets) { visit(i, offsets[0], relative); });
  }

  void reduce() {
    for_each_reduced([&](std::int64_t i, std::int64_t base, const std::vector<std::int64_t>& relative) {
      const auto n = static_cast<std::int64_t>(relative.size());
      const auto term = [&](std::int64_t r) -> const N& {
        return in(0).data[static_cast<std::size_t>(base + relative[static_cast<std::size_t>(r)])];
      };
      out(i) = reduced(n, term);
    });
  }

  template <class Term>
  N reduced(std::int64_t n, const Term& term) const {
    switch (static_cast<Reduce>(op_.kernel)) {
      case Reduce::sum:
        return ordered_sum<N>(n, term, model_.order);
      case Reduce::mean:
        return ordered_sum<N>(n, term, model_.order) / N(n);
      case Reduce::prod:
        return n == 0 ? N(1)
                      : ordered_fold<N>(n, term, model_.order, [](N& into, const N& from) { into = into * from; });
      case Reduce::amax:
        return extreme<formulas::Maximum>(n, term);
      case Reduce::amin:
        return extreme<formulas::Minimum>(n, term);
    }
    return N(0);
  }

  template <class Formula, class Term>
  static N extreme(std::int64_t n, const Term& term) {
    N best = term(0);
    for (std::int64_t r = 1; r < n; ++r) {
      best = Formula::template apply<N>(best, term(r), formulas::Parameters{});
    }
    return best;
  }

  void arg_reduce() {
    const bool largest = static_cast<ArgReduce>(op_.kernel) == ArgReduce::argmax;
    const Around x(in(0).type.shape, attributes_.ints[0]);
    for (std::int64_t o = 0; o < x.outer; ++o) {
      for (std::int64_t i = 0; i < x.inner; ++i) {
        std::int64_t found = 0;
        double best = value_of(in(0).data[x.at(o, 0, i)]);
        for (std::int64_t l = 1; l < x.length; ++l) {
          const double candidate = value_of(in(0).data[x.at(o, l, i)]);
          const bool better = std::isnan(candidate) || (largest ? candidate > best : candidate < best);
          if (!std::isnan(best) && better) {
            best = candidate;
            found = l;
          }
        }
        out(o * x.inner + i) = N(found);
      }
    }
  }

  void scan() {
    const Around x(in(0).type.shape, attributes_.ints[0]);
    const bool reverse = attributes_.ints[1] == 1;
    for (std::int64_t o = 0; o < x.outer; ++o) {
      for (std::int64_t i = 0; i < x.inner; ++i) {
        Sum<N> sum;
        for (std::int64_t r = 0; r < x.length; ++r) {
          const std::int64_t l = reverse ? x.length - 1 - r : r;
          sum.add(Sum<N>(in(0).data[x.at(o, l, i)]));
          output_.data[x.at(o, l, i)] = sum.result();
        }
      }
    }
  }

  void matmul() {
    const Shape& a_shape = in(0).type.shape;
    const Shape& b_shape = in(1).type.shape;
    const std::int64_t m = a_shape[a_shape.size() - 2];
    const std::int64_t k = a_shape.back();
    const std::int64_t n = b_shape.back();
    const auto batches = [&](const Shape& shape) {
      Shape result;
      for (int i = 0; i + 2 < shape.size(); ++i) {
        result.push_back(shape[i]);
      }
      return result;
    };
    const Shape batch = batches(output_.type.shape);
    const std::array<Window, 2> windows = {broadcast_window(batches(a_shape), batch),
                                           broadcast_window(batches(b_shape), batch)};
    const std::vector<N> a = product_operand(in(0));
    const std::vector<N> b = product_operand(in(1));
    const N* bias = inputs_.size() > 2 ? in(2).data.data() : nullptr;
    for_each_element(batch, windows, [&](std::int64_t i, const auto& offsets) {
      matrix_product(m, n, k, a.data() + offsets[0] * m * k, b.data() + offsets[1] * k * n, bias,
                     output_.data.data() + i * m * n, model_.order);
    });
  }

  /// Operands as the kernel multiplies them: TF32 drops bits first.
  std::vector<N> product_operand(const Array<N>& array) const {
    std::vector<N> result = array.data;
    for (N& element : result) {
      if (model_.operand_bits != 0) {
        element = shortened(element, model_.operand_bits, model_);
      }
      if (model_.flushes_subnormals) {
        element = flushed(element, array.type.dtype);
      }
    }
    return result;
  }

  /// A subnormal operand may count as 0.
  static N flushed(const N& x, Dtype dtype) {
    const double size = std::abs(value_of(x));
    const double normal = dtype == Dtype::f64 ? 0x1p-1022 : (dtype == Dtype::f16 ? 0x1p-14 : 0x1p-126);
    if constexpr (std::is_same_v<N, Tracked>) {
      return size > 0 && size < normal ? Tracked::widened(x, size) : x;
    } else {
      return x;
    }
  }

  void rows() {
    const std::int64_t n = in(0).type.shape.back();
    const std::int64_t count = n == 0 ? numel(output_.type.shape) : in(0).size() / n;
    for (std::int64_t r = 0; r < count; ++r) {
      row(in(0).data.data() + r * n, n, r);
    }
  }

  void row(const N* x, std::int64_t n, std::int64_t r) {
    const auto term = [&](std::int64_t i) -> const N& { return x[i]; };
    switch (static_cast<Rows>(op_.kernel)) {
      case Rows::softmax:
      case Rows::log_softmax:
      case Rows::logsumexp:
        exponential_row(x, n, r);
        break;
      case Rows::layer_norm: {
        const N mean = ordered_sum<N>(n, term, model_.order) / N(n);
        const N variance = ordered_sum<N>(
                               n, [&](std::int64_t i) { return (x[i] - mean) * (x[i] - mean); }, model_.order) /
                           N(n);
        const N deviation = root(variance + N(attributes_.reals[0]));
        for (std::int64_t i = 0; i < n; ++i) {
          const auto at = static_cast<std::size_t>(i);
          out(r * n + i) = (x[i] - mean) / deviation * in(1).data[at] + in(2).data[at];
        }
        break;
      }
      case Rows::rms_norm: {
        const N square = ordered_sum<N>(
                             n, [&](std::int64_t i) { return x[i] * x[i]; }, model_.order) /
                         N(n);
        const N scale = root(square + N(attributes_.reals[0]));
        for (std::int64_t i = 0; i < n; ++i) {
          out(r * n + i) = x[i] / scale * in(1).data[static_cast<std::size_t>(i)];
        }
        break;
      }
    }
  }

  static N root(const N& x) {
    using std::sqrt;
    return sqrt(x);
  }

  void exponential_row(const N* x, std::int64_t n, std::int64_t r) {
    using std::exp;
    using std::log;
    const auto kernel = static_cast<Rows>(op_.kernel);
    N shift(-std::numeric_limits<double>::infinity());
    for (std::int64_t i = 0; i < n; ++i) {
      shift = formulas::Maximum::apply<N>(shift, x[i], formulas::Parameters{});
    }
    if (kernel == Rows::logsumexp && std::isinf(value_of(shift))) {
      out(r) = shift;
      return;
    }
    std::vector<N> e;
    for (std::int64_t i = 0; i < n; ++i) {
      e.push_back(exp(x[i] - shift));
    }
    const N sum = ordered_sum<N>(
        n, [&](std::int64_t i) -> const N& { return e[static_cast<std::size_t>(i)]; }, model_.order);
    if (kernel == Rows::logsumexp) {
      out(r) = shift + log(sum);
      return;
    }
    const N log_sum = kernel == Rows::log_softmax ? log(sum) : N(0);
    for (std::int64_t i = 0; i < n; ++i) {
      out(r * n + i) = kernel == Rows::softmax ? e[static_cast<std::size_t>(i)] / sum : (x[i] - shift) - log_sum;
    }
  }

  std::int64_t checked_index(const N& element, std::int64_t length) const {
    const auto i = static_cast<std::int64_t>(value_of(element));
    if (i < 0 || i >= length) {
      throw NumericError(std::string(op_.name) + ": index " + std::to_string(i) + " is not in [0, " +
                         std::to_string(length) + ")");
    }
    return i;
  }

  void index() {
    const std::int64_t axis = attributes_.ints[0];
    switch (static_cast<Index>(op_.kernel)) {
      case Index::index_select: {
        const Around x(in(0).type.shape, axis);
        const Around y(output_.type.shape, axis);
        for (std::int64_t l = 0; l < y.length; ++l) {
          const std::int64_t from = checked_index(in(1).data[static_cast<std::size_t>(l)], x.length);
          for (std::int64_t o = 0; o < y.outer; ++o) {
            for (std::int64_t i = 0; i < y.inner; ++i) {
              output_.data[y.at(o, l, i)] = in(0).data[x.at(o, from, i)];
            }
          }
        }
        break;
      }
      case Index::index_add: {
        const Around source(in(1).type.shape, axis);
        const Around y(output_.type.shape, axis);
        std::vector<Sum<N>> sums(output_.data.size());
        for (std::int64_t l = 0; l < source.length; ++l) {
          const std::int64_t to = checked_index(in(0).data[static_cast<std::size_t>(l)], y.length);
          for (std::int64_t o = 0; o < source.outer; ++o) {
            for (std::int64_t i = 0; i < source.inner; ++i) {
              sums[y.at(o, to, i)].add(Sum<N>(in(1).data[source.at(o, l, i)]));
            }
          }
        }
        take_results(sums);
        break;
      }
      case Index::gather:
        indexed(in(1).type.shape, in(0).type.shape, in(1),
                [&](std::size_t at, std::size_t target) { output_.data[at] = in(0).data[target]; });
        break;
      case Index::scatter_add: {
        std::vector<Sum<N>> sums(in(0).data.begin(), in(0).data.end());
        indexed(in(1).type.shape, in(0).type.shape, in(1),
                [&](std::size_t at, std::size_t target) { sums[target].add(Sum<N>(in(2).data[at])); });
        take_results(sums);
        break;
      }
    }
  }

  void take_results(const std::vector<Sum<N>>& sums) {
    for (std::size_t i = 0; i < sums.size(); ++i) {
      output_.data[i] = sums[i].result();
    }
  }

  /// visit(position in the index, position in x that it names) for all elements of the index, row-major.
  template <class Visit>
  void indexed(const Shape& shape, const Shape& x_shape, const Array<N>& indices, const Visit& visit) const {
    const auto axis = static_cast<int>(attributes_.ints[0]);
    Window window{0, shape, contiguous_strides(x_shape)};
    const std::int64_t stride = window.strides[axis];
    window.strides[axis] = 0;
    for_each_element(shape, std::span(&window, 1), [&](std::int64_t i, const auto& offsets) {
      const std::int64_t named = checked_index(indices.data[static_cast<std::size_t>(i)], x_shape[axis]);
      visit(static_cast<std::size_t>(i), static_cast<std::size_t>(offsets[0] + named * stride));
    });
  }

  void random() {
    const bool exact = !in(0).integers.empty();
    const std::int64_t seed = exact ? in(0).integers[0] : static_cast<std::int64_t>(value_of(in(0).data[0]));
    const std::int64_t stream = exact ? in(0).integers[1] : static_cast<std::int64_t>(value_of(in(0).data[1]));
    if (static_cast<Random>(op_.kernel) == Random::permutation) {
      std::vector<std::pair<std::uint64_t, std::int64_t>> keyed;
      for (std::int64_t e = 0; e < output_.size(); ++e) {
        const Philox4 block = random_block(seed, stream, e / permutation_lanes);
        keyed.emplace_back(permutation_key(block, static_cast<int>(e % permutation_lanes)), e);
      }
      std::sort(keyed.begin(), keyed.end());
      for (std::int64_t e = 0; e < output_.size(); ++e) {
        out(e) = N(keyed[static_cast<std::size_t>(e)].second);
      }
      return;
    }
    visit(output_.type.dtype, [&]<class T>(Type<T>) {
      if constexpr (std::is_floating_point_v<compute_t<T>>) {
        const bool uniform = static_cast<Random>(op_.kernel) == Random::uniform;
        const int lanes = uniform ? uniform_lanes<T> : normal_lanes;
        for (std::int64_t e = 0; e < output_.size(); ++e) {
          const Philox4 block = random_block(seed, stream, e / lanes);
          const auto lane = static_cast<int>(e % lanes);
          const T drawn = uniform ? uniform_lane<T>(block, lane) : normal_lane<T>(block, lane);
          out(e) = N(static_cast<double>(static_cast<compute_t<T>>(drawn)));
        }
      }
    });
  }

  void copy() {
    switch (static_cast<Copy>(op_.kernel)) {
      case Copy::cast:
        cast();
        break;
      case Copy::cat: {
        const Around y(output_.type.shape, attributes_.ints[0]);
        std::int64_t first = 0;
        for (const Array<N>& input : inputs_) {
          const Around x(input.type.shape, attributes_.ints[0]);
          for (std::int64_t o = 0; o < x.outer; ++o) {
            for (std::int64_t l = 0; l < x.length; ++l) {
              for (std::int64_t i = 0; i < x.inner; ++i) {
                output_.data[y.at(o, first + l, i)] = input.data[x.at(o, l, i)];
              }
            }
          }
          first += x.length;
        }
        break;
      }
      case Copy::slice_embed: {
        const Around x(in(0).type.shape, attributes_.ints[0]);
        const Around y(output_.type.shape, attributes_.ints[0]);
        for (std::int64_t o = 0; o < x.outer; ++o) {
          for (std::int64_t l = 0; l < x.length; ++l) {
            for (std::int64_t i = 0; i < x.inner; ++i) {
              output_.data[y.at(o, attributes_.ints[1] + l * attributes_.ints[2], i)] = in(0).data[x.at(o, l, i)];
            }
          }
        }
        break;
      }
      case Copy::arange:
        for (std::int64_t i = 0; i < output_.size(); ++i) {
          // In float64 for every dtype, rounded once.
          out(i) = narrowed(attributes_.reals[0] + static_cast<double>(i) * attributes_.reals[1]);
        }
        break;
    }
  }

  /// A float64 in the output's dtype, exactly as conversion rounds it.
  N narrowed(double x) const {
    const Dtype to = output_.type.dtype;
    return is_floating(to) ? stored_as(N(x), to, model_) : N(wrapped(std::trunc(x), to));
  }

  void cast() {
    const Dtype to = output_.type.dtype;
    const int from_bits = significant_bits(in(0).type.dtype);
    for (std::int64_t i = 0; i < output_.size(); ++i) {
      const N& x = in(0).data[static_cast<std::size_t>(i)];
      if (to == Dtype::boolean) {
        out(i) = N(value_of(x) != 0 ? 1 : 0);
      } else if (is_integer(to)) {
        out(i) = N(truncated(value_of(x), to, from_bits == 0));
      } else {
        const bool narrows =
            from_bits == 0 || significant_bits(to) < from_bits || (to == Dtype::f16 && in(0).type.dtype == Dtype::bf16);
        out(i) = narrows ? stored_as(x, to, model_) : x;
      }
    }
  }

  /// Toward zero; NaN gives 0, what is beyond the range gives its end, and between integers the low bits stay.
  static double truncated(double x, Dtype to, bool from_integer) {
    if (from_integer) {
      return wrapped(x, to);
    }
    const double low = to == Dtype::u8 ? 0 : (to == Dtype::i32 ? -0x1p31 : -0x1p63);
    const double high = to == Dtype::u8 ? 255 : (to == Dtype::i32 ? 0x1p31 - 1 : 0x1p63);
    return std::isnan(x) ? 0 : std::clamp(std::trunc(x), low, high);
  }

  /// A custom op has its own CPU kernel as reference, in float64.
  void custom() {
    if constexpr (std::is_same_v<N, double>) {
      std::vector<std::vector<std::byte>> memory;
      KernelCall call{&op_, attributes_, {}, {}, {}};
      const auto view_of = [&](const Array<double>& array) {
        const Dtype dtype = is_floating(array.type.dtype) ? Dtype::f64 : array.type.dtype;
        memory.emplace_back(array.data.size() * size_of(dtype) + 1);
        visit(dtype, [&]<class T>(Type<T>) {
          for (std::size_t i = 0; i < array.data.size(); ++i) {
            reinterpret_cast<T*>(memory.back().data())[i] = static_cast<T>(static_cast<compute_t<T>>(array.data[i]));
          }
        });
        return TensorView{memory.back().data(), dtype, array.type.shape, contiguous_strides(array.type.shape)};
      };
      memory.reserve(inputs_.size() + 1);
      for (const Array<double>& input : inputs_) {
        call.inputs.push_back(view_of(input));
      }
      call.output = view_of(output_);
      op_.custom_cpu(call);
      visit(call.output.dtype, [&]<class T>(Type<T>) {
        for (std::int64_t i = 0; i < output_.size(); ++i) {
          out(i) = static_cast<double>(static_cast<compute_t<T>>(call.output.as<T>()[i]));
        }
      });
    } else {
      throw ArgumentError("the custom op " + std::string(op_.name) +
                          " has no formula that runs on other number types; it is checked by finite differences");
    }
  }

  const Op& op_;
  const Attributes& attributes_;
  std::span<const Array<N>> inputs_;
  const ErrorModel& model_;
  Array<N> output_;
};

}  // namespace

int arithmetic_bits(const Op& op, Dtype dtype, const ErrorModel& model) {
  if (op.family == Family::view || op.family == Family::random || op.family == Family::arg_reduce) {
    return 0;
  }
  const int bits = significant_bits(dtype);
  // A cast rounds once, to its own dtype; the 16-bit floats are computed in float32.
  if (bits == 0 || bits == 53 || op.family == Family::copy) {
    return bits;
  }
  const bool accumulates = op.family == Family::matmul || op.family == Family::reduce || op.family == Family::rows;
  return accumulates ? std::max(model.accumulator_bits, bits) : 24;
}

template <class N>
Array<N> reference(const Op& op, const Attributes& attributes, std::span<const Array<N>> inputs, const TensorType& type,
                   const ErrorModel& model) {
  return Interpreter<N>(op, attributes, inputs, type, model).run();
}
template Array<double> reference(const Op&, const Attributes&, std::span<const Array<double>>, const TensorType&,
                                 const ErrorModel&);
template Array<Dual> reference(const Op&, const Attributes&, std::span<const Array<Dual>>, const TensorType&,
                               const ErrorModel&);
template Array<Tracked> reference(const Op&, const Attributes&, std::span<const Array<Tracked>>, const TensorType&,
                                  const ErrorModel&);

}  // namespace twingrad::check
