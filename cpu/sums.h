// Sums and means over the leading or the trailing axes of a contiguous tensor, prepared: losses and bias gradients. The
// order is that of lanes.h, so the bits are those of reduce().
#pragma once

#include <twingrad/backend.h>

#include <memory>

namespace twingrad::cpu {

/// nullptr for another reduction, dtype or layout than float32 or float64 sums and means of the kind above.
std::unique_ptr<PreparedKernel> prepare_sum(const KernelCall& call);

}  // namespace twingrad::cpu
