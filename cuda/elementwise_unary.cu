// Elementwise formulas of one input.
#include "cuda/elementwise.cuh"

namespace twingrad::cuda {

void run_elementwise_unary(const KernelCall& call, Context& context) {
  static constexpr auto table = elementwise::make_table<1, 1>(static_cast<const formulas::Formulas*>(nullptr));
  elementwise::dispatch(table, call, context);
}

}  // namespace twingrad::cuda
