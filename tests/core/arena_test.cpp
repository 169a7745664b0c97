#include <gtest/gtest.h>
#include <twingrad/graph/arena.h>

#include <random>

namespace twingrad {
namespace {

bool overlap(std::size_t a, std::size_t a_bytes, std::size_t b, std::size_t b_bytes) {
  return a < b + b_bytes && b < a + a_bytes;
}

TEST(Arena, BlocksThatLiveTogetherNeverOverlap) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    std::vector<ArenaBlock> blocks(random() % 40);
    for (ArenaBlock& block : blocks) {
      block.first = static_cast<int>(random() % 50);
      block.last = block.first + static_cast<int>(random() % 10);
      block.bytes = 1 + random() % 5000;
    }
    const std::size_t total = place_in_arena(blocks);
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      EXPECT_EQ(blocks[i].offset % arena_alignment, 0U);
      EXPECT_LE(blocks[i].offset + blocks[i].bytes, total);
      for (std::size_t j = 0; j < i; ++j) {
        if (blocks[i].first <= blocks[j].last && blocks[j].first <= blocks[i].last) {
          EXPECT_FALSE(overlap(blocks[i].offset, blocks[i].bytes, blocks[j].offset, blocks[j].bytes));
        }
      }
    }
  }
}

TEST(Arena, AChainNeedsTwoBlocksOnly) {
  std::vector<ArenaBlock> blocks;
  for (int step = 0; step < 100; ++step) {
    blocks.push_back({1024, step, step + 1, 0});
  }
  EXPECT_EQ(place_in_arena(blocks), 2048U);
}

TEST(Arena, NoBlocksNeedNothing) {
  std::vector<ArenaBlock> none;
  EXPECT_EQ(place_in_arena(none), 0U);
}

}  // namespace
}  // namespace twingrad
