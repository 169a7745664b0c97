#include "cpu/sums.h"

#include <twingrad/kernels.h>
#include <twingrad/op.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "cpu/lanes.h"
#include "cpu/parallel.h"

namespace twingrad::cpu {
namespace {

constexpr std::int64_t vector_bytes = 64;

/// The (outer, inner) matrix that a contiguous tensor is when its leading or its trailing axes are summed.
struct Matrix {
  std::int64_t rows = 1;
  std::int64_t columns = 1;
  bool along_columns = false;  ///< down the columns: the leading axes
};

/// False when the reduced axes are neither all at the front nor all at the back.
bool as_matrix(const TensorView& input, const Dims& reduced, Matrix& matrix) {
  const int rank = input.shape.size();
  const int count = reduced.size();
  const auto starts_at = [&](int first) {
    for (int i = 0; i < count; ++i) {
      if (reduced[i] != first + i) {
        return false;
      }
    }
    return true;
  };
  const bool trailing = starts_at(rank - count);
  if (!trailing && !starts_at(0)) {
    return false;
  }
  matrix.along_columns = !trailing;
  const int cut = trailing ? rank - count : count;
  for (int axis = 0; axis < rank; ++axis) {
    (axis < cut ? matrix.rows : matrix.columns) *= input.shape[axis];
  }
  if (matrix.along_columns && matrix.columns == 1) {
    matrix = {.rows = 1, .columns = matrix.rows, .along_columns = false};
  }
  return true;
}

template <class T>
class SumKernel final : public PreparedKernel {
 public:
  SumKernel(const Matrix& matrix, T divisor)
      : matrix_(matrix),
        divisor_(divisor),
        length_(matrix.along_columns ? matrix.rows : matrix.columns),
        chunks_(std::max<std::int64_t>(1, (length_ + chunk - 1) / chunk)) {
    if (chunks_ > 1) {
      partial_.resize(static_cast<std::size_t>(chunks_ * kept()));
    }
  }

  void run(std::span<void* const> addresses, const std::source_location& /*where*/) override {
    const T* const in = static_cast<const T*>(addresses[0]);
    T* const out = static_cast<T*>(addresses[1]);
    T* const target = chunks_ > 1 ? partial_.data() : out;
    if (matrix_.along_columns) {
      columns(in, target);
    } else {
      rows(in, target);
    }
    if (chunks_ == 1 && !divides()) {
      return;
    }
    parallel_for(kept(), static_cast<double>(chunks_), [&](std::int64_t begin, std::int64_t end) {
      if (chunks_ > 1) {
        fold_chunk_rows<AddStep>(target + begin, chunks_, end - begin, kept());
      }
      for (std::int64_t i = begin; i < end; ++i) {
        out[i] = divides() ? target[i] / divisor_ : target[i];
      }
    });
  }

 private:
  static constexpr std::int64_t width = vector_bytes / static_cast<std::int64_t>(sizeof(T));
  using Vector [[gnu::vector_size(vector_bytes)]] = T;
  static constexpr double nanoseconds = sizeof(T) * 0.03;

  std::int64_t kept() const { return matrix_.along_columns ? matrix_.columns : matrix_.rows; }
  bool divides() const { return divisor_ != 0; }

  /// target[c * kept + i]: chunk c of sum i.
  void rows(const T* in, T* target) const {
    const double item = 5.0 + nanoseconds * static_cast<double>(std::min(chunk, length_));
    parallel_for(matrix_.rows * chunks_, item, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t row = i % matrix_.rows;
        const std::int64_t first = i / matrix_.rows * chunk;
        const T* const base = in + row * length_ + first;
        target[i] =
            reduce_chunk<AddStep, T>(std::min(chunk, length_ - first), [base](std::int64_t r) { return base[r]; });
      }
    });
  }

  void columns(const T* in, T* target) const {
    const std::int64_t blocks = (matrix_.columns + width - 1) / width;
    const double item = 5.0 + nanoseconds * static_cast<double>(std::min(chunk, length_) * width);
    parallel_for(blocks * chunks_, item, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t column = i % blocks * width;
        const std::int64_t first = i / blocks * chunk;
        const std::int64_t wide = std::min(width, matrix_.columns - column);
        const Vector sum = column_block(in + first * matrix_.columns + column, std::min(chunk, length_ - first), wide);
        std::memcpy(target + i / blocks * matrix_.columns + column, &sum, static_cast<std::size_t>(wide) * sizeof(T));
      }
    });
  }

  /// One chunk of neighbouring columns, a register per lane.
  Vector column_block(const T* in, std::int64_t count, std::int64_t wide) const {
    return wide == width ? sum_lanes(count,
                                     [&](std::int64_t r) {
                                       Vector row;
                                       std::memcpy(&row, in + r * matrix_.columns, sizeof(row));
                                       return row;
                                     })
                         : sum_lanes(count, [&](std::int64_t r) {
                             Vector row{};
                             for (std::int64_t j = 0; j < wide; ++j) {
                               row[j] = in[r * matrix_.columns + j];
                             }
                             return row;
                           });
  }

  template <class Row>
  static Vector sum_lanes(std::int64_t count, const Row& row) {
    Vector lane[lanes] = {};
    std::int64_t r = 0;
    for (; r + lanes <= count; r += lanes) {
      for (std::int64_t l = 0; l < lanes; ++l) {
        lane[l] += row(r + l);
      }
    }
    for (std::int64_t l = 0; r + l < count; ++l) {
      lane[l] += row(r + l);
    }
    for (std::int64_t half = lanes / 2; half > 0; half /= 2) {
      for (std::int64_t l = 0; l < half; ++l) {
        lane[l] += lane[l + half];
      }
    }
    return lane[0];
  }

  Matrix matrix_;
  T divisor_;  ///< 0: a sum
  std::int64_t length_;
  std::int64_t chunks_;
  std::vector<T> partial_;
};

template <class T>
std::unique_ptr<PreparedKernel> make(const Matrix& matrix, bool mean) {
  const std::int64_t count = matrix.along_columns ? matrix.rows : matrix.columns;
  return std::make_unique<SumKernel<T>>(matrix, mean ? static_cast<T>(count) : T(0));
}

}  // namespace

std::unique_ptr<PreparedKernel> prepare_sum(const KernelCall& call) {
  const auto which = static_cast<Reduce>(call.op->kernel);
  const TensorView& input = call.inputs[0];
  Matrix matrix;
  if ((which != Reduce::sum && which != Reduce::mean) || !input.contiguous() || input.numel() == 0 ||
      !as_matrix(input, call.attributes.ints, matrix)) {
    return nullptr;
  }
  if (input.dtype == Dtype::f32) {
    return make<float>(matrix, which == Reduce::mean);
  }
  if (input.dtype == Dtype::f64) {
    return make<double>(matrix, which == Reduce::mean);
  }
  return nullptr;
}

}  // namespace twingrad::cpu
