// Sends an elementwise call to the file that holds its formula.
#include "cuda/families.h"

namespace twingrad::cuda {

std::unique_ptr<PreparedKernel> prepare_elementwise(const KernelCall& call, Context& context) {
  return call.inputs.size() == 1 ? prepare_elementwise_unary(call, context) : prepare_elementwise_binary(call, context);
}

void run_elementwise(const KernelCall& call, Context& context) {
  std::vector<void*> addresses;
  for (const TensorView& input : call.inputs) {
    addresses.push_back(input.data);
  }
  addresses.push_back(call.output.data);
  prepare_elementwise(call, context)->run(addresses, call.where);
}

}  // namespace twingrad::cuda
