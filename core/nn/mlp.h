// A multi-layer perceptron: Linear layers, each but the last followed by normalisation, activation and dropout.
//
//   tg::nn::Mlp model({784, 512, 256, 10}, {.activation = tg::nn::Activation::relu, .dropout = 0.1});
//   tg::Tensor logits = model(x);                                  // (batch, 784) -> (batch, 10)
#pragma once

#include <twingrad/nn/layers.h>
#include <twingrad/nn/sequential.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace twingrad::nn {

enum class Normalization : std::uint8_t { none, batch, layer };

struct MlpOptions {
  Activation activation = Activation::relu;
  /// Probability of each hidden unit to be dropped in training.
  double dropout = 0.0;
  Normalization normalization = Normalization::none;
  bool bias = true;
  /// Default: Xavier uniform for tanh, sigmoid and identity, Kaiming uniform for the others.
  std::optional<WeightInit> init = {};
  /// Decides weights and dropout masks, whatever other layers were made before.
  std::int64_t seed = 0;
};

/// A Sequential of them. Hidden layers are drawn with the activation's gain, the last one, which nothing follows, with
/// gain 1.
class Mlp : public Sequential {
 public:
  /// sizes: of the input, of each hidden layer, of the output. Throws ArgumentError for fewer than two.
  explicit Mlp(const std::vector<std::int64_t>& sizes, const MlpOptions& options = {});
};

}  // namespace twingrad::nn
