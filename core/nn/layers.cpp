#include <twingrad/nn/layers.h>

#include <cmath>
#include <string>

namespace twingrad::nn {
namespace {

Seed seed_or_next(const std::optional<Seed>& seed) {
  return seed.has_value() ? *seed : default_generator().next();
}

void check_size(const char* layer, std::int64_t size) {
  if (size < 0) {
    throw ArgumentError(std::string(layer) + ": a size of " + std::to_string(size) + " is negative");
  }
}

Tensor draw_weight(const Shape& shape, const LinearOptions& options, Seed seed) {
  switch (options.init) {
    case WeightInit::fan_in_uniform:
      // 1 / sqrt(in) is Kaiming's bound with a gain of 1 / sqrt(3).
      return init::kaiming_uniform(shape, seed, {.gain = 1.0 / std::sqrt(3.0)});
    case WeightInit::kaiming_uniform:
      return init::kaiming_uniform(shape, seed, {.gain = options.gain.value_or(std::sqrt(2.0))});
    case WeightInit::kaiming_normal:
      return init::kaiming_normal(shape, seed, {.gain = options.gain.value_or(std::sqrt(2.0))});
    case WeightInit::xavier_uniform:
      return init::xavier_uniform(shape, seed, options.gain.value_or(1.0));
    case WeightInit::xavier_normal:
      return init::xavier_normal(shape, seed, options.gain.value_or(1.0));
    case WeightInit::zeros:
      return init::zeros(shape);
  }
  throw ArgumentError("Linear: there is no initialiser number " + std::to_string(static_cast<int>(options.init)));
}

}  // namespace

Linear::Linear(std::int64_t in, std::int64_t out, const LinearOptions& options) {
  check_size("Linear", in);
  check_size("Linear", out);
  Generator generator(derive_key(seed_or_next(options.seed)));
  weight = register_parameter("weight", draw_weight({out, in}, options, generator.next()));
  if (options.bias) {
    const bool random = options.init == WeightInit::fan_in_uniform && in > 0;
    const double bound = random ? 1.0 / std::sqrt(static_cast<double>(in)) : 0.0;
    bias =
        register_parameter("bias", random ? init::uniform({out}, -bound, bound, generator.next()) : init::zeros({out}));
  }
}

Tensor Linear::forward(const Tensor& x) {
  return bias.defined() ? linear(x, weight, bias) : linear(x, weight);
}

Embedding::Embedding(std::int64_t count, std::int64_t width, const EmbeddingOptions& options) {
  check_size("Embedding", count);
  check_size("Embedding", width);
  weight = register_parameter("weight", init::normal({count, width}, 0.0, 1.0, seed_or_next(options.seed)));
}

Tensor Embedding::forward(const Tensor& indices) {
  return embedding(weight, indices);
}

Dropout::Dropout(double probability, const DropoutOptions& options)
    : probability_(probability), generator_(derive_key(seed_or_next(options.seed))) {
  if (!(probability >= 0 && probability <= 1)) {
    throw ArgumentError("Dropout: the probability " + std::to_string(probability) + " is not in [0, 1]");
  }
}

Tensor Dropout::forward(const Tensor& x) {
  return training() && probability_ > 0 ? dropout(x, probability_, generator_.next()) : x;
}

}  // namespace twingrad::nn
