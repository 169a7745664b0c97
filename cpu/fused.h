// Elementwise ops and optimizer updates as one kernel: block by block, so that what one part makes is still in the
// first-level cache when the next one reads it, and a result that only later parts need never gets to memory. The CPU
// backend's prepare() and fuse() call it.
#pragma once

#include <twingrad/backend.h>

#include <memory>

namespace twingrad::cpu {

/// nullptr when a part is neither elementwise nor an update, has a dtype of 16 bits, or an operand lies across memory,
/// and when more results are needed at once than fit the nearest cache.
/// Each part's bits are those of elementwise() and update().
std::unique_ptr<PreparedKernel> fuse_elementwise(const Fusion& fusion);

}  // namespace twingrad::cpu
