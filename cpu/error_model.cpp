// How the CPU's kernels round. Orders are those that lanes.h, scan.cpp, index.cpp and float32_gemm.h state; oneDNN
// decides its own, so plain sequential summation, which loses most, stands in for it.
#include <twingrad/op.h>

#include "cpu/families.h"
#include "cpu/lanes.h"
#include "cpu/matmul.h"

namespace twingrad::cpu {
namespace {

// The largest errors of lane_math.h and lane_wide.h over all 2^32 floats, against the C library's float64 functions,
// were exp 1.02, expm1 1.66, log 0.86, log1p 0.88, sin and cos 0.501, tanh 1.47, erf 1.44 units in the last place of
// the result, and pow's 0.53 over every 5000th float and nine exponents. tests/cpu/lane_math_test.cpp holds them to
// these:
constexpr FunctionUlps lanes_of_floats{.exp = 1.25,
                                       .expm1 = 1.75,
                                       .log = 1,
                                       .log1p = 1,
                                       .sin = 0.75,
                                       .cos = 0.75,
                                       .tanh = 1.5,
                                       .erf = 1.5,
                                       .pow = 0.75,
                                       .sqrt = 0.5,
                                       .divide = 0.5};

// float64 is computed by the C library. The largest errors that glibc's manual lists for x86-64 ("Errors in Math
// Functions").
constexpr FunctionUlps glibc{.exp = 1,
                             .expm1 = 1,
                             .log = 1,
                             .log1p = 1,
                             .sin = 1,
                             .cos = 1,
                             .tanh = 2,
                             .erf = 1,
                             .pow = 1,
                             .sqrt = 0.5,
                             .divide = 0.5};

}  // namespace

ErrorModel error_model(const KernelCall& call) {
  const bool wide = call.output.dtype == Dtype::f64;
  ErrorModel model{.ulps = wide ? glibc : lanes_of_floats, .accumulator_bits = wide ? 53 : 24};
  switch (call.op->family) {
    case Family::view:
    case Family::elementwise:
    case Family::update:
    case Family::arg_reduce:
    case Family::scan:
    case Family::index:
    case Family::random:
    case Family::copy:
    case Family::custom:
      return model;  // one element, or one term after the other
    case Family::reduce:
    case Family::rows:
      model.order = {.lanes = lanes, .chunk = chunk};
      return model;
    case Family::matmul:
      model.order = Matmul::order(call);
      // The processor's dot product of bfloat16 pairs takes subnormals for 0 and gives none.
      model.flushes_subnormals = call.output.dtype == Dtype::bf16;
      return model;
  }
  return model;
}

}  // namespace twingrad::cpu
