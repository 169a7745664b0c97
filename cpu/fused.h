// Elementwise ops and optimizer updates as one kernel: block by block, so that what one part makes is still in the
// first-level cache when the next one reads it, and a result that only later parts need never gets to memory; float32
// and bool stay in vector registers from part to part (register_program.h). The CPU backend's prepare() and fuse() call
// it.
#pragma once

#include <twingrad/backend.h>

#include <memory>

namespace twingrad::cpu {

/// nullptr when a part is neither elementwise nor an update, has a dtype of 16 bits, or an operand lies across memory,
/// and when more results are needed at once than fit the nearest cache.
/// Each part's bits are those of elementwise() and update(); where an operation gets two NaN, its NaN may be the other.
std::unique_ptr<PreparedKernel> fuse_elementwise(const Fusion& fusion);

}  // namespace twingrad::cpu
