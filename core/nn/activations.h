// The activations as modules, for Sequential. As functions they stand in ops.h.
//
//   tg::nn::Sequential net(tg::nn::Linear(2, 16), tg::nn::Tanh(), tg::nn::Linear(16, 1));
#pragma once

#include <twingrad/nn/module.h>
#include <twingrad/ops.h>

namespace twingrad::nn {

class Relu : public Module {
 public:
  Tensor forward(const Tensor& x) override { return relu(x); }
};

class LeakyRelu : public Module {
 public:
  explicit LeakyRelu(double negative_slope = 0.01) : negative_slope_(negative_slope) {}
  Tensor forward(const Tensor& x) override { return leaky_relu(x, negative_slope_); }

 private:
  double negative_slope_;
};

class Elu : public Module {
 public:
  explicit Elu(double alpha = 1.0) : alpha_(alpha) {}
  Tensor forward(const Tensor& x) override { return elu(x, alpha_); }

 private:
  double alpha_;
};

class Gelu : public Module {
 public:
  explicit Gelu(twingrad::Gelu form = twingrad::Gelu::erf) : form_(form) {}
  Tensor forward(const Tensor& x) override { return gelu(x, form_); }

 private:
  twingrad::Gelu form_;
};

class Silu : public Module {
 public:
  Tensor forward(const Tensor& x) override { return silu(x); }
};

class Tanh : public Module {
 public:
  Tensor forward(const Tensor& x) override { return tanh(x); }
};

class Sigmoid : public Module {
 public:
  Tensor forward(const Tensor& x) override { return sigmoid(x); }
};

class Softplus : public Module {
 public:
  Tensor forward(const Tensor& x) override { return softplus(x); }
};

}  // namespace twingrad::nn
