// Elementwise formulas of one input.
#include "cuda/elementwise.cuh"

namespace twingrad::cuda {

std::unique_ptr<PreparedKernel> prepare_elementwise_unary(const KernelCall& call, Context& context) {
  static constexpr auto table = elementwise::make_table<1, 1>(static_cast<const formulas::Formulas*>(nullptr));
  return elementwise::dispatch(table, call, context);
}

}  // namespace twingrad::cuda
