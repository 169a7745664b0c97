// Adagrad (Duchi, Hazan and Singer, 2011).
//
//   tg::optim::Adagrad adagrad(model.parameters(), {.lr = 0.1});
#pragma once

#include <twingrad/optim/optimizer.h>

namespace twingrad::optim {

struct AdagradOptions {
  double lr = 0.01;
  double lr_decay = 0.0;
  double initial_sum = 0.0;  ///< what the sum of squares starts with
  double eps = 1e-10;
  double weight_decay = 0.0;  ///< L2: weight_decay * p is added to the gradient
  double l1 = 0.0;            ///< l1 * sign(p) is added to the gradient
};

/// As PyTorch defines it: sum += g^2; p -= lr / (1 + (t - 1) * lr_decay) * g / (sqrt(sum) + eps).
class Adagrad : public Optimizer {
 public:
  using Options = AdagradOptions;
  using Group = ParameterGroup<Options>;
  /// Throws ArgumentError for an option below 0.
  explicit Adagrad(const std::vector<Tensor>& parameters, const Options& options = {});
  explicit Adagrad(const std::vector<Group>& groups);

 protected:
  std::vector<std::string> buffer_names(std::size_t group) const override;
  double initial_buffer_value(std::size_t group) const override;
  Hyperparameters hyperparameters(const Moment& moment) const override;
  Output update(const Input& input) const override;

 private:
  std::vector<Options> options_;
};

}  // namespace twingrad::optim
