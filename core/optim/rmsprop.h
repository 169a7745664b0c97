// RMSprop (Hinton's lecture 6e of 2012), centred (Graves, 2013) and with momentum.
//
//   tg::optim::RMSprop rmsprop(model.parameters(), {.lr = 1e-3, .centred = true});
#pragma once

#include <twingrad/optim/optimizer.h>

namespace twingrad::optim {

struct RMSpropOptions {
  double lr = 0.01;
  double alpha = 0.99;  ///< decay of the running means
  double eps = 1e-8;
  double momentum = 0.0;
  bool centred = false;       ///< divide by the deviation instead of the root mean square
  double weight_decay = 0.0;  ///< L2: weight_decay * p is added to the gradient
  double l1 = 0.0;            ///< l1 * sign(p) is added to the gradient
};

/// As PyTorch defines it: v = alpha * v + (1 - alpha) * g^2; centred: also a = alpha * a + (1 - alpha) * g, and
/// v - a^2 in place of v; d = g / (sqrt(v) + eps); with momentum d = buffer = momentum * buffer + d; p -= lr * d.
class RMSprop : public Optimizer {
 public:
  using Options = RMSpropOptions;
  using Group = ParameterGroup<Options>;
  /// Throws ArgumentError for an option below 0, or alpha or momentum not in [0, 1).
  explicit RMSprop(const std::vector<Tensor>& parameters, const Options& options = {});
  explicit RMSprop(const std::vector<Group>& groups);

 protected:
  std::vector<std::string> buffer_names(std::size_t group) const override;
  Hyperparameters hyperparameters(const Moment& moment) const override;
  Output update(const Input& input) const override;

 private:
  std::vector<Options> options_;
};

}  // namespace twingrad::optim
