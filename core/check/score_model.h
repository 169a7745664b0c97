// The training step that faults are planted in: an 8-layer perceptron over embedded tokens with layer norm, dropout and
// AdamW, and on the way at least one kernel of every family at hard values. Private to the score table.
#pragma once

#include <twingrad/tensor.h>

#include <cstdint>
#include <memory>

namespace twingrad::check {

struct FaultModelOptions {
  /// Adds a lookup in a table of more than 2^24 rows (64 MiB), where indices leave float32's whole numbers.
  bool large_table = false;
};

class FaultModel {
 public:
  explicit FaultModel(std::uint64_t seed, const FaultModelOptions& options = {});
  ~FaultModel();
  FaultModel(const FaultModel&) = delete;
  FaultModel& operator=(const FaultModel&) = delete;

  /// One training step, the same each time: forward, gradients, AdamW.
  Tensor operator()(Device device) const;

 private:
  struct Values;
  std::unique_ptr<Values> values_;
};

}  // namespace twingrad::check
