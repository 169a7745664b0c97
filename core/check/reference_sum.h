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

/// Gives `element`, a sum of k products whose value is set, the errors of its roundings, from the squares and the sizes
/// of all that was rounded. N is Tracked and Real double, or they are those of lanes.
template <class N, class Real>
[[gnu::always_inline]] inline void bound_product(N& element, const Real& squares, const Real& sizes, std::int64_t k) {
  constexpr double tiny_square = 1e-290;
  const Rounding& rounding = Rounding::current();
  const double underflow = 2 * static_cast<double>(k) * rounding.underflow;
  element.variance = rounding.unit * rounding.unit * squares;
  element.worst = rounding.unit * sizes + underflow;
  // Where the squares left the range of double the sizes stand for them.
  element.library = squares < tiny_square ? element.worst : Real{} + underflow;
  // Every partial sum is at most the sum of the sizes; only beyond the range could one have overflowed.
  element.overflow = sizes > rounding.largest;
}

/// c (m, n) = a (m, k) b (k, n) (+ bias (n)).
template <class N>
void matrix_product(std::int64_t m, std::int64_t n, std::int64_t k, const N* a, const N* b, const N* bias, N* c,
                    const SumOrder& order);

}  // namespace twingrad::check
