#include <twingrad/autograd.h>
#include <twingrad/evaluate.h>
#include <twingrad/nn/normalization.h>
#include <twingrad/ops.h>

#include <string>

namespace twingrad::nn {

LayerNorm::LayerNorm(std::int64_t features, const LayerNormOptions& options)
    : weight(register_parameter("weight", ones({features}))),
      bias(register_parameter("bias", zeros({features}))),
      eps_(options.eps) {}

Tensor LayerNorm::forward(const Tensor& x) {
  return layer_norm(x, weight, bias, eps_);
}

RMSNorm::RMSNorm(std::int64_t features, const RMSNormOptions& options)
    : weight(register_parameter("weight", ones({features}))), eps_(options.eps) {}

Tensor RMSNorm::forward(const Tensor& x) {
  return rms_norm(x, weight, eps_);
}

BatchNorm1d::BatchNorm1d(std::int64_t features, const BatchNormOptions& options)
    : weight(register_parameter("weight", ones({features}))),
      bias(register_parameter("bias", zeros({features}))),
      running_mean(register_buffer("running_mean", zeros({features}))),
      running_var(register_buffer("running_var", ones({features}))),
      eps_(options.eps),
      momentum_(options.momentum) {
  if (!(momentum_ >= 0 && momentum_ <= 1)) {
    throw ArgumentError("BatchNorm1d: the momentum " + std::to_string(momentum_) + " is not in [0, 1]");
  }
}

Tensor BatchNorm1d::forward(const Tensor& input) {
  const Tensor x = widened(input);  // once for mean, variance and result
  if (!training()) {
    return batch_norm(x, weight, bias, running_mean, running_var, eps_);
  }
  if (x.rank() != 2 || x.size(0) < 2) {
    throw ShapeError("BatchNorm1d: a batch of shape " + to_string(x.shape()) +
                     " has no variance; train with (batch, features) of at least two rows, or switch to eval()");
  }
  const Tensor batch_mean = mean(x, {.axes = {0}});
  const Tensor batch_var = var(x, {.axes = {0}}, 0.0);
  {
    const NoGrad guard;
    const auto n = static_cast<double>(x.size(0));
    const auto blend = [&](const Tensor& running, const Tensor& batch, double share) {
      return running * (1.0 - momentum_) + batch * share;
    };
    assign_later(running_mean, blend(running_mean, batch_mean, momentum_));
    assign_later(running_var, blend(running_var, batch_var, momentum_ * n / (n - 1.0)));
  }
  return batch_norm(x, weight, bias, batch_mean, batch_var, eps_);
}

}  // namespace twingrad::nn
