// Elementwise formulas of two and three inputs.
#include "cuda/elementwise.cuh"

namespace twingrad::cuda {

std::unique_ptr<PreparedKernel> prepare_elementwise_binary(const KernelCall& call, Context& context) {
  static constexpr auto table = elementwise::make_table<2, 3>(static_cast<const formulas::Formulas*>(nullptr));
  return elementwise::dispatch(table, call, context);
}

}  // namespace twingrad::cuda
