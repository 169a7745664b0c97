// Elementwise formulas of two and three inputs.
#include "cuda/elementwise.cuh"

namespace twingrad::cuda {

void run_elementwise_binary(const KernelCall& call, Context& context) {
  static constexpr auto table = elementwise::make_table<2, 3>(static_cast<const formulas::Formulas*>(nullptr));
  elementwise::dispatch(table, call, context);
}

}  // namespace twingrad::cuda
