// How the CUDA kernels round. Orders are those that reduce.cuh, rows.cuh, scan.cu and index_add.cu state; cuBLASLt
// decides its own, so plain sequential summation stands in for the deviation, and the worst case holds for every order.
#include "cuda/families.h"
#include "cuda/matmul_layout.h"
#include "cuda/reduce_plan.h"
#include "cuda/row_plan.h"

#include <twingrad/kernels.h>
#include <twingrad/op.h>

namespace twingrad::cuda {
namespace {

// The largest errors that the CUDA C++ Programming Guide lists ("Mathematical Functions", without fast-math), the
// larger one of float and double.
constexpr FunctionUlps cuda_functions() {
  FunctionUlps ulps;
  ulps.exp = 2;
  ulps.expm1 = 1;
  ulps.log = 1;
  ulps.log1p = 1;
  ulps.sin = 2;
  ulps.cos = 2;
  ulps.tanh = 2;
  ulps.erf = 2;
  ulps.pow = 4;
  ulps.sqrt = 0.5;
  ulps.divide = 0.5;
  return ulps;
}

// Threads of a group times the accumulators of each: how many partial sums a chunk has. (The chunks' results are folded
// by lanes as well, not by neighbours: no more than a few additions deeper for thousands of chunks.)
SumOrder reduction_order(const KernelCall& call) {
  const TensorView& x = call.inputs[0];
  const ReducePlan plan = plan_reduction(x.shape, x.strides, call.attributes.ints);
  const std::int64_t unroll = size_of(x.dtype) <= 2 ? 8 : 4;
  const std::int64_t threads = plan.columns ? 512 / plan.group : plan.group;
  return {threads * unroll, plan.chunk, true};
}

}  // namespace

ErrorModel error_model(const KernelCall& call) {
  ErrorModel model;
  model.ulps = cuda_functions();
  model.accumulator_bits = call.output.dtype == Dtype::f64 ? 53 : 24;
  switch (call.op->family) {
    case Family::view:
    case Family::elementwise:
    case Family::update:
    case Family::arg_reduce:
    case Family::index:
    case Family::random:
    case Family::copy:
    case Family::custom:
      return model;  // one element, or one term after the other
    case Family::scan:
      model.order.known = false;
      return model;
    case Family::matmul:
      model.order.known = false;
      model.operand_bits = takes_tf32(call) ? static_cast<int>(tf32_bits) : 0;
      return model;
    case Family::reduce:
      model.order = reduction_order(call);
      return model;
    case Family::rows:
      model.order.lanes = row_threads(call.inputs[0].shape.back());
      return model;
  }
  return model;
}

}  // namespace twingrad::cuda
