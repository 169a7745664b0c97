#include <twingrad/nn/activations.h>
#include <twingrad/nn/mlp.h>
#include <twingrad/nn/normalization.h>

#include <string>

namespace twingrad::nn {
namespace {

WeightInit default_init(Activation activation) {
  switch (activation) {
    case Activation::identity:
    case Activation::tanh:
    case Activation::sigmoid:
      return WeightInit::xavier_uniform;
    default:
      return WeightInit::kaiming_uniform;
  }
}

void add_activation(Sequential& net, Activation activation) {
  switch (activation) {
    case Activation::identity:
      return;
    case Activation::relu:
      net.add<Relu>();
      return;
    case Activation::leaky_relu:
      net.add<LeakyRelu>();
      return;
    case Activation::elu:
      net.add<Elu>();
      return;
    case Activation::gelu:
      net.add<Gelu>();
      return;
    case Activation::silu:
      net.add<Silu>();
      return;
    case Activation::tanh:
      net.add<Tanh>();
      return;
    case Activation::sigmoid:
      net.add<Sigmoid>();
      return;
    case Activation::softplus:
      net.add<Softplus>();
      return;
  }
  throw ArgumentError("Mlp: there is no activation number " + std::to_string(static_cast<int>(activation)));
}

}  // namespace

Mlp::Mlp(const std::vector<std::int64_t>& sizes, const MlpOptions& options) {
  if (sizes.size() < 2) {
    throw ArgumentError("Mlp: " + std::to_string(sizes.size()) +
                        " sizes are too few; give those of the input, of each hidden layer and of the output");
  }
  Generator seeds(options.seed);
  const WeightInit weight_init = options.init.value_or(default_init(options.activation));
  for (std::size_t i = 0; i + 1 < sizes.size(); ++i) {
    const bool last = i + 2 == sizes.size();
    const double gain = last ? 1.0 : init::gain(options.activation);
    add<Linear>(sizes[i], sizes[i + 1],
                LinearOptions{.bias = options.bias, .init = weight_init, .gain = gain, .seed = seeds.next()});
    if (last) {
      break;
    }
    if (options.normalization == Normalization::batch) {
      add<BatchNorm1d>(sizes[i + 1]);
    } else if (options.normalization == Normalization::layer) {
      add<LayerNorm>(sizes[i + 1]);
    }
    add_activation(*this, options.activation);
    if (options.dropout != 0) {
      add<Dropout>(options.dropout, DropoutOptions{.seed = seeds.next()});
    }
  }
}

}  // namespace twingrad::nn
