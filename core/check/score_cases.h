// The small graphs that every fault is planted in beside the training step: ops with their gradients at values that are
// known to be hard. Private to the score table.
#pragma once

#include <twingrad/tensor.h>

#include <functional>
#include <string>
#include <vector>

namespace twingrad::check {

enum class Cotangent : std::uint8_t { drawn, ones };

struct FaultCase {
  std::string name;
  /// Outputs and gradients, not evaluated.
  std::function<std::vector<Tensor>(Device, Cotangent)> build;
  bool large = false;  ///< needs hundreds of MiB
};

std::vector<FaultCase> fault_cases(std::int64_t seed);

}  // namespace twingrad::check
