// What the optimizers' sources share: penalties, and checks of options. Private to optim/.
#pragma once

#include <twingrad/ops/update.h>
#include <twingrad/tensor.h>

namespace twingrad::optim {

/// The gradient with l2 * p + l1 * sign(p) added; the gradient itself when both are 0.
Tensor add_penalties(const Tensor& gradient, const Tensor& parameter, double l2, double l1);

/// Throws ArgumentError "SGD: lr is -1; ..." unless `value` is finite and 0 or larger.
void check_not_negative(const char* optimizer, const char* option, double value);
/// Throws ArgumentError unless `value` is in [0, 1).
void check_below_one(const char* optimizer, const char* option, double value);

}  // namespace twingrad::optim
