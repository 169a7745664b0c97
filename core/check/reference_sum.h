// Sums in a declared order, and matrix products, for the reference. Products on Tracked operands without errors of
// their own, which is what a single kernel is given, take a path that vectorises.
#pragma once

#include <twingrad/check/numbers.h>
#include <twingrad/error_model.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace twingrad::check {

/// combine() over term(r), r < n, in `order`; `neutral` for n = 0.
template <class N, class Term, class Combine>
N ordered_fold(std::int64_t n, const Term& term, const SumOrder& order, const N& neutral, const Combine& combine) {
  if (n == 0) {
    return neutral;
  }
  std::vector<N> chunks;
  for (std::int64_t begin = 0; begin < n; begin += std::min(order.chunk, n - begin)) {
    const std::int64_t end = begin + std::min(order.chunk, n - begin);
    std::vector<N> lanes;
    for (std::int64_t r = begin; r < end; ++r) {
      const auto lane = static_cast<std::size_t>((r - begin) % order.lanes);
      if (lane >= lanes.size()) {
        lanes.push_back(term(r));  // adding the neutral element is exact
      } else {
        lanes[lane] = combine(lanes[lane], term(r));
      }
    }
    for (std::int64_t half = order.lanes / 2; half > 0; half /= 2) {
      for (std::int64_t l = 0; l + half < static_cast<std::int64_t>(lanes.size()) && l < half; ++l) {
        lanes[static_cast<std::size_t>(l)] =
            combine(lanes[static_cast<std::size_t>(l)], lanes[static_cast<std::size_t>(l + half)]);
      }
    }
    chunks.push_back(lanes.front());
  }
  while (chunks.size() > 1) {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < chunks.size(); i += 2) {
      chunks[kept++] = i + 1 < chunks.size() ? combine(chunks[i], chunks[i + 1]) : chunks[i];
    }
    chunks.resize(kept);
  }
  return chunks.front();
}

template <class N, class Term>
N ordered_sum(std::int64_t n, const Term& term, const SumOrder& order) {
  return ordered_fold<N>(n, term, order, N(0), [](const N& a, const N& b) { return a + b; });
}

/// c (m, n) = a (m, k) b (k, n) (+ bias (n)).
template <class N>
void matrix_product(std::int64_t m, std::int64_t n, std::int64_t k, const N* a, const N* b, const N* bias, N* c,
                    const SumOrder& order);

}  // namespace twingrad::check
