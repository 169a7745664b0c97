// Compares eight elements at a time while nothing is remarkable about them; the others go one by one.
#include <twingrad/check/compare_pieces.h>
#include <twingrad/check/lanes.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace twingrad::check {
namespace {

constexpr std::int64_t exponent_field = 0x7ff0000000000000;
constexpr std::int64_t fraction_field = 0x000fffffffffffff;
constexpr int fraction_bits = 52;
constexpr std::int64_t exponent_bias = 1023;

[[gnu::always_inline]] inline Mask bits_of(Doubles x) {
  return reinterpret_cast<Mask>(x);
}
[[gnu::always_inline]] inline Mask chosen(Mask mask, Mask where_set, Mask elsewhere) {
  return mask ? where_set : elsewhere;
}
[[gnu::always_inline]] inline Mask whole(std::int64_t x) {
  return Mask{x, x, x, x, x, x, x, x};
}

/// Numbers of elements by distance in units in the last place. Each lane counts on its own, so that a step does not
/// wait for the one before.
class UlpCounts {
 public:
  explicit UlpCounts(int bits) : bits_(bits), lowest_(bits == 53 ? -1074 : -149) {}

  /// Of errors and values that are not subnormal in double.
  [[gnu::always_inline]] void count(Doubles error, Doubles value) {
    // A value lies in [2^(e - 1), 2^e), and its unit is 2^(e - bits).
    const Mask field = (bits_of(value) & exponent_field) >> fraction_bits;
    const Mask exponent = chosen(value == 0.0, Mask{}, field - (exponent_bias - 1));
    const Mask in_unit = exponent - bits_;
    const Mask unit = chosen(in_unit < lowest_, whole(lowest_), in_unit);
    // An error of at most 2^c units belongs to bin c + 1.
    const Mask above = chosen((bits_of(error) & fraction_field) != 0, whole(1), Mask{});
    const Mask power = ((bits_of(error) & exponent_field) >> fraction_bits) - exponent_bias + above;
    Mask bin = power - unit + 1;
    bin = chosen(bin < 1, whole(1), bin);
    bin = chosen(bin > last, whole(last), bin);
    bin = chosen(error == 0.0, Mask{}, bin);
    // Nearly all errors are small: those are counted without leaving the registers. A mask that is set is -1.
    if (!any(bin >= static_cast<std::int64_t>(small_.size()))) {
      for (std::size_t small = 0; small < small_.size(); ++small) {
        small_[small] -= bin == static_cast<std::int64_t>(small);
      }
      return;
    }
    for (int l = 0; l < lane_count; ++l) {
      ++counts_[static_cast<std::size_t>(l)][static_cast<std::size_t>(bin[l])];
    }
  }
  void add_to(Comparison& result) const {
    for (std::size_t bin = 0; bin < small_.size(); ++bin) {
      for (int l = 0; l < lane_count; ++l) {
        result.ulps[bin] += small_[bin][l];
      }
    }
    for (const auto& lane : counts_) {
      for (std::size_t bin = 0; bin < lane.size(); ++bin) {
        result.ulps[bin] += lane[bin];
      }
    }
  }

 private:
  static constexpr std::int64_t last = 16;
  std::int64_t bits_;
  std::int64_t lowest_;
  std::array<Mask, 3> small_{};
  std::array<std::array<std::int32_t, last + 1>, lane_count> counts_{};
};

/// Eight elements with their bounds.
struct Due {
  Doubles value, variance{}, library{}, worst{};
  Mask overflow{};
  [[gnu::always_inline]] Due(const Elements& due, std::size_t i) : value(load(due.value.data() + i)) {
    if (!due.exact) {
      variance = load(due.variance.data() + i);
      library = load(due.library.data() + i);
      worst = load(due.worst.data() + i);
      overflow = load(due.overflow.data() + i);
    }
  }
};

[[gnu::always_inline]] inline Mask subnormal(Doubles x) {
  return (magnitude(x) < std::numeric_limits<double>::min()) & (x != 0.0);
}

/// The element of `due` at position `i`, when its ratio is the largest so far; of equal ones the first.
void note_worst(std::int64_t i, double ratio, const double* actual, const Elements& due, int bits, double lambda,
                Comparison& result) {
  const std::int64_t index = due.begin + i;
  if (result.worst_index < 0 || ratio > result.max_ratio || (ratio == result.max_ratio && index < result.worst_index)) {
    result.max_ratio = ratio;
    result.worst_index = index;
    result.worst_actual = actual[i];
    result.worst_expected = due.value[static_cast<std::size_t>(i)];
    result.worst_bound = bound_of(due.at(i), bits, lambda);
  }
}

}  // namespace

void compare_piece(const double* actual, const Elements& due, Dtype dtype, double lambda, PartialComparison& into) {
  const int bits = std::max(significant_bits(dtype), 1);
  const double edge = is_floating(dtype) ? edge_of(dtype) : std::numeric_limits<double>::infinity();
  const double second_order = std::ldexp(1.0, 2 - bits);
  UlpCounts ulps(bits);
  Doubles squares{};
  Doubles variances{};
  Doubles largest{};
  std::int64_t equal = 0;
  Doubles worst_ratio = splat(-1);
  Mask worst_at{};
  std::int64_t i = 0;
  for (; i + lane_count <= due.count; i += lane_count) {
    const Due d(due, static_cast<std::size_t>(i));
    const Doubles got = load(actual + i);
    const Doubles error = magnitude(got - d.value);
    const Doubles statistical = lambda * rooted(d.variance) + d.library;
    const Doubles bound = (d.worst < statistical ? d.worst : statistical) + second_order * d.worst;
    const Mask plain = ~d.overflow & (magnitude(d.value) + d.worst < edge) & is_finite(d.value) & is_finite(got) &
                       (error <= bound) & ~subnormal(error) & ~subnormal(d.value);
    if (any(~plain)) {
      for (std::int64_t e = i; e < i + lane_count; ++e) {
        compare_element(actual[e], due.at(e), due.begin + e, dtype, lambda, into);
      }
      continue;
    }
    into.seen.checked += lane_count;
    if (!into.samples.full() && !due.exact) {
      const Doubles predicted = d.variance + d.library * d.library;
      for (std::int64_t l = 0; l < lane_count; ++l) {
        into.samples.add(got[l], d.value[l], predicted[l]);
      }
    }
    if (!any(error != 0.0)) {
      equal += lane_count;
      variances += d.variance + d.library * d.library;
      if (worst_ratio[0] < 0) {
        worst_ratio[0] = 0;
        worst_at[0] = i;
      }
      continue;
    }
    largest = larger(largest, error);
    ulps.count(error, d.value);
    squares += error * error;
    variances += d.variance + d.library * d.library;
    const Doubles ratio = select(error == 0.0, Doubles{}, error / bound);
    const Mask worse = ratio > worst_ratio;
    worst_ratio = select(worse, ratio, worst_ratio);
    worst_at = chosen(worse, whole(i), worst_at);
  }
  for (; i < due.count; ++i) {
    compare_element(actual[i], due.at(i), due.begin + i, dtype, lambda, into);
  }
  into.squares += total(squares);
  into.variances += total(variances);
  ulps.add_to(into.seen);
  into.seen.ulps[0] += equal;
  for (std::int64_t l = 0; l < lane_count; ++l) {
    into.seen.max_error = std::max(into.seen.max_error, largest[l]);
    if (worst_ratio[l] >= 0) {
      note_worst(worst_at[l] + l, worst_ratio[l], actual, due, bits, lambda, into.seen);
    }
  }
}

}  // namespace twingrad::check
