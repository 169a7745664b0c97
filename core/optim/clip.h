// Clipping of gradients: on the device, as part of the step, without asking for a value.
//
//   adam.step(tg::optim::clip_norm(tg::gradients(loss, model.parameters()), 1.0));
//   adam.step(tg::optim::clip_norm(tg::optim::grads(model.parameters()), 1.0));   // after loss.backward()
#pragma once

#include <twingrad/tensor.h>

#include <source_location>
#include <vector>

namespace twingrad::optim {

/// Euclidean norm of all elements of all gradients together, shape (): float64 when one of them is, else float32.
/// Undefined gradients do not count; of none at all it is 0.
Tensor global_norm(const std::vector<Tensor>& gradients, std::source_location where = std::source_location::current());
/// All gradients times min(1, max_norm / (global_norm + 1e-6)) (Pascanu et al., 2013; the 1e-6 is PyTorch's). A NaN
/// anywhere makes all of them NaN. Throws ArgumentError unless max_norm > 0.
std::vector<Tensor> clip_norm(std::vector<Tensor> gradients, double max_norm,
                              std::source_location where = std::source_location::current());
/// Every element clamped to [-max_value, max_value]. Throws ArgumentError unless max_value > 0.
std::vector<Tensor> clip_value(std::vector<Tensor> gradients, double max_value,
                               std::source_location where = std::source_location::current());

}  // namespace twingrad::optim
