#include <twingrad/check/reference_sum.h>

#include <cmath>
#include <type_traits>

namespace twingrad::check {
namespace {

template <class N>
void plain_product(std::int64_t m, std::int64_t n, std::int64_t k, const N* a, const N* b, N* c,
                   const SumOrder& order) {
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      const auto term = [&](std::int64_t p) { return a[i * k + p] * b[p * n + j]; };
      c[i * n + j] = ordered_sum<N>(k, term, order);
      if constexpr (std::is_same_v<N, Tracked>) {
        AnyOrder any_order;
        for (std::int64_t p = 0; p < k && !order.known; ++p) {
          any_order.add(term(p));
        }
        c[i * n + j] = any_order.widened(c[i * n + j]);
      }
    }
  }
}

double in_float32(double x) {
  return static_cast<double>(static_cast<float>(x));
}

/// Whole rows of results side by side, so that the loops run along memory.
struct TrackedRow {
  std::vector<double> sum, squares, sizes, rounded;
  bool ordered = Rounding::current().order_known;
  explicit TrackedRow(std::int64_t n)
      : sum(static_cast<std::size_t>(n)),
        squares(static_cast<std::size_t>(n)),
        sizes(static_cast<std::size_t>(n)),
        rounded(static_cast<std::size_t>(n)) {}

  /// Adds a * b[j]: the product rounds once, the sum once more unless it is the first of its lane. `sizes` sums the
  /// absolute roundings, in an unknown order those of the products.
  void add_product(double a, const double* b, bool first) {
    const std::size_t n = sum.size();
    for (std::size_t j = 0; j < n; ++j) {
      const double product = a * b[j];
      const double total = sum[j] + product;
      sum[j] = total;
      squares[j] += product * product + (first ? 0.0 : total * total);
      rounded[j] = in_float32(rounded[j] + in_float32(product));
      sizes[j] += std::abs(product) + (first || !ordered ? 0.0 : std::abs(total));
    }
  }
  void fold(const TrackedRow& other) {
    for (std::size_t j = 0; j < sum.size(); ++j) {
      const double total = sum[j] + other.sum[j];
      sum[j] = total;
      squares[j] += other.squares[j] + total * total;
      rounded[j] = in_float32(rounded[j] + other.rounded[j]);
      sizes[j] += other.sizes[j] + (ordered ? std::abs(total) : 0.0);
    }
  }
};

TrackedRow product_chunk(std::int64_t n, std::int64_t begin, std::int64_t end, const double* a, const double* b,
                         std::int64_t lane_count) {
  std::vector<TrackedRow> lanes;
  for (std::int64_t p = begin; p < end; ++p) {
    const auto lane = static_cast<std::size_t>((p - begin) % lane_count);
    const bool first = lane >= lanes.size();
    if (first) {
      lanes.emplace_back(n);
    }
    lanes[lane].add_product(a[p], b + p * n, first);
  }
  for (std::int64_t half = lane_count / 2; half > 0; half /= 2) {
    for (std::int64_t l = 0; l + half < static_cast<std::int64_t>(lanes.size()) && l < half; ++l) {
      lanes[static_cast<std::size_t>(l)].fold(lanes[static_cast<std::size_t>(l + half)]);
    }
  }
  return std::move(lanes.front());
}

bool all_whole(const Tracked* x, std::int64_t count) {
  return std::all_of(x, x + count, [](const Tracked& t) { return t.value == std::trunc(t.value); });
}

/// result[j] = sum over p of |a[p] b[p][j]|: no partial sum in any order is larger.
void absolute_products(std::int64_t n, std::int64_t k, const double* a, const double* b, std::vector<double>& result) {
  std::fill(result.begin(), result.end(), 0.0);
  for (std::int64_t p = 0; p < k; ++p) {
    for (std::int64_t j = 0; j < n; ++j) {
      result[static_cast<std::size_t>(j)] += std::abs(a[p] * b[p * n + j]);
    }
  }
}

void tracked_product(std::int64_t m, std::int64_t n, std::int64_t k, const Tracked* a, const Tracked* b, Tracked* c,
                     const SumOrder& order) {
  std::vector<double> b_values(static_cast<std::size_t>(k * n));
  for (std::size_t i = 0; i < b_values.size(); ++i) {
    b_values[i] = b[i].value;
  }
  std::vector<double> a_row(static_cast<std::size_t>(k));
  std::vector<double> absolute(static_cast<std::size_t>(n));
  const double whole_limit = std::ldexp(1.0, Rounding::current().bits);
  const bool whole = all_whole(a, m * k) && all_whole(b, k * n);
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t p = 0; p < k; ++p) {
      a_row[static_cast<std::size_t>(p)] = a[i * k + p].value;
    }
    std::vector<TrackedRow> chunks;
    for (std::int64_t begin = 0; begin < k; begin += std::min(order.chunk, k - begin)) {
      const std::int64_t end = begin + std::min(order.chunk, k - begin);
      chunks.push_back(product_chunk(n, begin, end, a_row.data(), b_values.data(), order.lanes));
    }
    while (chunks.size() > 1) {
      std::size_t kept = 0;
      for (std::size_t q = 0; q < chunks.size(); q += 2, ++kept) {
        if (q + 1 < chunks.size()) {
          chunks[q].fold(chunks[q + 1]);
        }
        if (kept != q) {
          chunks[kept] = std::move(chunks[q]);
        }
      }
      chunks.resize(kept, TrackedRow(0));
    }
    const TrackedRow& row = chunks.front();
    if (whole) {
      absolute_products(n, k, a_row.data(), b_values.data(), absolute);
    }
    for (std::int64_t j = 0; j < n; ++j) {
      const auto at = static_cast<std::size_t>(j);
      Tracked& element = c[i * n + j];
      element = Tracked{};
      element.value = row.sum[at];
      // Whole numbers whose every sum fits are exact in any order.
      if (whole && absolute[at] <= whole_limit) {
        continue;
      }
      bound_product(element, row.squares[at], row.sizes[at], row.rounded[at], k);
    }
  }
}

template <class N>
void add_bias(std::int64_t m, std::int64_t n, const N* bias, N* c) {
  for (std::int64_t i = 0; bias != nullptr && i < m * n; ++i) {
    c[i] = c[i] + bias[i % n];
  }
}

/// Without errors of their own, and finite: what infinities and NaN do is followed one by one.
bool exact(const Tracked* x, std::int64_t count) {
  return std::all_of(x, x + count,
                     [](const Tracked& t) { return t.worst == 0 && !t.overflow && std::isfinite(t.value); });
}

}  // namespace

template <>
void matrix_product(std::int64_t m, std::int64_t n, std::int64_t k, const Dual* a, const Dual* b, const Dual* bias,
                    Dual* c, const SumOrder& order) {
  plain_product(m, n, k, a, b, c, order);
  add_bias(m, n, bias, c);
}

template <>
void matrix_product(std::int64_t m, std::int64_t n, std::int64_t k, const double* a, const double* b,
                    const double* bias, double* c, const SumOrder& /*order*/) {
  for (std::int64_t i = 0; i < m; ++i) {
    double* row = c + i * n;
    std::fill_n(row, n, 0.0);
    for (std::int64_t p = 0; p < k; ++p) {
      const double factor = a[i * k + p];
      const double* other = b + p * n;
      for (std::int64_t j = 0; j < n; ++j) {
        row[j] += factor * other[j];
      }
    }
  }
  add_bias(m, n, bias, c);
}

template <>
void matrix_product(std::int64_t m, std::int64_t n, std::int64_t k, const Tracked* a, const Tracked* b,
                    const Tracked* bias, Tracked* c, const SumOrder& order) {
  if (k > 0 && exact(a, m * k) && exact(b, k * n)) {
    tracked_product(m, n, k, a, b, c, order);
  } else {
    plain_product(m, n, k, a, b, c, order);
  }
  add_bias(m, n, bias, c);
}

}  // namespace twingrad::check
