// Matrix products of finite operands, four rows and sixteen columns at a time: the sum, the squares and the sizes of
// all roundings stay in registers.
#include <twingrad/check/reference_interpreter.h>
#include <twingrad/check/reference_sources.h>
#include <twingrad/check/reference_sum.h>

#include <algorithm>

namespace twingrad::check {
namespace {

constexpr int tile_rows = 4;
constexpr int tile_vectors = 2;

template <int vectors>
struct Sums {
  Doubles sum[std::size_t{tile_rows}][std::size_t{vectors}];
  Doubles squares[std::size_t{tile_rows}][std::size_t{vectors}];
  Doubles sizes[std::size_t{tile_rows}][std::size_t{vectors}];
};

/// Each product rounds once, each sum once more but the first. Where the order is unknown, `sizes` are the products'.
template <int vectors, bool ordered>
[[gnu::always_inline]] inline void sum_products(const double* const* a, const double* b, std::int64_t stride,
                                                std::int64_t k, Sums<vectors>& t) {
  for (int v = 0; v < vectors; ++v) {
    for (int r = 0; r < tile_rows; ++r) {
      const Doubles product = a[r][0] * load(b + v * lane_count);
      t.sum[r][v] = Doubles{} + product;  // as kernels start from 0, a sum is never -0
      t.squares[r][v] = product * product;
      t.sizes[r][v] = magnitude(product);
    }
  }
  for (std::int64_t p = 1; p < k; ++p) {
    for (int v = 0; v < vectors; ++v) {
      const Doubles factor = load(b + p * stride + v * lane_count);
      for (int r = 0; r < tile_rows; ++r) {
        const Doubles product = a[r][p] * factor;
        const Doubles total = t.sum[r][v] + product;
        t.sum[r][v] = total;
        t.squares[r][v] += product * product + total * total;
        t.sizes[r][v] += ordered ? magnitude(product) + magnitude(total) : magnitude(product);
      }
    }
  }
}

bool all_finite(const std::vector<double>& values) {
  const auto whole_vectors = values.size() / lane_count * lane_count;
  Mask finite = all_lanes();
  for (std::size_t i = 0; i < whole_vectors; i += lane_count) {
    finite &= is_finite(load(values.data() + i));
  }
  return !any(~finite) && std::all_of(values.begin() + static_cast<std::ptrdiff_t>(whole_vectors), values.end(),
                                      [](double x) { return std::isfinite(x); });
}

bool all_whole(const std::vector<double>& values) {
  return std::all_of(values.begin(), values.end(), [](double x) { return x == std::trunc(x); });
}

/// A subnormal operand may count as 0, which is an error of its own.
bool any_flushed(const std::vector<double>& values, Dtype dtype) {
  const double normal = smallest_normal(dtype);
  return std::any_of(values.begin(), values.end(), [&](double x) { return x != 0 && std::abs(x) < normal; });
}

class ProductSource final : public Expectation::Source {
 public:
  explicit ProductSource(const Use& use)
      : use_(use), product_(use.inputs[0]->type.shape, use.inputs[1]->type.shape, use.type.shape) {
    rows_of = product_.n;
    nanoseconds = 0.15 * static_cast<double>(product_.k);
    columns_ = (product_.n + lane_count - 1) / lane_count * lane_count;
    if (columns_ != product_.n) {
      pad(use.inputs[1]->data);
    }
    if (use.inputs.size() > 2) {
      bias_.assign(static_cast<std::size_t>(columns_), 0.0);
      std::copy(use.inputs[2]->data.begin(), use.inputs[2]->data.end(), bias_.begin());
    }
  }

  void compute(Elements& into) const override {
    const RoundingScope scope(arithmetic_bits(use_.op, use_.type.dtype, use_.model), use_.model);
    const std::int64_t first = into.begin / product_.n;
    const std::int64_t rows = into.count / product_.n;
    for (std::int64_t row = 0; row < rows;) {
      // Rows of one tile share their second operand.
      const std::int64_t batch = (first + row) / product_.m;
      const std::int64_t end = std::min(rows, (batch + 1) * product_.m - first);
      band(batch, first, row, end, into);
      row = end;
    }
    round_to_storage(use_, into);
  }

 private:
  void pad(const std::vector<double>& b) {
    const auto rows = static_cast<std::int64_t>(b.size()) / product_.n;
    padded_.assign(static_cast<std::size_t>(rows * columns_), 0.0);
    for (std::int64_t r = 0; r < rows; ++r) {
      std::copy_n(b.begin() + r * product_.n, product_.n, padded_.begin() + r * columns_);
    }
  }

  /// Rows [row, end) of the piece, which starts at row `first` of all batches.
  void band(std::int64_t batch, std::int64_t first, std::int64_t row, std::int64_t end, Elements& into) const {
    const auto at = static_cast<std::size_t>(batch);
    const double* a = use_.inputs[0]->data.data() + product_.a[at] * product_.m * product_.k;
    const double* b =
        (padded_.empty() ? use_.inputs[1]->data.data() : padded_.data()) + product_.b[at] * product_.k * columns_;
    for (std::int64_t column = 0; column < columns_; column += tile_vectors * lane_count) {
      for (std::int64_t r = row; r < end; r += tile_rows) {
        const double* rows[tile_rows];
        for (std::int64_t t = 0; t < tile_rows; ++t) {
          // A tile of fewer rows computes its last one again.
          rows[t] = a + (first + std::min(r + t, end - 1) - batch * product_.m) * product_.k;
        }
        if (column + tile_vectors * lane_count <= columns_) {
          tile<tile_vectors>(rows, b, column, r, end, into);
        } else {
          tile<1>(rows, b, column, r, end, into);
        }
      }
    }
  }

  template <int vectors>
  void tile(const double* const* a, const double* b, std::int64_t column, std::int64_t row, std::int64_t end,
            Elements& into) const {
    Sums<vectors> sums;
    if (use_.model.order.known) {
      sum_products<vectors, true>(a, b + column, columns_, product_.k, sums);
    } else {
      sum_products<vectors, false>(a, b + column, columns_, product_.k, sums);
    }
    for (int r = 0; r < tile_rows && row + r < end; ++r) {
      for (int v = 0; v < vectors; ++v) {
        put(bounded(sums.sum[r][v], sums.squares[r][v], sums.sizes[r][v], column + v * lane_count), row + r,
            column + v * lane_count, into);
      }
    }
  }

  /// The sum with its errors, and the bias added.
  TrackedLanes bounded(Doubles sum, Doubles squares, Doubles sizes, std::int64_t column) const {
    TrackedLanes element(sum);
    bound_product(element, squares, sizes, product_.k);
    element.exact = false;
    return bias_.empty() ? element : element + TrackedLanes(load(bias_.data() + column));
  }

  void put(const TrackedLanes& lanes, std::int64_t row, std::int64_t column, Elements& into) const {
    const std::int64_t at = row * product_.n + column;
    const std::int64_t count = std::min<std::int64_t>(lane_count, product_.n - column);
    if (count == lane_count) {
      put_lanes(lanes, into, at);
      return;
    }
    // The rest of the vector is not the next row's.
    for (std::int64_t l = 0; l < count; ++l) {
      const auto to = static_cast<std::size_t>(at + l);
      into.value[to] = lanes.value[l];
      into.variance[to] = lanes.variance[l];
      into.library[to] = lanes.library[l];
      into.worst[to] = lanes.worst[l];
      into.overflow[to] = lanes.overflow[l];
    }
  }

  Use use_;
  Product product_;
  std::int64_t columns_ = 0;  ///< of the second operand, filled up to whole vectors
  std::vector<double> padded_;
  std::vector<double> bias_;
};

}  // namespace

std::unique_ptr<Expectation::Source> product_source(const Use& use) {
  const ErrorModel& model = use.model;
  const std::vector<double>& a = use.inputs[0]->data;
  const std::vector<double>& b = use.inputs[1]->data;
  const std::int64_t k = use.inputs[0]->type.shape.back();
  const bool sequential = model.order.lanes == 1 && model.order.chunk >= k;
  if (k == 0 || !sequential || model.operand_bits != 0 || significant_bits(use.type.dtype) == 0) {
    return nullptr;
  }
  // Whole numbers may be exact; infinities and NaN are followed one by one.
  if (!all_finite(a) || !all_finite(b) || (all_whole(a) && all_whole(b))) {
    return nullptr;
  }
  if (model.flushes_subnormals &&
      (any_flushed(a, use.inputs[0]->type.dtype) || any_flushed(b, use.inputs[1]->type.dtype))) {
    return nullptr;
  }
  return std::make_unique<ProductSource>(use);
}

}  // namespace twingrad::check
