#include <twingrad/ops/elementwise.h>
#include <twingrad/ops/rows.h>

#include <string>

namespace twingrad {
namespace {

bool takes_dtype(formulas::Takes takes, Dtype dtype) {
  return visit(dtype, [&]<class T>(Type<T>) { return formulas::accepts<T>(takes); });
}

std::string describe(formulas::Takes takes) {
  switch (takes) {
    case formulas::Takes::floats:
      return "floating-point numbers";
    case formulas::Takes::numbers:
      return "numbers";
    case formulas::Takes::bools:
      return "bool";
    case formulas::Takes::any:
      break;
  }
  return "any dtype";
}

}  // namespace

TensorType infer_elementwise(std::span<const TensorType> inputs, const ElementwiseSignature& signature) {
  if (signature.conditional && inputs[0].dtype != Dtype::boolean) {
    throw DtypeError("the condition must be bool, not " + std::string(name(inputs[0].dtype)) +
                     "; compare it first, as in x != 0");
  }
  const TensorType& last = inputs.back();
  if (!takes_dtype(signature.takes, last.dtype)) {
    throw DtypeError("takes " + describe(signature.takes) + ", not " + std::string(name(last.dtype)) +
                     "; cast it with to(...)");
  }
  TensorType result = inputs[0];
  for (std::size_t i = 1; i < inputs.size(); ++i) {
    if (i > 1 || !signature.conditional) {
      require_same_dtype(inputs[i - 1], inputs[i]);
    }
    result.shape = broadcast(result.shape, inputs[i].shape, "inputs");
  }
  result.dtype = signature.gives == formulas::Gives::boolean ? Dtype::boolean : last.dtype;
  return result;
}

}  // namespace twingrad
