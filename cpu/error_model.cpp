// How the CPU's kernels round. Orders are those that lanes.h, scan.cpp, index.cpp and float32_gemm.h state; oneDNN
// decides its own, so plain sequential summation, which loses most, stands in for it.
#include <twingrad/op.h>

#include "cpu/families.h"
#include "cpu/lanes.h"
#include "cpu/matmul.h"

namespace twingrad::cpu {
namespace {

// The largest errors that glibc's manual lists for x86-64 ("Errors in Math Functions"), float and double alike.
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
  ErrorModel model{.ulps = glibc, .accumulator_bits = call.output.dtype == Dtype::f64 ? 53 : 24};
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
