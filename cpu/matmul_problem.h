// A call of Family::matmul taken apart: the matrices that are multiplied, and the batches of them. matmul.cpp, the
// product's engines and the error model read calls through it.
//
//   const Batches batches = describe(call);
//   batches.for_each(a, b, c, [&](void* a, void* b, void* c) { engine.run(batches.problem, a, b, bias, c); });
#pragma once

#include <twingrad/kernel_call.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "cpu/strided.h"

namespace twingrad::cpu {

/// One operand's matrices: strides of a row, a column and of the innermost batch axis.
struct MatrixLayout {
  std::int64_t row = 0;
  std::int64_t column = 0;
  std::int64_t batch = 0;
  friend auto operator<=>(const MatrixLayout&, const MatrixLayout&) = default;
};

/// One product, or `batch` of them at constant strides; the results lie one after the other.
struct Problem {
  Dtype dtype = Dtype::f32;
  std::int64_t m = 0, n = 0, k = 0;
  std::int64_t batch = 1;
  MatrixLayout a, b;
  bool bias = false;
  friend auto operator<=>(const Problem&, const Problem&) = default;
};

inline std::byte* element(void* data, Dtype dtype, std::int64_t offset) {
  return static_cast<std::byte*>(data) + offset * static_cast<std::int64_t>(size_of(dtype));
}

/// The same problem for every position of the outer batch axes.
struct Batches {
  Problem problem;
  std::int64_t copies;  ///< the same product many times is computed once and copied
  std::int64_t matrix;  ///< elements of one result
  StridedLoop<2> walk;  ///< over the batch axes of a and b

  /// Whether it is one product in all.
  bool single() const { return walk.rank() == 1 && problem.batch == 1 && copies == 1; }

  /// Calls product(a, b, c) on the first elements of every problem's operands and result.
  template <class Product>
  void for_each(void* a, void* b, void* c, const Product& product) const {
    const Dtype dtype = problem.dtype;
    if (single()) {
      product(a, b, c);
      return;
    }
    walk.for_each_run(0, walk.numel(), [&](std::int64_t flat, const auto& offsets, std::int64_t) {
      std::byte* result = element(c, dtype, flat * matrix);
      product(element(a, dtype, offsets[0]), element(b, dtype, offsets[1]), result);
      const std::int64_t bytes = matrix * static_cast<std::int64_t>(size_of(dtype));
      for (std::int64_t copy = 1; copy < copies; ++copy) {
        std::memcpy(result + copy * bytes, result, static_cast<std::size_t>(bytes));
      }
    });
  }
};

/// Batch axes that can be merged are; a batch against one matrix b becomes more rows of a. Looks at no data. Throws
/// ShapeError for a layout that Family::matmul does not allow.
Batches describe(const KernelCall& call);

}  // namespace twingrad::cpu
