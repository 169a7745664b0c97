// Matrix products of finite operands, four rows and sixteen columns at a time: the sum, and the squares and the sizes
// of all roundings, stay in registers.
#include <twingrad/check/reference_interpreter.h>
#include <twingrad/check/reference_sources.h>
#include <twingrad/check/reference_sum.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace twingrad::check {
namespace {

constexpr int tile_rows = 4;
constexpr int tile_columns = 16;
constexpr int tile_vectors = tile_columns / lane_count;
/// A row of a tile.
using FloatRow = float __attribute__((vector_size(tile_columns * sizeof(float))));
using Words = std::int32_t __attribute__((vector_size(tile_columns * sizeof(std::int32_t))));

/// Of one row of a tile: each product rounds once, each sum once more but the first. Where the order is unknown,
/// `sizes` are the products'.
struct Sums {
  Doubles sum[std::size_t{tile_vectors}];
  Doubles squares[std::size_t{tile_vectors}];
  Doubles sizes[std::size_t{tile_vectors}];
  Doubles rounded[std::size_t{tile_vectors}];  ///< the sum in float32 itself
};

template <bool ordered>
[[gnu::always_inline]] inline void sum_products(const double* const* a, const double* b, std::int64_t k, Sums* sums) {
  for (int v = 0; v < tile_vectors; ++v) {
    for (int r = 0; r < tile_rows; ++r) {
      const Doubles product = a[r][0] * load(b + v * lane_count);
      sums[r].sum[v] = Doubles{} + product;  // as kernels start from 0, a sum is never -0
      sums[r].squares[v] = product * product;
      sums[r].sizes[v] = magnitude(product);
      sums[r].rounded[v] = in_float(product);
    }
  }
  for (std::int64_t p = 1; p < k; ++p) {
    for (int v = 0; v < tile_vectors; ++v) {
      const Doubles factor = load(b + p * tile_columns + v * lane_count);
      for (int r = 0; r < tile_rows; ++r) {
        const Doubles product = a[r][p] * factor;
        const Doubles total = sums[r].sum[v] + product;
        sums[r].sum[v] = total;
        sums[r].squares[v] += product * product + total * total;
        sums[r].sizes[v] += ordered ? magnitude(product) + magnitude(total) : magnitude(product);
        sums[r].rounded[v] = in_float(sums[r].rounded[v] + in_float(product));
      }
    }
  }
}

using check::magnitude;
[[gnu::always_inline]] inline FloatRow magnitude(FloatRow x) {
  return reinterpret_cast<FloatRow>(reinterpret_cast<Words>(x) & std::numeric_limits<std::int32_t>::max());
}

[[gnu::always_inline]] inline FloatRow load_row(const float* x) {
  FloatRow result;
  std::memcpy(&result, x, sizeof result);
  return result;
}

/// Eight columns of a tile's, widened.
[[gnu::always_inline]] inline Doubles half_of(const FloatRow& x, int v) {
  Floats half;
  std::memcpy(&half, reinterpret_cast<const char*>(&x) + static_cast<std::size_t>(v) * sizeof half, sizeof half);
  return __builtin_convertvector(half, Doubles);
}

/// The same for operands that float32 holds. Only the sum itself is in double; what rounds is followed in float32, and
/// so are squares and sizes: `growth` is by how much those may come out too small. False where float32's range does not
/// suffice, and then `sums` are of no use.
template <bool ordered>
[[gnu::always_inline]] inline bool sum_floats(const double* const* a, const float* const* a_floats, const double* b,
                                              const float* b_floats, std::int64_t k, double growth, Sums* sums) {
  // Beside it all that falls out of float32's range is less than a rounding, however many terms there are.
  constexpr double tiny_square = 1e-25;
  Doubles sum[std::size_t{tile_rows}][std::size_t{tile_vectors}];
  FloatRow rounded[std::size_t{tile_rows}];
  FloatRow squares[std::size_t{tile_rows}];
  FloatRow sizes[std::size_t{tile_rows}];
  for (int r = 0; r < tile_rows; ++r) {
    for (int v = 0; v < tile_vectors; ++v) {
      sum[r][v] = Doubles{} + a[r][0] * load(b + v * lane_count);  // as kernels start from 0, a sum is never -0
    }
    rounded[r] = a_floats[r][0] * load_row(b_floats);
    squares[r] = rounded[r] * rounded[r];
    sizes[r] = magnitude(rounded[r]);
  }
  for (std::int64_t p = 1; p < k; ++p) {
    const FloatRow float_factor = load_row(b_floats + p * tile_columns);
    for (int v = 0; v < tile_vectors; ++v) {
      const Doubles factor = load(b + p * tile_columns + v * lane_count);
      for (int r = 0; r < tile_rows; ++r) {
        sum[r][v] += a[r][p] * factor;
      }
    }
    for (int r = 0; r < tile_rows; ++r) {
      const FloatRow product = a_floats[r][p] * float_factor;
      rounded[r] += product;
      squares[r] += product * product + rounded[r] * rounded[r];
      sizes[r] += ordered ? magnitude(product) + magnitude(rounded[r]) : magnitude(product);
    }
  }
  Mask lost{};
  for (int r = 0; r < tile_rows; ++r) {
    for (int v = 0; v < tile_vectors; ++v) {
      Sums& row = sums[r];
      row.sum[v] = sum[r][v];
      row.squares[v] = growth * half_of(squares[r], v);
      row.sizes[v] = growth * half_of(sizes[r], v);
      row.rounded[v] = half_of(rounded[r], v);
      lost |= (row.squares[v] < tiny_square) & ((row.sum[v] != 0.0) | (row.sizes[v] != 0.0));
    }
  }
  return !any(lost);
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

double largest_of(const std::vector<double>& values) {
  const auto whole_vectors = values.size() / lane_count * lane_count;
  Doubles lanes{};
  for (std::size_t i = 0; i < whole_vectors; i += lane_count) {
    lanes = larger(lanes, magnitude(load(values.data() + i)));
  }
  double largest = 0;
  for (int l = 0; l < lane_count; ++l) {
    largest = std::max(largest, lanes[l]);
  }
  for (std::size_t i = whole_vectors; i < values.size(); ++i) {
    largest = std::max(largest, std::abs(values[i]));
  }
  return largest;
}

class ProductSource final : public Expectation::Source {
 public:
  explicit ProductSource(const Use& use)
      : use_(use), product_(use.inputs[0]->type.shape, use.inputs[1]->type.shape, use.type.shape) {
    rows_of = tile_rows * product_.n;
    nanoseconds = 0.1 * static_cast<double>(product_.k);
    columns_ = (product_.n + tile_columns - 1) / tile_columns * tile_columns;
    pack(fits_floats());
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
  /// Puts the columns of each tile together, so that a tile reads its operands one after the other.
  void pack(bool floats) {
    constexpr double move_nanoseconds = 0.5;
    const std::vector<double>& a = use_.inputs[0]->data;
    const std::vector<double>& b = use_.inputs[1]->data;
    const std::int64_t n = product_.n;
    const auto rows = static_cast<std::int64_t>(b.size()) / n;
    b_.resize(static_cast<std::size_t>(rows * columns_));
    b_floats_.resize(floats ? b_.size() : 0);
    for_each_range(rows, move_nanoseconds * static_cast<double>(n), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        for (std::int64_t column = 0; column < n; column += tile_columns) {
          const std::int64_t count = std::min<std::int64_t>(tile_columns, n - column);
          const double* from = b.data() + row * n + column;
          const std::int64_t to = packed(row / product_.k, column) + row % product_.k * tile_columns;
          std::copy_n(from, count, b_.data() + to);
          if (floats) {
            std::transform(from, from + count, b_floats_.data() + to, [](double x) { return static_cast<float>(x); });
          }
        }
      }
    });
    a_floats_.resize(floats ? a.size() : 0);
    for_each_range(static_cast<std::int64_t>(a_floats_.size()), move_nanoseconds,
                   [&](std::int64_t begin, std::int64_t end) {
                     std::transform(a.data() + begin, a.data() + end, a_floats_.data() + begin,
                                    [](double x) { return static_cast<float>(x); });
                   });
  }
  /// Where a tile's columns begin.
  std::int64_t packed(std::int64_t batch, std::int64_t column) const {
    return (batch * columns_ + column) * product_.k;
  }

  /// Whether sums of squares of all that is rounded stay within float32, and sums of so many terms within what the
  /// growth allows.
  bool fits_floats() const {
    constexpr std::int64_t longest = std::int64_t{1} << 16;
    constexpr double largest_square = 1e37;
    const auto k = static_cast<double>(product_.k);
    const double sum = k * largest_of(use_.inputs[0]->data) * largest_of(use_.inputs[1]->data);
    return significant_bits(use_.type.dtype) <= 24 && product_.k <= longest && 2 * k * sum * sum < largest_square;
  }

  /// Rows [row, end) of the piece, which starts at row `first` of all batches.
  void band(std::int64_t batch, std::int64_t first, std::int64_t row, std::int64_t end, Elements& into) const {
    const auto at = static_cast<std::size_t>(batch);
    const std::int64_t a_begin = product_.a[at] * product_.m * product_.k;
    for (std::int64_t column = 0; column < columns_; column += tile_columns) {
      for (std::int64_t r = row; r < end; r += tile_rows) {
        std::int64_t rows[tile_rows];
        for (std::int64_t t = 0; t < tile_rows; ++t) {
          // A tile of fewer rows computes its last one again.
          rows[t] = a_begin + (first + std::min(r + t, end - 1) - batch * product_.m) * product_.k;
        }
        Sums sums[tile_rows];
        const std::int64_t columns = packed(product_.b[at], column);
        use_.model.order.known ? sum<true>(rows, columns, sums) : sum<false>(rows, columns, sums);
        for (std::int64_t t = 0; t < tile_rows && r + t < end; ++t) {
          for (int v = 0; v < tile_vectors && column + v * lane_count < product_.n; ++v) {
            put(bounded(sums[t], v, column), r + t, column + v * lane_count, into);
          }
        }
      }
    }
  }

  /// Of rows and of columns that begin there in their operands.
  template <bool ordered>
  void sum(const std::int64_t* rows, std::int64_t columns, Sums* sums) const {
    const double* from[tile_rows];
    for (int t = 0; t < tile_rows; ++t) {
      from[t] = use_.inputs[0]->data.data() + rows[t];
    }
    if (!a_floats_.empty()) {
      const float* floats_from[tile_rows];
      for (int t = 0; t < tile_rows; ++t) {
        floats_from[t] = a_floats_.data() + rows[t];
      }
      // Adding up loses a unit of roundoff per term, and sums that are off by as much stand in for the exact ones.
      const double growth = 1 + static_cast<double>(product_.k + 2) * 0x1.8p-23;
      if (sum_floats<ordered>(from, floats_from, b_.data() + columns, b_floats_.data() + columns, product_.k, growth,
                              sums)) {
        return;
      }
    }
    sum_products<ordered>(from, b_.data() + columns, product_.k, sums);
  }

  /// The sums of eight columns with their errors, and the bias added.
  TrackedLanes bounded(const Sums& sums, int v, std::int64_t column) const {
    TrackedLanes element(sums.sum[v]);
    bound_product(element, sums.squares[v], sums.sizes[v], sums.rounded[v], product_.k);
    element.exact = false;
    return bias_.empty() ? element : element + TrackedLanes(load(bias_.data() + column + v * lane_count));
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
  std::int64_t columns_ = 0;                ///< of the second operand, filled up to whole tiles
  std::vector<double> b_;                   ///< the second operand, tile by tile
  std::vector<float> a_floats_, b_floats_;  ///< both in float32, where its range suffices
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
