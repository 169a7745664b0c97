// Works over a grid of batch and width, for the heat maps: where we are ahead, where not, and whether the cost of a
// step has cliffs that its floor does not explain.
//
//   for (const stepbench::Work& work : stepbench::sweep_works({.most_flops = 2e10})) ...
#pragma once

#include <cstdint>
#include <vector>

#include "bench/step/work.h"

namespace stepbench {

struct SweepOptions {
  std::vector<std::int64_t> batches = {16, 64, 256, 1024, 4096, 16384, 65536, 262144};
  std::vector<std::int64_t> widths = {16, 64, 256, 1024, 4096};
  std::int64_t layers = 3;
  double most_flops = 2e10;  ///< larger steps are left out
  double most_bytes = 1e9;   ///< and those that move more
};

/// Nets of `layers` layers of one width with squared error, named "b64-w256", batch by batch. Throws ArgumentError for
/// a number below 1, or a grid of which nothing is left.
std::vector<Work> sweep_works(const SweepOptions& options);

}  // namespace stepbench
