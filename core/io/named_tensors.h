// Tensors under names, in order: what a module's state, an optimizer's state and a safetensors file are made of.
//
//   tg::NamedTensors best = model.state();
//   model.load_state(best);
#pragma once

#include <twingrad/tensor.h>

#include <string>
#include <utility>
#include <vector>

namespace twingrad {

using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

/// What keeps `found` from taking the place of `expected`: every name that is missing, unexpected or there twice, and
/// every shape and dtype that differs, one per line. Empty when they fit; the order does not matter.
std::string describe_mismatch(const NamedTensors& expected, const NamedTensors& found);

/// The tensor called `name`. Throws ArgumentError that lists the names when there is none.
const Tensor& find(const NamedTensors& tensors, const std::string& name);

}  // namespace twingrad
