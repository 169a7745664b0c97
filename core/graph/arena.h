// Places blocks with known lifetimes in one arena: first fit over what is live at the same time, largest first.
#pragma once

#include <cstddef>
#include <vector>

namespace twingrad {

struct ArenaBlock {
  std::size_t bytes = 0;
  int first = 0;  ///< step that writes it
  int last = 0;   ///< last step that reads it
  std::size_t offset = 0;
};

/// Alignment of every block: what backends promise for allocations.
inline constexpr std::size_t arena_alignment = 256;

/// Fills in the offsets; blocks whose lifetimes overlap never overlap in memory. Returns the arena's size in bytes.
std::size_t place_in_arena(std::vector<ArenaBlock>& blocks);

}  // namespace twingrad
