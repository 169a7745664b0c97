// What a case of an op is given, family by family: shapes of hard lengths, attributes, and the dtypes of its inputs.
#include <twingrad/check/op_case_maker.h>
#include <twingrad/kernels.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace twingrad::check {
namespace {

/// Around the widths of vectors, warps and blocks, with primes between.
constexpr std::array<std::int64_t, 22> hard_lengths = {1,  2,  3,  5,   7,   11,  13,  17,  31,  32,   33,
                                                       63, 65, 97, 101, 127, 129, 251, 255, 257, 1023, 1025};
constexpr std::int64_t element_budget = 4200;  // four rows of 1025, with some to spare
constexpr double multiplication_budget = 120e3;

std::int64_t hard_length(std::int64_t most, Draws& draws) {
  const auto end = std::upper_bound(hard_lengths.begin(), hard_lengths.end(), most);
  const auto count = static_cast<std::int64_t>(end - hard_lengths.begin());
  return count == 0 ? 1 : hard_lengths[static_cast<std::size_t>(draws.below(count))];
}

Shape hard_shape(int least_rank, Draws& draws) {
  int rank = 0;
  const double choice = draws.uniform(0, 1);
  for (const double limit : {0.06, 0.36, 0.72, 0.9, 0.94, 0.96, 0.98}) {
    rank += choice >= limit ? 1 : 0;
  }
  rank = choice >= 0.99 ? 8 : std::max(rank, least_rank);
  Shape shape = Dims::filled(rank, 1);
  std::int64_t left = element_budget;
  // Which axis takes the long ones is drawn too.
  const int first = rank == 0 ? 0 : static_cast<int>(draws.below(rank));
  for (int i = 0; i < rank; ++i) {
    const int axis = (first + i) % rank;
    shape[axis] = hard_length(rank > 3 ? std::min<std::int64_t>(left, 5) : left, draws);
    left /= shape[axis];
  }
  if (rank > 0 && draws.chance(0.04)) {
    shape[static_cast<int>(draws.below(rank))] = 0;
  }
  return shape;
}

int any_axis(const Shape& shape, Draws& draws) {
  return static_cast<int>(draws.below(shape.size()));
}

/// Some leading axes dropped, some lengths 1: what broadcasts to `shape`.
Shape broadcasting(const Shape& shape, Draws& draws) {
  Shape result;
  const int dropped = draws.chance(0.5) ? static_cast<int>(draws.below(shape.size() + 1)) : 0;
  for (int i = dropped; i < shape.size(); ++i) {
    result.push_back(draws.chance(0.3) ? 1 : shape[i]);
  }
  return result;
}

class CaseMaker {
 public:
  CaseMaker(OpCase& drawn, const CaseFilter& filter, Draws& draws) : case_(drawn), filter_(filter), draws_(draws) {
    if (op().samples != nullptr) {
      const std::vector<Sample> samples = op().samples();
      sample_ = samples[static_cast<std::size_t>(draws_.below(static_cast<std::int64_t>(samples.size())))];
    }
    case_.attributes = sample_.attributes;
    index_limit_ = sample_.index_limit;
  }

  void make() {
    switch (op().family) {
      case Family::view:
        return view();
      case Family::elementwise:
        return elementwise();
      case Family::update:
        return update();
      case Family::reduce:
        return reduce();
      case Family::arg_reduce:
      case Family::scan:
        return along_axis();
      case Family::matmul:
        return matmul();
      case Family::rows:
        return rows();
      case Family::index:
        return index();
      case Family::random:
        return random();
      case Family::copy:
        return copy();
      case Family::custom:
        return as_sampled();
    }
  }

  std::int64_t index_limit() const { return index_limit_; }

 private:
  const Op& op() const { return *case_.op; }
  Dtype dtype() const { return case_.dtype; }
  Shape shape(int least_rank) { return filter_.shape ? *filter_.shape : hard_shape(least_rank, draws_); }
  void add(const Shape& shape, Dtype dtype) { case_.inputs.push_back({{shape, dtype}, {}}); }
  Dtype index_dtype() { return draws_.chance(0.3) ? Dtype::i32 : Dtype::i64; }
  Shape ranked() {
    const Shape result = shape(1);
    if (result.empty()) {
      throw ShapeError("takes a shape with at least one axis");
    }
    return result;
  }

  void as_sampled() {
    for (const TensorType& type : sample_.inputs) {
      add(type.shape, is_floating(type.dtype) ? dtype() : type.dtype);
    }
  }

  void elementwise() {
    const Shape base = shape(0);
    for (int i = 0; i < op().max_inputs; ++i) {
      const bool condition = static_cast<std::size_t>(i) < sample_.inputs.size() &&
                             sample_.inputs[static_cast<std::size_t>(i)].dtype == Dtype::boolean;
      const bool narrower = op().max_inputs > 1 && draws_.chance(0.35);
      add(narrower ? broadcasting(base, draws_) : base, condition ? Dtype::boolean : dtype());
    }
  }

  void update() {
    const Shape base = shape(0);
    for (std::size_t i = 0; i + 1 < sample_.inputs.size(); ++i) {
      add(base, dtype());
    }
    add(sample_.inputs.back().shape, dtype());
  }

  void reduce() {
    const Shape base = shape(0);
    Dims axes;
    for (int i = 0; i < base.size(); ++i) {
      if (draws_.chance(0.5)) {
        axes.push_back(i);
      }
    }
    if (axes.empty() && !base.empty()) {
      axes.push_back(any_axis(base, draws_));
    }
    case_.attributes = {.ints = axes, .reals = {draws_.chance(0.5) ? 1.0 : 0.0}};
    add(base, dtype());
  }

  void along_axis() {
    const Shape base = ranked();
    const std::int64_t axis = any_axis(base, draws_);
    if (op().family == Family::scan) {
      case_.attributes = {.ints = {axis, draws_.below(2)}};
    } else {
      case_.attributes = {.ints = {axis}, .reals = {draws_.chance(0.5) ? 1.0 : 0.0}};
    }
    add(base, dtype());
  }

  void matmul() {
    std::int64_t m = 1;
    std::int64_t k = 1;
    std::int64_t n = 1;
    Shape a_batch;
    Shape b_batch;
    if (filter_.shape) {
      if (filter_.shape->size() < 2) {
        throw ShapeError("takes a shape (..., m, k) for the first operand");
      }
      for (int i = 0; i + 2 < filter_.shape->size(); ++i) {
        a_batch.push_back((*filter_.shape)[i]);
      }
      m = (*filter_.shape)[filter_.shape->size() - 2];
      k = filter_.shape->back();
      n = hard_length(257, draws_);
    } else {
      // One of the three may be long, each of them may be 1.
      double left = multiplication_budget;
      std::array<std::int64_t*, 3> lengths = {&m, &n, &k};
      std::rotate(lengths.begin(), lengths.begin() + draws_.below(3), lengths.end());
      for (std::int64_t* length : lengths) {
        *length = draws_.chance(0.15) ? 1 : hard_length(static_cast<std::int64_t>(left), draws_);
        left /= static_cast<double>(*length);
      }
      if (draws_.chance(0.05)) {
        k = 0;
      } else if (draws_.chance(0.03)) {
        (draws_.chance(0.5) ? m : n) = 0;
      }
      while (left >= 2 && draws_.chance(0.4)) {
        const std::int64_t batch = draws_.between(2, left >= 3 ? 3 : 2);
        left /= static_cast<double>(batch);
        a_batch.push_back(draws_.chance(0.8) ? batch : 1);
        b_batch.push_back(draws_.chance(0.8) ? batch : 1);
      }
      if (!b_batch.empty() && draws_.chance(0.3)) {
        b_batch.erase(0);
      }
    }
    const auto with = [](Shape batch, std::int64_t rows, std::int64_t columns) {
      batch.push_back(rows);
      batch.push_back(columns);
      return batch;
    };
    case_.attributes = {};
    if (filter_.tf32 && dtype() == Dtype::f32) {
      case_.attributes.ints = {tf32_bits};
    }
    add(with(a_batch, m, k), dtype());
    add(with(b_batch, k, n), dtype());
    if (draws_.chance(0.4)) {
      add({n}, dtype());
    }
  }

  void rows() {
    const Shape base = ranked();
    add(base, dtype());
    for (std::size_t i = 1; i < sample_.inputs.size(); ++i) {
      add({base.back()}, dtype());
    }
  }

  void index() {
    const Shape base = ranked();
    const std::int64_t axis = any_axis(base, draws_);
    const auto a = static_cast<int>(axis);
    const auto count = [&](std::int64_t limit) { return limit == 0 ? 0 : hard_length(257, draws_); };
    case_.attributes = {.ints = {axis}};
    switch (static_cast<Index>(op().kernel)) {
      case Index::index_select:
        index_limit_ = base[a];
        add(base, dtype());
        add({count(index_limit_)}, index_dtype());
        break;
      case Index::index_add:
        index_limit_ = base[a] == 0 ? draws_.below(2) : hard_length(65, draws_);
        case_.attributes.ints.push_back(index_limit_);
        add({base[a]}, index_dtype());
        add(base, dtype());
        break;
      case Index::gather:
      case Index::scatter_add: {
        index_limit_ = base[a];
        Shape shape = base;
        for (int i = 0; i < shape.size(); ++i) {
          shape[i] = i == a ? (index_limit_ == 0 ? 0 : hard_length(33, draws_))
                            : (draws_.chance(0.3) ? shape[i] - shape[i] / 2 : shape[i]);
        }
        add(base, dtype());
        add(shape, index_dtype());
        if (op().max_inputs == 3) {
          add(shape, dtype());
        }
        break;
      }
    }
  }

  void random() {
    const bool permutation = static_cast<Random>(op().kernel) == Random::permutation;
    const Shape base = permutation ? Shape{hard_length(1025, draws_)} : shape(0);
    case_.attributes = {.ints = base, .reals = {static_cast<double>(dtype())}};
    add({2}, Dtype::i64);
  }

  void copy() {
    switch (static_cast<Copy>(op().kernel)) {
      case Copy::cast: {
        const Shape base = shape(0);
        if (!sample_.attributes.ints.empty()) {
          // In turn for odd numbers, which go through the dtypes to cast from: each pair is met.
          const auto turn = static_cast<std::size_t>(case_.number / static_cast<std::int64_t>(2 * all_dtypes.size()));
          const Dtype to = case_.number % 2 == 0 ? draws_.pick(std::span<const Dtype>(all_dtypes))
                                                 : all_dtypes[turn % all_dtypes.size()];
          case_.attributes = {.ints = {static_cast<std::int64_t>(to)}};
        }
        add(base, dtype());
        break;
      }
      case Copy::cat: {
        const Shape base = ranked();
        const std::int64_t axis = any_axis(base, draws_);
        case_.attributes = {.ints = {axis}};
        const std::int64_t count = draws_.between(1, 3);
        for (std::int64_t i = 0; i < count; ++i) {
          Shape part = base;
          part[static_cast<int>(axis)] = i == 0 ? base[static_cast<int>(axis)] : hard_length(33, draws_);
          add(part, dtype());
        }
        break;
      }
      case Copy::slice_embed: {
        const Shape base = ranked();
        const std::int64_t axis = any_axis(base, draws_);
        const std::int64_t start = draws_.below(4);
        const std::int64_t step = draws_.between(1, 3);
        const std::int64_t last = start + (base[static_cast<int>(axis)] - 1) * step;
        case_.attributes = {.ints = {axis, start, step, std::max<std::int64_t>(last + 1 + draws_.below(3), start)}};
        add(base, dtype());
        break;
      }
      case Copy::arange: {
        const std::int64_t count =
            filter_.shape && filter_.shape->size() == 1 ? (*filter_.shape)[0] : hard_length(1025, draws_);
        const bool whole = !is_floating(dtype());
        case_.attributes = {
            .ints = {count, static_cast<std::int64_t>(dtype())},
            .reals = {whole ? static_cast<double>(draws_.below(4)) : draws_.uniform(-2, 2),
                      whole ? static_cast<double>(draws_.below(3)) * (dtype() == Dtype::u8 && count > 100 ? 0 : 1)
                            : draws_.uniform(-0.5, 0.5)}};
        break;
      }
    }
  }

  void view() {
    const std::string_view name = op().name;
    if (name == "permute") {
      const Shape base = shape(0);
      Dims order;
      for (int i = 0; i < base.size(); ++i) {
        order.insert(static_cast<int>(draws_.below(i + 1)), i);
      }
      case_.attributes = {.ints = order};
      add(base, dtype());
    } else if (name == "slice") {
      const Shape base = ranked();
      const std::int64_t axis = any_axis(base, draws_);
      const std::int64_t length = base[static_cast<int>(axis)];
      const std::int64_t step = draws_.between(1, 3);
      const std::int64_t start = length == 0 ? 0 : draws_.below(length);
      const bool backwards = draws_.chance(0.3);
      const std::int64_t room = backwards ? start : length - 1 - start;
      const std::int64_t count = length == 0 ? 0 : draws_.below(room / step + 2);
      case_.attributes = {.ints = {axis, start, backwards ? -step : step, count}};
      add(base, dtype());
    } else if (name == "broadcast_to") {
      const Shape base = shape(0);
      case_.attributes = {.ints = base};
      add(broadcasting(base, draws_), dtype());
    } else if (name == "reshape") {
      const Shape base = shape(0);
      case_.attributes = {.ints = reshaped(base)};
      add(base, dtype());
    } else {
      add(shape(0), dtype());
    }
  }

  /// Neighbouring axes joined, lengths split, axes of length 1 put between.
  Shape reshaped(const Shape& shape) {
    Shape result;
    for (int i = 0; i < shape.size(); ++i) {
      if (!result.empty() && draws_.chance(0.4)) {
        result[result.size() - 1] *= shape[i];
      } else if (shape[i] > 2 && shape[i] % 3 == 0 && result.size() < 6 && draws_.chance(0.4)) {
        result.push_back(3);
        result.push_back(shape[i] / 3);
      } else {
        result.push_back(shape[i]);
      }
      if (result.size() < 6 && draws_.chance(0.2)) {
        result.push_back(1);
      }
    }
    return result;
  }

  OpCase& case_;
  const CaseFilter& filter_;
  Draws& draws_;
  Sample sample_;
  std::int64_t index_limit_ = 1;
};
}  // namespace

std::int64_t make_inputs(OpCase& drawn, const CaseFilter& filter, Draws& draws) {
  CaseMaker maker(drawn, filter, draws);
  maker.make();
  return maker.index_limit();
}

}  // namespace twingrad::check
