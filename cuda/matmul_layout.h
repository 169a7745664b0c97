// What one matrix product is, in the terms cuBLASLt thinks in, worked out from row-major views. Pure arithmetic; the
// tests check it without a GPU.
//
// cuBLASLt is column-major. Row-major memory read column-major is the transpose, so out = a b is asked for as
// out^T = b^T a^T: b is its first operand, a its second, and no data moves.
#pragma once

#include "cuda/strided.h"

#include <twingrad/error.h>
#include <twingrad/kernel_call.h>
#include <twingrad/op.h>

#include <compare>
#include <optional>
#include <string>

namespace twingrad::cuda {

/// One operand's matrix in memory.
struct MatrixLayout {
  bool row_major = true;
  std::int64_t leading = 1;  ///< elements from one row (column) to the next
  friend auto operator<=>(const MatrixLayout&, const MatrixLayout&) = default;
};

/// The layout of a rows x columns matrix, nothing where it has neither. An axis of length 1 may have any stride.
inline std::optional<MatrixLayout> matrix_layout(std::int64_t rows, std::int64_t columns, std::int64_t row_stride,
                                                 std::int64_t column_stride) {
  if ((columns == 1 || column_stride == 1) && (rows == 1 || row_stride >= columns)) {
    return MatrixLayout{true, rows == 1 ? columns : row_stride};
  }
  if ((rows == 1 || row_stride == 1) && (columns == 1 || column_stride >= rows)) {
    return MatrixLayout{false, columns == 1 ? rows : column_stride};
  }
  return std::nullopt;
}

/// The layout of a product's operand. Throws ShapeError for one that has neither.
inline MatrixLayout layout_of(const KernelCall& call, const TensorView& view) {
  const int last = view.shape.size() - 1;
  const auto layout = matrix_layout(view.shape[last - 1], view.shape[last], view.strides[last - 1], view.strides[last]);
  if (!layout) {
    throw ShapeError(std::string(call.op->name) + ": a matrix of shape " + to_string(view.shape) + " with strides " +
                     to_string(view.strides) + " is neither row-major nor column-major; copy it first");
  }
  return *layout;
}

/// A strided batch of products: out[i] = a[i] b[i], out contiguous.
struct Product {
  std::int64_t m = 0, n = 0, k = 0;
  std::int64_t batch = 1;
  MatrixLayout a, b;
  std::int64_t a_step = 0, b_step = 0;  ///< elements from one matrix of the batch to the next; 0 where broadcast
  friend auto operator<=>(const Product&, const Product&) = default;
};

/// The products of one call: the batched one, and the axes around it that one batch cannot express.
struct ProductPlan {
  Product product;
  Box<3> loop;  ///< element offsets of a, b and out
};

/// Merges batch axes where both operands allow it; the innermost becomes the batch; a batch of row-major matrices a
/// side by side against one b becomes one product with more rows.
inline ProductPlan plan_products(const Shape& out_shape, const TensorView& a, const TensorView& b,
                                 const MatrixLayout& a_layout, const MatrixLayout& b_layout) {
  const int last = out_shape.size() - 1;
  ProductPlan plan;
  Product& product = plan.product;
  product.m = out_shape[last - 1];
  product.n = out_shape[last];
  product.k = a.shape[last];
  product.a = a_layout;
  product.b = b_layout;
  const Strides out_strides = contiguous_strides(out_shape);
  Box<3> axes;
  for (int axis = 0; axis + 1 < last; ++axis) {
    axes.push_back(out_shape[axis], {{a.strides[axis], b.strides[axis], out_strides[axis]}});
  }
  plan.loop = collapse(axes);
  if (plan.loop.rank == 0) {
    return plan;
  }
  const int inner = plan.loop.rank - 1;
  const std::int64_t batch = plan.loop.size[inner];
  const std::int64_t a_step = plan.loop.stride[0][inner];
  const std::int64_t b_step = plan.loop.stride[1][inner];
  if (b_step == 0 && a_layout.row_major && a_step == product.m * a_layout.leading) {
    product.m *= batch;
  } else if (a_step >= 0 && b_step >= 0 && batch <= 0x7fffffff) {
    product.batch = batch;
    product.a_step = a_step;
    product.b_step = b_step;
  } else {
    return plan;
  }
  --plan.loop.rank;
  return plan;
}

/// Whether a call may round its float32 operands to TF32 first: see tf32_bits.
inline bool takes_tf32(const KernelCall& call) {
  return call.output.dtype == Dtype::f32 && !call.attributes.ints.empty();
}

/// The largest power of two up to 16 that divides the address.
inline std::uint32_t alignment_of(std::uintptr_t address) {
  const std::uintptr_t lowest = address & (~address + 1);
  return lowest == 0 || lowest > 16 ? 16U : static_cast<std::uint32_t>(lowest);
}

inline std::uint32_t alignment_of(const void* memory) {
  return alignment_of(reinterpret_cast<std::uintptr_t>(memory));
}

}  // namespace twingrad::cuda
