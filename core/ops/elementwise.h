// Builds the row of an elementwise formula: what formulas.h says of it stands there only. Used by unary.cpp and
// binary.cpp.
#pragma once

#include <twingrad/formulas.h>
#include <twingrad/op.h>

#include <span>
#include <type_traits>

namespace twingrad {

struct ElementwiseSignature {
  formulas::Takes takes;
  formulas::Gives gives;
  bool conditional;  ///< the first input is a bool condition
};

/// Broadcast shape, dtype checked. Throws ShapeError, DtypeError.
TensorType infer_elementwise(std::span<const TensorType> inputs, const ElementwiseSignature& signature);

/// `row` with name, kernel, arity and type rule of `Formula`.
template <class Formula>
constexpr Op elementwise(Op row) {
  row.name = Formula::name;
  row.family = Family::elementwise;
  row.kernel = formulas::index_in<Formula, formulas::Formulas>::value;
  row.min_inputs = Formula::arity;
  row.max_inputs = Formula::arity;
  row.infer = [](std::span<const TensorType> inputs, const Attributes&) {
    return infer_elementwise(inputs, {Formula::takes, Formula::gives, std::is_same_v<Formula, formulas::Where>});
  };
  return row;
}

}  // namespace twingrad
