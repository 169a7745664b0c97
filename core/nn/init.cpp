#include <twingrad/nn/init.h>

#include <cmath>
#include <string>

namespace twingrad::nn {

Generator& default_generator() {
  thread_local Generator generator;
  return generator;
}

void manual_seed(std::int64_t key) {
  default_generator() = Generator(key);
}

std::int64_t derive_key(Seed seed) {
  // SplitMix64's finaliser (Steele, Lea and Flood, 2014), once for the key and once for the stream.
  const auto mix = [](std::uint64_t z) {
    z += 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
  };
  return static_cast<std::int64_t>(
      mix(mix(static_cast<std::uint64_t>(seed.key)) ^ static_cast<std::uint64_t>(seed.stream)));
}

Tensor activate(Activation activation, const Tensor& x) {
  switch (activation) {
    case Activation::identity:
      return x;
    case Activation::relu:
      return relu(x);
    case Activation::leaky_relu:
      return leaky_relu(x);
    case Activation::elu:
      return elu(x);
    case Activation::gelu:
      return gelu(x);
    case Activation::silu:
      return silu(x);
    case Activation::tanh:
      return tanh(x);
    case Activation::sigmoid:
      return sigmoid(x);
    case Activation::softplus:
      return softplus(x);
  }
  throw ArgumentError("activate: there is no activation number " + std::to_string(static_cast<int>(activation)));
}

namespace init {

Fans fans(const Shape& weight) {
  if (weight.size() < 2) {
    throw ShapeError("fans: a weight of shape " + to_string(weight) + " has no inputs and outputs; it needs two axes");
  }
  Fans result{weight[1], weight[0]};
  for (int axis = 2; axis < weight.size(); ++axis) {
    result.in *= weight[axis];
    result.out *= weight[axis];
  }
  return result;
}

double gain(Activation activation) {
  switch (activation) {
    case Activation::identity:
    case Activation::sigmoid:
      return 1.0;
    case Activation::tanh:
      return 5.0 / 3.0;
    case Activation::leaky_relu:
      return std::sqrt(2.0 / (1.0 + 0.01 * 0.01));
    case Activation::relu:
    case Activation::elu:
    case Activation::gelu:
    case Activation::silu:
    case Activation::softplus:
      return std::sqrt(2.0);
  }
  throw ArgumentError("gain: there is no activation number " + std::to_string(static_cast<int>(activation)));
}

namespace {

// What an initialiser promises: a leaf when gradients are to flow into it, else a value that is not computed yet.
template <class Make>
Tensor make(TensorOptions options, const Make& make_value) {
  const bool requires_grad = options.requires_grad;
  options.requires_grad = false;
  Tensor value = make_value(options);
  if (requires_grad) {
    value.eval();
    value = value.detach().requires_grad(true);
  }
  return value;
}

}  // namespace

Tensor zeros(const Shape& shape, TensorOptions options) {
  return twingrad::zeros(shape, options);
}

Tensor constant(const Shape& shape, double value, TensorOptions options) {
  return full(shape, value, options);
}

Tensor uniform(const Shape& shape, double low, double high, Seed seed, TensorOptions options) {
  if (!(low <= high)) {
    throw ArgumentError("uniform: the bounds " + std::to_string(low) + " and " + std::to_string(high) +
                        " are out of order");
  }
  return make(options,
              [&](const TensorOptions& plain) { return random_uniform(shape, seed, plain) * (high - low) + low; });
}

Tensor normal(const Shape& shape, double mean, double deviation, Seed seed, TensorOptions options) {
  if (!(deviation >= 0)) {
    throw ArgumentError("normal: the standard deviation " + std::to_string(deviation) + " is not 0 or larger");
  }
  return make(options, [&](const TensorOptions& plain) {
    const Tensor centred = random_normal(shape, seed, plain) * deviation;
    return mean == 0 ? centred : centred + mean;
  });
}

namespace {

// A fan of 0 belongs to an empty weight, whose scale does not matter.
double scale(double gain, double numerator, std::int64_t fan) {
  return fan == 0 ? 0.0 : gain * std::sqrt(numerator / static_cast<double>(fan));
}

}  // namespace

Tensor xavier_uniform(const Shape& shape, Seed seed, double gain, TensorOptions options) {
  const Fans f = fans(shape);
  const double bound = scale(gain, 6.0, f.in + f.out);
  return uniform(shape, -bound, bound, seed, options);
}

Tensor xavier_normal(const Shape& shape, Seed seed, double gain, TensorOptions options) {
  const Fans f = fans(shape);
  return normal(shape, 0.0, scale(gain, 2.0, f.in + f.out), seed, options);
}

Tensor kaiming_uniform(const Shape& shape, Seed seed, KaimingOptions kaiming, TensorOptions options) {
  const Fans f = fans(shape);
  const double bound = scale(kaiming.gain, 3.0, kaiming.fan == Fan::in ? f.in : f.out);
  return uniform(shape, -bound, bound, seed, options);
}

Tensor kaiming_normal(const Shape& shape, Seed seed, KaimingOptions kaiming, TensorOptions options) {
  const Fans f = fans(shape);
  return normal(shape, 0.0, scale(kaiming.gain, 1.0, kaiming.fan == Fan::in ? f.in : f.out), seed, options);
}

}  // namespace init
}  // namespace twingrad::nn
