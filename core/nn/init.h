// Initial values of parameters. All are made of random ops, so a seed gives the same bits on every device.
//
//   layer.weight.assign(tg::nn::init::xavier_normal({256, 784}, {.key = 7}));
//   tg::nn::manual_seed(1);                                       // what layers made from now on draw
#pragma once

#include <twingrad/ops.h>
#include <twingrad/random.h>

#include <cstdint>
#include <optional>

namespace twingrad::nn {

/// Seeds for layers that are given none: each takes the next stream. One generator per thread, with key 0 at first.
Generator& default_generator();
/// Starts this thread's default generator anew with `key`.
void manual_seed(std::int64_t key);
/// A key for a generator of its own that has nothing in common with what `seed` draws.
std::int64_t derive_key(Seed seed);

/// What a layer applies to each element; identity: nothing.
enum class Activation : std::uint8_t { identity, relu, leaky_relu, elu, gelu, silu, tanh, sigmoid, softplus };
Tensor activate(Activation activation, const Tensor& x);

namespace init {

/// The number of inputs (fan in) or outputs (fan out) whose variance is kept: Kaiming's mode.
enum class Fan : std::uint8_t { in, out };
struct Fans {
  std::int64_t in = 0;
  std::int64_t out = 0;
};
/// Fans of a weight (out, in, ...): the axes after the second are a receptive field and multiply both. Throws
/// ShapeError for less than two axes.
Fans fans(const Shape& weight);

/// The factor that keeps the variance through an activation, as PyTorch's calculate_gain has it: sqrt(2) for relu,
/// 5/3 for tanh, sqrt(2 / (1 + slope^2)) for leaky_relu (slope 0.01). For elu, gelu, silu and softplus: relu's.
double gain(Activation activation);

struct KaimingOptions {
  Fan fan = Fan::in;
  double gain = 1.4142135623730951;  ///< sqrt(2): relu
};

Tensor zeros(const Shape& shape, TensorOptions options = {});
Tensor constant(const Shape& shape, double value, TensorOptions options = {});
/// [low, high). Throws ArgumentError unless low <= high.
Tensor uniform(const Shape& shape, double low, double high, Seed seed, TensorOptions options = {});
/// Throws ArgumentError for a negative deviation.
Tensor normal(const Shape& shape, double mean, double deviation, Seed seed, TensorOptions options = {});
/// U(-a, a), a = gain * sqrt(6 / (fan in + fan out)) (Glorot and Bengio, 2010).
Tensor xavier_uniform(const Shape& shape, Seed seed, double gain = 1.0, TensorOptions options = {});
/// N(0, gain^2 * 2 / (fan in + fan out)).
Tensor xavier_normal(const Shape& shape, Seed seed, double gain = 1.0, TensorOptions options = {});
/// U(-a, a), a = gain * sqrt(3 / fan) (He et al., 2015).
Tensor kaiming_uniform(const Shape& shape, Seed seed, KaimingOptions kaiming = {}, TensorOptions options = {});
/// N(0, gain^2 / fan).
Tensor kaiming_normal(const Shape& shape, Seed seed, KaimingOptions kaiming = {}, TensorOptions options = {});

}  // namespace init
}  // namespace twingrad::nn
