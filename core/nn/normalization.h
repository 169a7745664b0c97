// The layers that normalise: LayerNorm, RMSNorm, BatchNorm1d. Weights start at 1, biases at 0.
//
//   tg::nn::BatchNorm1d norm(256, {.momentum = 0.01});
//   tg::Tensor y = norm(x);                                        // (batch, 256) -> (batch, 256)
#pragma once

#include <twingrad/nn/module.h>

#include <cstdint>

namespace twingrad::nn {

struct LayerNormOptions {
  double eps = 1e-5;
};

/// Normalises the last axis of x (..., features) (Ba et al., 2016).
class LayerNorm : public Module {
 public:
  explicit LayerNorm(std::int64_t features, const LayerNormOptions& options = {});
  Tensor forward(const Tensor& x) override;

  Tensor weight;  ///< (features)
  Tensor bias;    ///< (features)

 private:
  double eps_;
};

struct RMSNormOptions {
  double eps = 1e-6;
};

/// Divides the last axis of x (..., features) by its root mean square (Zhang and Sennrich, 2019).
class RMSNorm : public Module {
 public:
  explicit RMSNorm(std::int64_t features, const RMSNormOptions& options = {});
  Tensor forward(const Tensor& x) override;

  Tensor weight;  ///< (features)

 private:
  double eps_;
};

struct BatchNormOptions {
  double eps = 1e-5;
  /// Share of the batch in the running statistics: running = (1 - momentum) * running + momentum * batch.
  double momentum = 0.1;
};

/// Normalises each column of x (batch, features) (Ioffe and Szegedy, 2015): in training mode by the batch's mean and
/// variance (dividing by n), in evaluation mode by the running ones. Training mode updates the running mean and the
/// running variance (unbiased, dividing by n - 1) together with whatever is evaluated next.
class BatchNorm1d : public Module {
 public:
  /// Throws ArgumentError unless 0 <= momentum <= 1.
  explicit BatchNorm1d(std::int64_t features, const BatchNormOptions& options = {});
  /// Throws ShapeError for a batch of fewer than two rows in training mode.
  Tensor forward(const Tensor& x) override;

  Tensor weight;        ///< (features)
  Tensor bias;          ///< (features)
  Tensor running_mean;  ///< (features), a buffer; 0 at first
  Tensor running_var;   ///< (features), a buffer; 1 at first

 private:
  double eps_;
  double momentum_;
};

}  // namespace twingrad::nn
