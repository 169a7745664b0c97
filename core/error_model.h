// What a backend declares about the rounding of its kernels. The cross-check (check/) derives every bound from it, so a
// kernel whose declaration is missing does not build, and one whose declaration is wrong is a finding.
#pragma once

#include <twingrad/dtype.h>

#include <cstdint>
#include <limits>

namespace twingrad {

/// The order in which a kernel sums n terms. Terms are cut into chunks of `chunk`; within one, term i goes to lane
/// i % lanes and each lane adds its terms in order; lanes are folded in halves (l takes l + lanes / 2, ...), chunks by
/// neighbours (0 with 1, 2 with 3, ...). {1, infinite} is plain sequential summation.
struct SumOrder {
  std::int64_t lanes = 1;
  std::int64_t chunk = std::numeric_limits<std::int64_t>::max();
  /// False where a library decides (oneDNN, cuBLAS): then the order given stands in for the deviation, the worst case
  /// holds for every order, and only a result outside it is a finding.
  bool known = true;
};

/// Largest errors of the mathematical functions in units in the last place of the result.
struct FunctionUlps {
  double exp = 1, expm1 = 1, log = 1, log1p = 1, sin = 1, cos = 1, tanh = 1, erf = 1, pow = 1, sqrt = 0.5, divide = 0.5;
};

struct ErrorModel {
  SumOrder order{};
  FunctionUlps ulps{};
  /// Significant bits of the accumulator: 24 for float32, 53 for float64.
  int accumulator_bits = 24;
  /// Significant bits that the operands of a product are rounded to first: 11 for TF32; 0: none are lost.
  int operand_bits = 0;
  bool flushes_subnormals = false;
};

/// Significant bits of a floating-point dtype: float32 24, float64 53, bfloat16 8, float16 11; 0 for the others.
constexpr int significant_bits(Dtype dtype) {
  switch (dtype) {
    case Dtype::f32:
      return 24;
    case Dtype::f64:
      return 53;
    case Dtype::bf16:
      return 8;
    case Dtype::f16:
      return 11;
    case Dtype::i32:
    case Dtype::i64:
    case Dtype::u8:
    case Dtype::boolean:
      return 0;
  }
  return 0;
}

}  // namespace twingrad
