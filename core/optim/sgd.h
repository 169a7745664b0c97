// Stochastic gradient descent, with momentum (Polyak, 1964) and Nesterov's (Sutskever et al., 2013).
//
//   tg::optim::SGD sgd(model.parameters(), {.lr = 0.1, .momentum = 0.9, .nesterov = true});
#pragma once

#include <twingrad/optim/optimizer.h>

namespace twingrad::optim {

struct SGDOptions {
  double lr = 0.01;
  double momentum = 0.0;
  double dampening = 0.0;
  bool nesterov = false;
  double weight_decay = 0.0;  ///< L2: weight_decay * p is added to the gradient
  double l1 = 0.0;            ///< l1 * sign(p) is added to the gradient
};

/// As PyTorch defines it: g += weight_decay * p + l1 * sign(p); buffer = momentum * buffer + (1 - dampening) * g, at
/// the first step g; d = g + momentum * buffer with Nesterov, buffer without, g without momentum; p -= lr * d.
class SGD : public Optimizer {
 public:
  using Options = SGDOptions;
  using Group = ParameterGroup<Options>;
  /// Throws ArgumentError for an option below 0, momentum not in [0, 1), or Nesterov without momentum or with
  /// dampening.
  explicit SGD(const std::vector<Tensor>& parameters, const Options& options = {});
  explicit SGD(const std::vector<Group>& groups);

 protected:
  std::vector<std::string> buffer_names(std::size_t group) const override;
  Hyperparameters hyperparameters(const Moment& moment) const override;
  Output update(const Input& input) const override;

 private:
  std::vector<Options> options_;
};

}  // namespace twingrad::optim
