// The layers with weights or randomness of their own: Linear, Embedding, Dropout.
//
//   tg::nn::Linear layer(784, 256, {.bias = false, .init = tg::nn::WeightInit::xavier_normal});
//   tg::Tensor y = layer(x);                                       // (batch, 784) -> (batch, 256)
#pragma once

#include <twingrad/nn/init.h>
#include <twingrad/nn/module.h>

#include <cstdint>
#include <optional>

namespace twingrad::nn {

/// How Linear draws its weight (see init.h).
enum class WeightInit : std::uint8_t {
  fan_in_uniform,   ///< U(-a, a), a = 1 / sqrt(in), for the bias too: what PyTorch's Linear does
  kaiming_uniform,  ///< the bias is zero, here and below
  kaiming_normal,
  xavier_uniform,
  xavier_normal,
  zeros,
};

struct LinearOptions {
  bool bias = true;
  WeightInit init = WeightInit::fan_in_uniform;
  /// Factor for Kaiming and Xavier; default: sqrt(2), relu's, for Kaiming and 1 for Xavier.
  std::optional<double> gain = {};
  /// Default: the next of default_generator().
  std::optional<Seed> seed = {};
};

/// x (..., in) * weight^T + bias -> (..., out).
class Linear : public Module {
 public:
  /// Throws ArgumentError for a negative size.
  Linear(std::int64_t in, std::int64_t out, const LinearOptions& options = {});
  Tensor forward(const Tensor& x) override;

  Tensor weight;  ///< (out, in)
  Tensor bias;    ///< (out); undefined without bias
};

struct EmbeddingOptions {
  std::optional<Seed> seed = {};  ///< default: the next of default_generator()
};

/// Rows of a table: indices (...) of int64 or int32 -> (..., width). The table starts standard normal.
class Embedding : public Module {
 public:
  /// Throws ArgumentError for a negative size.
  Embedding(std::int64_t count, std::int64_t width, const EmbeddingOptions& options = {});
  Tensor forward(const Tensor& indices) override;

  Tensor weight;  ///< (count, width)
};

struct DropoutOptions {
  /// Seeds the layer's own generator; default: the next of default_generator().
  std::optional<Seed> seed = {};
};

/// In training mode each element is 0 with the given probability, else x / (1 - probability), with a new mask at each
/// call; in evaluation mode x (Srivastava et al., 2014). The same masks on every device.
class Dropout : public Module {
 public:
  /// Throws ArgumentError unless 0 <= probability <= 1.
  explicit Dropout(double probability = 0.5, const DropoutOptions& options = {});
  Tensor forward(const Tensor& x) override;

  /// Where the masks come from; its stream() counts the calls so far.
  Generator& generator() { return generator_; }

 private:
  double probability_;
  Generator generator_;
};

}  // namespace twingrad::nn
