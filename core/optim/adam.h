// Adam (Kingma and Ba, 2015) with AMSGrad (Reddi et al., 2018), and AdamW (Loshchilov and Hutter, 2019).
//
//   tg::optim::AdamW adam(model.parameters(), {.lr = 1e-3, .weight_decay = 1e-4});
#pragma once

#include <twingrad/optim/optimizer.h>

namespace twingrad::optim {

struct AdamOptions {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.0;  ///< L2: weight_decay * p is added to the gradient
  double l1 = 0.0;            ///< l1 * sign(p) is added to the gradient
  bool amsgrad = false;       ///< divide by the largest second moment so far
};

/// As PyTorch defines it: m = beta1 * m + (1 - beta1) * g; v = beta2 * v + (1 - beta2) * g^2;
/// p -= lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps).
class Adam : public Optimizer {
 public:
  using Options = AdamOptions;
  using Group = ParameterGroup<Options>;
  /// Throws ArgumentError for an option below 0 or a beta not in [0, 1).
  explicit Adam(const std::vector<Tensor>& parameters, const Options& options = {});
  explicit Adam(const std::vector<Group>& groups);

 protected:
  enum class Decay : std::uint8_t { l2, decoupled };
  Adam(const std::vector<Group>& groups, Decay decay);

  std::vector<std::string> buffer_names(std::size_t group) const override;
  Hyperparameters hyperparameters(const Moment& moment) const override;
  Output update(const Input& input) const override;

 private:
  std::vector<Options> options_;
  Decay decay_;
};

struct AdamWOptions {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.01;  ///< decoupled: p shrinks by lr * weight_decay * p
  double l1 = 0.0;             ///< l1 * sign(p) is added to the gradient
  bool amsgrad = false;
};

/// Adam with weight decay that does not pass through the moments.
class AdamW : public Adam {
 public:
  using Options = AdamWOptions;
  using Group = ParameterGroup<Options>;
  explicit AdamW(const std::vector<Tensor>& parameters, const Options& options = {});
  explicit AdamW(const std::vector<Group>& groups);
};

}  // namespace twingrad::optim
