#include "bench/step/sweep.h"

#include <twingrad/error.h>

#include <algorithm>
#include <string>

namespace stepbench {
namespace {

void check(const std::vector<std::int64_t>& values, const char* what) {
  if (values.empty() || std::any_of(values.begin(), values.end(), [](std::int64_t value) { return value < 1; })) {
    throw twingrad::ArgumentError(std::string("a sweep needs ") + what + " from 1");
  }
}

}  // namespace

std::vector<Work> sweep_works(const SweepOptions& options) {
  check(options.batches, "batches");
  check(options.widths, "widths");
  check({options.layers}, "layers");
  constexpr std::int64_t data_elements = std::int64_t{1} << 22;  // keeps the data of small works small, too
  constexpr std::int64_t most_batches = 16;
  std::vector<Work> works;
  for (const std::int64_t batch : options.batches) {
    for (const std::int64_t width : options.widths) {
      Work work;
      work.name = "b" + std::to_string(batch) + "-w" + std::to_string(width);
      work.sizes.assign(static_cast<std::size_t>(options.layers) + 1, width);
      work.batch = batch;
      work.batches = std::clamp<std::int64_t>(data_elements / (batch * width), 1, most_batches);
      work.loss = "mse";
      if (step_flops(work) <= options.most_flops && step_bytes(work) <= options.most_bytes) {
        works.push_back(std::move(work));
      }
    }
  }
  if (works.empty()) {
    throw twingrad::ArgumentError("nothing is left of the sweep: every step has more than " +
                                  std::to_string(options.most_flops) + " FLOP or moves too much");
  }
  return works;
}

}  // namespace stepbench
