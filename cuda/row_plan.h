// How many threads share a row of Family::rows, which fixes the order of its sums.
#pragma once

#include <cstdint>

namespace twingrad::cuda {

/// A warp for rows that fit its registers, else a block.
inline int row_threads(std::int64_t n) {
  return n <= 512 ? 32 : (n <= 4096 ? 256 : 512);
}

}  // namespace twingrad::cuda
