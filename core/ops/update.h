// Optimizer updates as ops: each formula of update_formulas.h, applied to whole tensors in one pass over memory. The
// optimizers use it. Hyperparameters are data in the graph, so that a learning rate that changes needs no new plan.
//
//   Tensor next = update<formulas::Sgd>({parameter, gradient}, {lr});
//   Tensor same = update<formulas::Sgd>({parameter, gradient, lr_of_shape_1});  // one literal for many updates
#pragma once

#include <twingrad/op.h>
#include <twingrad/tensor.h>
#include <twingrad/update_formulas.h>

#include <initializer_list>
#include <vector>

namespace twingrad {

/// The row of an update formula; `kernel` is its index in formulas::UpdateFormulas.
const Op& update_op(int kernel);

/// `tensors`: the formula's inputs but the last, all of one shape, dtype and device; `hyperparameters`: the last.
/// Throws ShapeError, DtypeError, DeviceError, and ArgumentError for a wrong count.
Tensor update(const Op& row, std::initializer_list<Tensor> tensors, std::initializer_list<double> hyperparameters);

/// With the hyperparameters as the last of the tensors, a vector (n) of the others' dtype and device. Throws likewise.
Tensor update(const Op& row, std::initializer_list<Tensor> tensors);
template <class Formula>
Tensor update(std::initializer_list<Tensor> tensors) {
  return update(update_op(formulas::index_in<Formula, formulas::UpdateFormulas>::value), tensors);
}

template <class Formula>
Tensor update(std::initializer_list<Tensor> tensors, std::initializer_list<double> hyperparameters) {
  static_assert(Formula::hyperparameters <= 8, "a literal holds at most eight numbers of eight bytes");
  return update(update_op(formulas::index_in<Formula, formulas::UpdateFormulas>::value), tensors, hyperparameters);
}

}  // namespace twingrad
