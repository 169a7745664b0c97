// The training steps that the command `crosscheck` knows, as the examples have them: whole steps with their optimizer.
#pragma once

#include <twingrad/precision.h>
#include <twingrad/tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace crosscheck {

namespace tg = twingrad;

using Step = std::function<tg::Tensor(tg::Device)>;

struct StepOptions {
  int depth = 0;  ///< hidden layers; 0: as the example has them
  tg::Precision precision = tg::Precision::fp32;
  std::int64_t seed = 1;
};

/// "mlp", "regression", "moons".
std::vector<std::string> model_names();

/// Throws ArgumentError for an unknown model, listing what there is.
Step make_step(const std::string& model, const StepOptions& options);

/// A multi-layer perceptron of `depth` hidden layers of one width, cross-entropy and its gradients, without optimizer.
Step make_deep_step(int depth, std::int64_t seed);

}  // namespace crosscheck
