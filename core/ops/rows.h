// What the files of rows in this folder share: their lists, which all_ops() joins, and what gradient rules are
// written with.
#pragma once

#include <twingrad/graph/node.h>
#include <twingrad/op.h>
#include <twingrad/ops.h>

#include <cstddef>
#include <string>
#include <vector>

namespace twingrad {

/// The rows of one file, in the order of the op reference.
using OpRows = std::vector<const Op*>;
OpRows unary_rows();
OpRows binary_rows();
OpRows reduce_rows();
OpRows matmul_rows();
OpRows normalize_rows();
OpRows layout_rows();
OpRows copy_rows();
OpRows index_rows();
OpRows random_rows();
OpRows update_rows();

/// The row of to_device(). The executor copies between devices itself when it meets it.
extern const Op to_device_op;
/// Axes in another order; a product's gradient rule looks for it.
extern const Op permute_op;
/// The row of contiguous() (Family::copy, Copy::cast, no attributes). The planner inserts it where a kernel needs its
/// input without gaps.
extern const Op contiguous_op;

/// g where x > 0 or NaN, else 0.
Tensor relu_grad(const Tensor& x, const Tensor& g);
/// -y log(sigmoid(x)) - (1 - y) log(1 - sigmoid(x)), element by element.
Tensor bce_with_logits(const Tensor& x, const Tensor& y);
/// x^exponent with the exponent as part of the graph's structure.
Tensor pow_scalar(Operand x, double exponent);
/// Zeros of `length` along `axis` with x at start, start + step, ...: the gradient of slice.
Tensor slice_embed(const Tensor& x, int axis, std::int64_t start, std::int64_t step, std::int64_t length);

/// What a gradient rule gives: one tensor per input.
using Gradients = std::vector<Tensor>;

inline Tensor zeros_like(const Tensor& x) {
  return zeros(x.shape(), {.dtype = x.dtype(), .device = x.device()});
}

/// Calls one rule per input that needs a gradient, and sums what it gives to the input's shape.
template <class... Rules>
Gradients per_input(const GradientCall& call, const Rules&... rules) {
  Gradients result;
  const auto add_one = [&](const auto& rule) {
    const std::size_t i = result.size();
    const Tensor gradient = call.needed[i] ? rule() : Tensor();
    result.push_back(gradient.defined() ? sum_to(gradient, call.inputs[i].shape()) : gradient);
  };
  (add_one(rules), ...);
  return result;
}

/// The output has the type of the first input.
inline TensorType same_type(std::span<const TensorType> inputs, const Attributes&) {
  return inputs[0];
}

/// A float64 input of a sample.
inline TensorType sample_of(const Shape& shape) {
  return {shape, Dtype::f64};
}
inline TensorType sample_index(const Shape& shape) {
  return {shape, Dtype::i64};
}

/// Throws DtypeError unless `type` is floating-point.
inline void require_floating(const TensorType& type) {
  if (!is_floating(type.dtype)) {
    throw DtypeError("takes floating-point numbers, not " + std::string(name(type.dtype)) + "; cast it with to(...)");
  }
}
/// Throws DtypeError unless both have one dtype.
inline void require_same_dtype(const TensorType& a, const TensorType& b) {
  if (a.dtype != b.dtype) {
    throw DtypeError("takes inputs of one dtype, not " + std::string(name(a.dtype)) + " and " +
                     std::string(name(b.dtype)) + "; cast one with to(...)");
  }
}

}  // namespace twingrad
