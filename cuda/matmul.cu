// Matrix products through cuBLASLt. The bias is added in the product's epilogue where cuBLASLt can, else by one more
// pass over the output. float32 is float32, and TF32 only where the call asks for it.
#include "cuda/element.cuh"
#include "cuda/families.h"
#include "cuda/launch.h"
#include "cuda/matmul_plans.h"
#include "cuda/matmul_tuner.h"

#include <cstdint>

namespace twingrad::cuda {
namespace {

/// out[i] = bias[i mod n], or 0. Writes once; limit: memory bandwidth.
template <class T>
__global__ void __launch_bounds__(default_threads)
    fill_bias(T* out, const T* bias, std::int64_t count, Divisor64 columns) {
  const std::int64_t i = std::int64_t{blockIdx.x} * default_threads + threadIdx.x;
  if (i < count) {
    out[i] = bias == nullptr ? from_compute<T>(0) : bias[i - columns.quotient(i) * columns.size()];
  }
}

/// out[i] += bias[i mod n]. Reads and writes once; limit: memory bandwidth.
template <class T>
__global__ void __launch_bounds__(default_threads)
    add_bias(T* out, const T* bias, std::int64_t count, Divisor64 columns) {
  const std::int64_t i = std::int64_t{blockIdx.x} * default_threads + threadIdx.x;
  if (i < count) {
    out[i] = from_compute<T>(to_compute(out[i]) + to_compute(bias[i - columns.quotient(i) * columns.size()]));
  }
}

std::byte* element(const TensorView& view, std::int64_t offset) {
  return view.as<std::byte>() + offset * static_cast<std::int64_t>(size_of(view.dtype));
}

/// Queues out = a b (+ bias). False, and nothing is queued, when cuBLASLt has no algorithm for it.
bool multiply(const KernelCall& call, Context& context, const Product& product, const void* a, const void* b, void* out,
              const void* bias) {
  const ProductKey key{.product = product,
                       .dtype = call.output.dtype,
                       .bias = bias != nullptr,
                       .tf32 = takes_tf32(call),
                       .a_alignment = alignment_of(a),
                       .b_alignment = alignment_of(b),
                       .out_alignment = alignment_of(out)};
  MatmulPlans& plans = *context.matmul_plans;
  if (context.matmul_tuner != nullptr) {
    context.matmul_tuner->choose(call, key, context);
  }
  ProductAlgorithm* algorithm = plans.find(key, bias, call.op->name);
  if (algorithm == nullptr) {
    return false;
  }
  check(plans.queue(*algorithm, key.dtype, a, b, out, context.stream), "cublasLtMatmul", call.op->name);
  return true;
}

/// All products of the call, with the bias in the epilogue or without. False when there is no algorithm; the first
/// product tells for all, or alignment differs between them and the caller starts over.
bool multiply_all(const KernelCall& call, Context& context, const ProductPlan& plan, const void* bias) {
  const Offsets64<3> offsets(plan.loop);
  const std::int64_t count = plan.loop.numel();
  for (std::int64_t i = 0; i < count; ++i) {
    std::int64_t offset[3];
    offsets.locate(i, offset);
    if (!multiply(call, context, plan.product, element(call.inputs[0], offset[0]), element(call.inputs[1], offset[1]),
                  element(call.output, offset[2]), bias)) {
      return false;
    }
  }
  return true;
}

template <class T>
void run(const KernelCall& call, Context& context) {
  const TensorView& a = call.inputs[0];
  const TensorView& b = call.inputs[1];
  const std::string_view op = call.op->name;
  const T* bias = call.inputs.size() > 2 ? static_cast<const T*>(call.inputs[2].data) : nullptr;
  T* out = call.output.as<T>();
  const std::int64_t count = call.output.numel();
  const Divisor64 columns(call.output.shape.back());
  if (a.shape.back() == 0) {
    launch(context, op, fill_bias<T>, blocks_for(count), default_threads, out, bias, count, columns);
    return;
  }
  const ProductPlan plan = plan_products(call.output.shape, a, b, layout_of(call, a), layout_of(call, b));
  // cuBLASLt has no float64 bias, and wants the others aligned like its vectors.
  const bool fused = bias != nullptr && !std::is_same_v<T, double> && alignment_of(bias) == 16;
  if (fused && multiply_all(call, context, plan, bias)) {
    return;
  }
  if (!multiply_all(call, context, plan, nullptr)) {
    throw DeviceError(std::string(op) + ": cuBLASLt has no algorithm for " + to_string(a.shape) + " (strides " +
                      to_string(a.strides) + ") times " + to_string(b.shape) + " (strides " + to_string(b.strides) +
                      ") in " + std::string(name(call.output.dtype)) + "; make the operands contiguous");
  }
  if (bias != nullptr) {
    launch(context, op, add_bias<T>, blocks_for(count), default_threads, out, bias, count, columns);
  }
}

}  // namespace

void run_matmul(const KernelCall& call, Context& context) {
  visit(call.output.dtype, [&]<class T>(Type<T>) {
    if constexpr (std::is_floating_point_v<compute_t<T>>) {
      run<T>(call, context);
    } else {
      throw DtypeError(std::string(call.op->name) + ": takes floating dtypes, not " +
                       std::string(name(call.output.dtype)));
    }
  });
}

}  // namespace twingrad::cuda
