#include <twingrad/graph/arena.h>

#include <algorithm>
#include <numeric>

namespace twingrad {
namespace {

std::size_t aligned(std::size_t bytes) {
  return (bytes + arena_alignment - 1) / arena_alignment * arena_alignment;
}

}  // namespace

std::size_t place_in_arena(std::vector<ArenaBlock>& blocks) {
  std::vector<std::size_t> order(blocks.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return blocks[a].bytes > blocks[b].bytes; });
  std::size_t total = 0;
  std::vector<std::size_t> placed;      // sorted by offset
  std::vector<std::size_t> neighbours;  // those of `placed` that live at the same time
  for (const std::size_t i : order) {
    ArenaBlock& block = blocks[i];
    neighbours.clear();
    std::copy_if(placed.begin(), placed.end(), std::back_inserter(neighbours), [&](std::size_t other) {
      return blocks[other].first <= block.last && block.first <= blocks[other].last;
    });
    std::size_t offset = 0;
    for (const std::size_t other : neighbours) {
      if (offset + block.bytes <= blocks[other].offset) {
        break;
      }
      offset = std::max(offset, aligned(blocks[other].offset + blocks[other].bytes));
    }
    block.offset = offset;
    total = std::max(total, offset + block.bytes);
    const auto position = std::upper_bound(placed.begin(), placed.end(), offset,
                                           [&](std::size_t value, std::size_t j) { return value < blocks[j].offset; });
    placed.insert(position, i);
  }
  return aligned(total);
}

}  // namespace twingrad
