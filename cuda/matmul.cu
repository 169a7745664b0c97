// Matrix products through cuBLASLt. The bias is added in the product's epilogue where cuBLASLt can, else by one more
// pass over the output. float32 is float32, and TF32 only where the call asks for it.
#include "cuda/element.cuh"
#include "cuda/families.h"
#include "cuda/launch.h"
#include "cuda/matmul_plans.h"
#include "cuda/matmul_probe.h"

#include <twingrad/formulas.h>

#include <cstdint>
#include <utility>

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

MatrixLayout layout_of(const KernelCall& call, const TensorView& view) {
  const int last = view.shape.size() - 1;
  const auto layout = matrix_layout(view.shape[last - 1], view.shape[last], view.strides[last - 1], view.strides[last]);
  if (!layout) {
    throw ShapeError(std::string(call.op->name) + ": a matrix of shape " + to_string(view.shape) + " with strides " +
                     to_string(view.strides) + " is neither row-major nor column-major; copy it first");
  }
  return *layout;
}

std::byte* element(const TensorView& view, std::int64_t offset) {
  return view.as<std::byte>() + offset * static_cast<std::int64_t>(size_of(view.dtype));
}

std::uint32_t alignment_of(const void* memory) {
  return cuda::alignment_of(reinterpret_cast<std::uintptr_t>(memory));
}

/// Queues out = a b (+ bias) by this algorithm.
void queue(const KernelCall& call, Context& context, ProductAlgorithm* plan, const void* a, const void* b, void* out) {
  MatmulPlans& plans = *context.matmul_plans;
  const double one64 = 1.0;
  const double zero64 = 0.0;
  const float one32 = 1.0F;
  const float zero32 = 0.0F;
  const bool is_double = call.output.dtype == Dtype::f64;
  const void* alpha = is_double ? static_cast<const void*>(&one64) : &one32;
  const void* beta = is_double ? static_cast<const void*>(&zero64) : &zero32;
  check(cublasLtMatmul(plans.handle(), &plan->operation, alpha, b, &plan->first, a, &plan->second, beta, out,
                       &plan->out, out, &plan->out, &plan->algorithm, plans.workspace(), MatmulPlans::workspace_bytes,
                       context.stream),
        "cublasLtMatmul", call.op->name);
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
  ProductAlgorithm* plan = context.matmul_plans->find(key, bias, call.op->name);
  if (plan == nullptr) {
    return false;
  }
  queue(call, context, plan, a, b, out);
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

bool is_relu(const Op& op) {
  return op.family == Family::elementwise && op.kernel == formulas::index_in<formulas::Relu, formulas::Formulas>::value;
}

/// A product with relu in its epilogue. Operands that are not aligned as those it was tried with take two kernels.
class ProductWithRelu final : public PreparedKernel {
 public:
  ProductWithRelu(const Fusion& fusion, const ProductKey& key, Context& context)
      : product_(fusion.parts[0].call), relu_(fusion.parts[1].call), key_(key), context_(context) {}

  void run(std::span<void* const> addresses, const std::source_location& where) override {
    check(cudaSetDevice(context_.device), "cudaSetDevice");
    for (std::size_t i = 0; i < product_.inputs.size(); ++i) {
      product_.inputs[i].data = addresses[i];
    }
    product_.output.data = relu_.inputs[0].data = relu_.output.data = addresses.back();
    product_.where = relu_.where = where;
    const bool aligned = std::all_of(addresses.begin(), addresses.end(),
                                     [](const void* address) { return alignment_of(address) == 16; });
    ProductAlgorithm* plan =
        aligned ? context_.matmul_plans->find(key_, key_.bias ? addresses[2] : nullptr, product_.op->name) : nullptr;
    if (plan != nullptr) {
      queue(product_, context_, plan, addresses[0], addresses[1], addresses.back());
    } else {
      run_matmul(product_, context_);
      run_elementwise(relu_, context_);
    }
  }

 private:
  KernelCall product_;
  KernelCall relu_;
  ProductKey key_;
  Context& context_;
};

}  // namespace

std::unique_ptr<PreparedKernel> fuse_product(const Fusion& fusion, Context& context) {
  const KernelCall& call = fusion.parts[0].call;
  if (fusion.parts.size() != 2 || fusion.parts[0].stored || !is_relu(*fusion.parts[1].call.op) ||
      call.output.dtype == Dtype::f64 || call.inputs[0].shape.back() == 0) {
    return nullptr;
  }
  const ProductPlan plan = plan_products(call.output.shape, call.inputs[0], call.inputs[1],
                                         layout_of(call, call.inputs[0]), layout_of(call, call.inputs[1]));
  if (plan.loop.numel() != 1) {
    return nullptr;
  }
  const ProductKey key{.product = plan.product,
                       .dtype = call.output.dtype,
                       .bias = call.inputs.size() > 2,
                       .relu = true,
                       .tf32 = takes_tf32(call)};
  MatmulPlans& plans = *context.matmul_plans;
  if (!plans.verdict(key)) {
    ProbeMemory memory(call, context);
    const auto fused = [&] {
      ProductAlgorithm* algorithm = plans.propose(key, key.bias ? memory.inputs()[2].data : nullptr, call.op->name);
      if (algorithm != nullptr) {
        queue(call, context, algorithm, memory.inputs()[0].data, memory.inputs()[1].data, memory.outputs()[0].data);
      }
      return algorithm != nullptr;
    };
    const auto apart = [&] {
      KernelCall product = call;
      product.inputs = memory.inputs();
      product.output = memory.outputs()[1];
      run_matmul(product, context);
      KernelCall relu = fusion.parts[1].call;
      relu.inputs = {product.output};
      relu.output = product.output;
      run_elementwise(relu, context);
    };
    plans.judge(key, memory.is_there() && epilogue_pays(memory, fused, apart, context));
  }
  return *plans.verdict(key) ? std::make_unique<ProductWithRelu>(fusion, key, context) : nullptr;
}

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
