// Every optimizer update, written once for both compilers: a new parameter, buffer or gradient in one pass over memory.
// The optimizers (optim/) compose them; a backend loops over them as Family::update.
#pragma once

#include <twingrad/formulas.h>

#include <cmath>
#include <string_view>
#include <tuple>

namespace twingrad::formulas {

// apply(x, h): x holds the element's value of all inputs but the last, h is the last input, the hyperparameters.

/// p - lr * g. x = {p, g}, h = {lr}
struct Sgd {
  static constexpr std::string_view name = "sgd_update";
  static constexpr int arity = 3;
  static constexpr int hyperparameters = 1;
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(const T* x, const T* h) {
    return x[0] - h[0] * x[1];
  }
};

/// h[0] * buffer + h[1] * g: momentum, and running means with h[1] = 1 - h[0]. x = {buffer, g}
struct Accumulate {
  static constexpr std::string_view name = "accumulate_update";
  static constexpr int arity = 3;
  static constexpr int hyperparameters = 2;
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(const T* x, const T* h) {
    return h[0] * x[0] + h[1] * x[1];
  }
};

/// h[0] * buffer + h[1] * g^2. x = {buffer, g}
struct AccumulateSquare {
  static constexpr std::string_view name = "accumulate_square_update";
  static constexpr int arity = 3;
  static constexpr int hyperparameters = 2;
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(const T* x, const T* h) {
    return h[0] * x[0] + h[1] * x[1] * x[1];
  }
};

/// g + l2 * p + l1 * sign(p): the gradient with its penalties. x = {g, p}, h = {l2, l1}
struct Penalty {
  static constexpr std::string_view name = "penalty_update";
  static constexpr int arity = 3;
  static constexpr int hyperparameters = 2;
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(const T* x, const T* h) {
    return x[0] + h[0] * x[1] + h[1] * Sign::apply(x[1], Parameters{});
  }
};

/// Adam's step (Kingma and Ba, 2015), with decoupled decay (Loshchilov and Hutter, 2019).
/// x = {p, m, v}, h = {lr / (1 - beta1^t), sqrt(1 - beta2^t), eps, lr * decay}
struct Adam {
  static constexpr std::string_view name = "adam_update";
  static constexpr int arity = 4;
  static constexpr int hyperparameters = 4;
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(const T* x, const T* h) {
    return (x[0] - h[3] * x[0]) - h[0] * x[1] / (sqrt(x[2]) / h[1] + h[2]);
  }
};

/// p - lr * g / (sqrt(v) + eps): RMSprop and Adagrad. x = {p, g, v}, h = {lr, eps}
struct ScaledStep {
  static constexpr std::string_view name = "scaled_step_update";
  static constexpr int arity = 4;
  static constexpr int hyperparameters = 2;
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(const T* x, const T* h) {
    return x[0] - h[0] * x[1] / (sqrt(x[2]) + h[1]);
  }
};

/// g / (sqrt(v - mean^2) + eps): centred RMSprop's direction. x = {g, v, mean}, h = {eps}
struct CentredDirection {
  static constexpr std::string_view name = "centred_direction_update";
  static constexpr int arity = 4;
  static constexpr int hyperparameters = 1;
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(const T* x, const T* h) {
    const T variance = x[1] - x[2] * x[2];
    return x[0] / (sqrt(variance > T(0) ? variance : T(0)) + h[0]);
  }
};

/// All optimizer updates; an update op's `kernel` is its index here.
using UpdateFormulas = std::tuple<Sgd, Accumulate, AccumulateSquare, Penalty, Adam, ScaledStep, CentredDirection>;

}  // namespace twingrad::formulas
