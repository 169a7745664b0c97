// Products that go on with relu in their epilogue. Unfused, relu reads and writes the product's result once more.
#include "cuda/check.h"
#include "cuda/families.h"
#include "cuda/matmul_plans.h"
#include "cuda/matmul_probe.h"

#include <twingrad/formulas.h>
#include <twingrad/op.h>

#include <algorithm>

namespace twingrad::cuda {
namespace {

bool is_relu(const Op& op) {
  return op.family == Family::elementwise && op.kernel == formulas::index_in<formulas::Relu, formulas::Formulas>::value;
}

/// Operands that are not aligned as those it was tried with take two kernels, with the same bits.
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
    MatmulPlans& plans = *context_.matmul_plans;
    const void* bias = key_.bias ? addresses[2] : nullptr;
    ProductAlgorithm* algorithm = aligned ? plans.find(key_, bias, product_.op->name) : nullptr;
    if (algorithm != nullptr) {
      check(plans.queue(*algorithm, key_.dtype, addresses[0], addresses[1], addresses.back(), context_.stream),
            "cublasLtMatmul", product_.op->name);
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

/// Tries both ways.
bool pays(const Fusion& fusion, const ProductKey& key, Context& context) {
  const KernelCall& call = fusion.parts[0].call;
  MatmulPlans& plans = *context.matmul_plans;
  ProbeMemory memory(call, context);
  if (!memory.is_there()) {
    return false;
  }
  const std::vector<TensorView>& inputs = memory.inputs();
  const std::vector<TensorView>& outputs = memory.outputs();
  const auto apart = [&] {
    KernelCall product = call;
    product.inputs = inputs;
    product.output = outputs[1];
    run_matmul(product, context);
    KernelCall relu = fusion.parts[1].call;
    relu.inputs = {outputs[1]};
    relu.output = outputs[1];
    run_elementwise(relu, context);
  };
  apart();  // chooses the product's algorithm, which the epilogue takes over
  ProductAlgorithm* algorithm = plans.propose(key, key.bias ? inputs[2].data : nullptr, call.op->name);
  const auto fused = [&] {
    return plans.queue(*algorithm, key.dtype, inputs[0].data, inputs[1].data, outputs[0].data, context.stream) ==
           CUBLAS_STATUS_SUCCESS;
  };
  return algorithm != nullptr && epilogue_pays(memory, fused, apart, context);
}

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
    plans.judge(key, pays(fusion, key, context));
  }
  return *plans.verdict(key) ? std::make_unique<ProductWithRelu>(fusion, key, context) : nullptr;
}

}  // namespace twingrad::cuda
