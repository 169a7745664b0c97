// The pool keeps what is let go of for the next one that asks, up to its limit.
#include <gtest/gtest.h>
#include <twingrad/pool.h>
#include <twingrad/twingrad.h>

#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

#include "tests/counting_heap.h"

namespace twingrad {
namespace {

using tests::allocations_of;

TEST(PoolTest, BlocksAreAlignedAndTheirOwnAtEverySize) {
  std::vector<std::pair<unsigned char*, std::size_t>> blocks;
  for (int round = 0; round < 2; ++round) {
    for (std::size_t bytes = 0; bytes < 200'000; bytes += bytes < 2'200 ? 1 : 1'021) {
      auto* const block = static_cast<unsigned char*>(pool_allocate(bytes));
      ASSERT_EQ(reinterpret_cast<std::uintptr_t>(block) % __STDCPP_DEFAULT_NEW_ALIGNMENT__, 0U);
      std::memset(block, static_cast<int>(blocks.size() % 251), bytes);
      blocks.emplace_back(block, bytes);
    }
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      const auto& [block, bytes] = blocks[i];
      for (std::size_t b = 0; b < bytes; b += 61) {
        ASSERT_EQ(block[b], i % 251);
      }
      pool_release(block, bytes);
    }
    blocks.clear();
  }
}

class CountedPoolTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!tests::heap_is_counted()) {
      GTEST_SKIP() << "a sanitizer's heap is not counted";
    }
  }
};

TEST_F(CountedPoolTest, ServesAgainWhatWasLetGoOf) {
  // On a thread of its own, whose pool is empty.
  std::thread([] {
    for (const std::size_t bytes : std::vector<std::size_t>{1, 64, 65, 500, 1024, 1025, 5000, 65536}) {
      pool_release(pool_allocate(bytes), bytes);
      EXPECT_EQ(allocations_of([&] { pool_release(pool_allocate(bytes), bytes); }), 0) << bytes;
    }
    EXPECT_EQ(allocations_of([] { pool_release(pool_allocate(65537), 65537); }), 1);
  }).join();
}

TEST_F(CountedPoolTest, KeepsNoMoreThanItsLimit) {
  std::thread([] {
    constexpr std::size_t size = 4096;
    constexpr std::size_t count = 3 * pool_bytes_per_thread / size;
    std::vector<void*> blocks(count);
    const auto fill = [&] {
      for (void*& block : blocks) {
        block = pool_allocate(size);
      }
    };
    fill();
    for (void* block : blocks) {
      pool_release(block, size);
    }
    EXPECT_EQ(allocations_of(fill), static_cast<long>(count - pool_bytes_per_thread / size));
    for (void* block : blocks) {
      pool_release(block, size);
    }
  }).join();
}

TEST_F(CountedPoolTest, TakesWhatAnotherThreadMade) {
  std::vector<Tensor> made;
  std::thread([&] {
    for (int i = 0; i < 100; ++i) {
      made.push_back(tensor(std::vector<float>{1, 2}) * 2.0);
    }
  }).join();
  EXPECT_EQ(made[99].to_vector<float>(), (std::vector<float>{2, 4}));
  made.clear();
  // A handle, a node, and its list of inputs.
  const Tensor x = tensor(1.0);
  EXPECT_EQ(allocations_of([&] { const Tensor y = -x; }), 0);
}

}  // namespace
}  // namespace twingrad
