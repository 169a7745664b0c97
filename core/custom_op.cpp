#include <twingrad/custom_op.h>
#include <twingrad/graph/node.h>

#include <string>

namespace twingrad {
namespace {

TensorType as_first_input(std::span<const TensorType> inputs, const Attributes&) {
  return inputs[0];
}

}  // namespace

CustomOp::CustomOp(const Op& row) : row_(row) {
  if (row.name.empty()) {
    throw ArgumentError("a custom op needs a name");
  }
  for (const Op* other : all_ops()) {
    if (other->name == row.name) {
      throw ArgumentError("the custom op '" + std::string(row.name) +
                          "' has the name of a built-in op; choose another");
    }
  }
  if (row.custom_cpu == nullptr) {
    throw ArgumentError("the custom op '" + std::string(row.name) +
                        "' has no CPU kernel; set custom_cpu, which the checks take as reference too");
  }
  row_.family = Family::custom;
  row_.infer = row.infer == nullptr ? as_first_input : row.infer;
}

Tensor CustomOp::use(std::span<const Operand> inputs, Attributes attributes) const {
  return apply(row_, inputs, std::move(attributes));
}

namespace detail {

void require_elementwise(const KernelCall& call) {
  for (const TensorView& input : call.inputs) {
    if (!is_floating(call.output.dtype) || input.dtype != call.output.dtype) {
      throw DtypeError(std::string(call.op->name) + ": map_elements takes floating-point inputs of the output's dtype");
    }
    if (!(input.shape == call.output.shape)) {
      throw ShapeError(std::string(call.op->name) + ": map_elements takes inputs of the output's shape " +
                       to_string(call.output.shape) + ", not " + to_string(input.shape));
    }
  }
}

}  // namespace detail

}  // namespace twingrad
