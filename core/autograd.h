// Reverse-mode differentiation. Gradients are tensors of the same graph, built out of ops, so they can be
// differentiated again and every tool that works on forward works on them.
//
//   std::vector<tg::Tensor> g = tg::gradients(loss, {w, b});
//   tg::Tensor second = tg::gradients(tg::sum(g[0] * v), {w})[0];     // a Hessian-vector product
#pragma once

#include <twingrad/tensor.h>

#include <vector>

namespace twingrad {

struct GradientsOptions {
  /// The upstream gradient of `output` (its shape and dtype); default: 1, and the output must have one element.
  Tensor cotangent{};
  /// Give zeros for inputs that `output` does not depend on, instead of throwing.
  bool allow_unused = false;
};

/// Gradients of `output` with respect to each of `inputs` (same shapes and dtypes), as nodes not yet computed.
/// Throws ShapeError, DtypeError, and ArgumentError when an input is not used, an op on the way has no gradient, or the
/// graph was spent by an optimizer's step.
std::vector<Tensor> gradients(const Tensor& output, const std::vector<Tensor>& inputs, GradientsOptions options = {},
                              std::source_location where = std::source_location::current());

/// While one lives, ops made on this thread do not require gradients.
class NoGrad {
 public:
  NoGrad();
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;
  ~NoGrad();
  static bool active();

 private:
  bool before_;
};

}  // namespace twingrad
