#include <twingrad/graph/pending_gradients.h>
#include <twingrad/ops.h>
#include <twingrad/optim/clip.h>

#include <algorithm>
#include <string>
#include <utility>

namespace twingrad::optim {
namespace {

void check_positive(const char* function, const char* what, double value) {
  if (!(value > 0)) {
    throw ArgumentError(std::string(function) + ": " + what + " is " + std::to_string(value) + "; it must be above 0");
  }
}

std::vector<Tensor> with_norm(std::vector<Tensor> gradients, double max_norm, std::source_location where) {
  const WhereScope scope(where);
  const Tensor factor = minimum(max_norm / (global_norm(gradients) + 1e-6), 1.0);
  for (Tensor& gradient : gradients) {
    if (gradient.defined()) {
      gradient = gradient * factor.to(gradient.dtype());
    }
  }
  return gradients;
}

std::vector<Tensor> with_values(std::vector<Tensor> gradients, double max_value, std::source_location where) {
  const WhereScope scope(where);
  for (Tensor& gradient : gradients) {
    if (gradient.defined()) {
      gradient = clamp(gradient, -max_value, max_value);
    }
  }
  return gradients;
}

}  // namespace

Tensor global_norm(const std::vector<Tensor>& gradients, std::source_location where) {
  const WhereScope scope(where);
  const bool wide = std::ranges::any_of(
      gradients, [](const Tensor& gradient) { return gradient.defined() && gradient.dtype() == Dtype::f64; });
  std::vector<Tensor> squares;
  for (const Tensor& gradient : gradients) {
    if (gradient.defined()) {
      squares.push_back(sum(square(gradient.to(wide ? Dtype::f64 : Dtype::f32))));
    }
  }
  if (squares.empty()) {
    return tensor(0.0);
  }
  return sqrt(squares.size() == 1 ? squares.front() : sum(stack(squares)));
}

std::vector<Tensor> clip_norm(std::vector<Tensor> gradients, double max_norm, std::source_location where) {
  check_positive("clip_norm", "max_norm", max_norm);
  if (transform_pending(gradients, {with_norm, max_norm, where})) {
    return gradients;
  }
  return with_norm(std::move(gradients), max_norm, where);
}

std::vector<Tensor> clip_value(std::vector<Tensor> gradients, double max_value, std::source_location where) {
  check_positive("clip_value", "max_value", max_value);
  if (transform_pending(gradients, {with_values, max_value, where})) {
    return gradients;
  }
  return with_values(std::move(gradients), max_value, where);
}

}  // namespace twingrad::optim
