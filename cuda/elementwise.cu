// Sends an elementwise call to the file that holds its formula.
#include "cuda/families.h"

namespace twingrad::cuda {

void run_elementwise(const KernelCall& call, Context& context) {
  if (call.inputs.size() == 1) {
    run_elementwise_unary(call, context);
  } else {
    run_elementwise_binary(call, context);
  }
}

}  // namespace twingrad::cuda
