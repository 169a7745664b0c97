// Sums in a declared order, and matrix products, for the reference. Products on Tracked operands without errors of
// their own, which is what a single kernel is given, take a path that vectorises.
#pragma once

#include <twingrad/check/numbers.h>
#include <twingrad/error_model.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace twingrad::check {

/// A sum while it grows. Roundings are taken for independent, which they are not where terms repeat: the same term
/// added to a large sum is rounded the same way each time. So a Tracked sum is also added up in float32 itself, in the
/// declared order, and what that is off by widens the bound.
template <class N>
class Sum {
 public:
  Sum() = default;
  explicit Sum(const N& first) : sum_(first) {}
  void add(const Sum& other) { sum_ = sum_ + other.sum_; }
  N result() const { return sum_; }

 private:
  N sum_{};
};

template <>
class Sum<Tracked> {
 public:
  Sum() = default;
  explicit Sum(const Tracked& first) : sum_(first), rounded_(first.value) {}
  void add(const Sum& other) {
    sum_ = sum_ + other.sum_;
    rounded_ = rounded_ + other.rounded_;
    if (Rounding::current().bits == 24) {
      rounded_ = static_cast<double>(static_cast<float>(rounded_));
    }
  }
  Tracked result() const {
    const double off = std::abs(rounded_ - sum_.value);
    Tracked result = sum_;
    // Not `worst`: these are roundings that it holds already.
    result.library += std::isfinite(off) ? std::min(off, result.worst) : 0;
    return result;
  }

 private:
  Tracked sum_;
  double rounded_ = 0;
};

/// `combine(into, from)` over accumulators of term(r), r < n > 0, in `order`.
template <class Accumulator, class Term, class Combine>
Accumulator ordered_fold(std::int64_t n, const Term& term, const SumOrder& order, const Combine& combine) {
  std::vector<Accumulator> chunks;
  for (std::int64_t begin = 0; begin < n; begin += std::min(order.chunk, n - begin)) {
    const std::int64_t end = begin + std::min(order.chunk, n - begin);
    std::vector<Accumulator> lanes;
    for (std::int64_t r = begin; r < end; ++r) {
      const auto lane = static_cast<std::size_t>((r - begin) % order.lanes);
      if (lane >= lanes.size()) {
        lanes.emplace_back(term(r));  // combining the neutral element is exact
      } else {
        combine(lanes[lane], Accumulator(term(r)));
      }
    }
    for (std::int64_t half = order.lanes / 2; half > 0; half /= 2) {
      for (std::int64_t l = 0; l + half < static_cast<std::int64_t>(lanes.size()) && l < half; ++l) {
        combine(lanes[static_cast<std::size_t>(l)], lanes[static_cast<std::size_t>(l + half)]);
      }
    }
    chunks.push_back(lanes.front());
  }
  while (chunks.size() > 1) {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < chunks.size(); i += 2) {
      if (i + 1 < chunks.size()) {
        combine(chunks[i], chunks[i + 1]);
      }
      chunks[kept++] = chunks[i];
    }
    chunks.resize(kept);
  }
  return chunks.front();
}

template <class N, class Term>
N ordered_sum(std::int64_t n, const Term& term, const SumOrder& order) {
  if (n == 0) {
    return N(0);
  }
  return ordered_fold<Sum<N>>(n, term, order, [](Sum<N>& into, const Sum<N>& from) { into.add(from); }).result();
}

/// How often an addition's rounding counts where the order is unknown: float64 has no wider reference, whose own sum,
/// in another order, is as far from the exact one as the kernel's.
inline int sides_that_round() {
  return Rounding::current().bits == 53 ? 2 : 1;
}

/// The largest partial sum of any terms with this sum of absolute values and this sum: all positive ones, or all
/// negative ones. The first are (sizes + sum) / 2, the others (sizes - sum) / 2.
template <class Real>
[[gnu::always_inline]] inline Real largest_partial_sum(const Real& sizes, const Real& sum) {
  return 0.5 * (sizes + (sum < 0.0 ? -sum : sum));
}

/// What holds of a sum in every order, beside the sequential one that stands in for the deviation.
class AnyOrder {
 public:
  void add(const Tracked& term) {
    ++terms_;
    worst_ += term.worst;
    sizes_ += std::abs(term.value) + term.worst;
  }
  Tracked widened(Tracked sum) const {
    const Rounding& rounding = Rounding::current();
    if (rounding.order_known || rounding.bits == 0 || terms_ < 2 || !std::isfinite(sum.value)) {
      return sum;
    }
    const double partial = largest_partial_sum(sizes_, sum.value) + worst_;
    const double additions = static_cast<double>(sides_that_round() * (terms_ - 1));
    sum.variance *= sides_that_round();
    sum.worst = std::max(sum.worst, worst_ + additions * std::max(rounding.unit * partial, rounding.underflow));
    sum.overflow = sum.overflow || sizes_ + sum.worst > rounding.largest;
    return sum;
  }

 private:
  std::int64_t terms_ = 0;
  double worst_ = 0;
  double sizes_ = 0;
};

/// Gives `element`, a sum of k products whose value is set, the errors of its roundings, from the squares and the sizes
/// of all that was rounded; where the order is unknown, the sizes of the products alone. `rounded` is the sum in
/// float32 itself (see Sum). N is Tracked and Real double, or they are those of lanes.
template <class N, class Real>
[[gnu::always_inline]] inline void bound_product(N& element, const Real& squares, const Real& sizes,
                                                 const Real& rounded, std::int64_t k) {
  constexpr double tiny_square = 1e-290;
  const Rounding& rounding = Rounding::current();
  const double underflow = 2 * static_cast<double>(k) * rounding.underflow;
  if (rounding.order_known) {
    element.variance = rounding.unit * rounding.unit * squares;
    element.worst = rounding.unit * sizes + underflow;
  } else {
    const int sides = sides_that_round();
    const double additions = static_cast<double>(sides * (k - 1));
    element.variance = sides * rounding.unit * rounding.unit * squares;
    element.worst =
        rounding.unit * (sizes + additions * largest_partial_sum<Real>(sizes, element.value)) + sides * underflow;
  }
  // Where the squares left the range of double the sizes stand for them.
  element.library = squares < tiny_square ? element.worst : Real{} + underflow;
  if (rounding.bits == 24) {
    const Real off = rounded < element.value ? element.value - rounded : rounded - element.value;
    element.library += off < element.worst ? off : Real{};
  }
  // Every partial sum is at most the sum of the sizes; only beyond the range could one have overflowed.
  element.overflow = (rounding.order_known ? sizes : sizes + element.worst) > rounding.largest;
}

/// c (m, n) = a (m, k) b (k, n) (+ bias (n)).
template <class N>
void matrix_product(std::int64_t m, std::int64_t n, std::int64_t k, const N* a, const N* b, const N* bias, N* c,
                    const SumOrder& order);

}  // namespace twingrad::check
