// How reductions are cut, which fixes the order of every sum.
#include "cuda/reduce_plan.h"

#include <gtest/gtest.h>

namespace twingrad::cuda {
namespace {

ReducePlan contiguous_plan(const Shape& shape, const Axes& axes) {
  return plan_reduction(shape, contiguous_strides(shape), axes);
}

TEST(ReducePlanTest, RowsAreWalkedAlongAndColumnsAcross) {
  EXPECT_FALSE(contiguous_plan({64, 1000}, {1}).columns);
  EXPECT_TRUE(contiguous_plan({64, 1000}, {0}).columns);
  EXPECT_FALSE(contiguous_plan({64, 1000}, {0, 1}).columns);
  // The transposed view of the same memory.
  EXPECT_TRUE(plan_reduction({1000, 64}, {1, 1000}, {1}).columns);
  EXPECT_FALSE(plan_reduction({1000, 64}, {1, 1000}, {0}).columns);
  // A broadcast axis has nothing to walk along.
  EXPECT_TRUE(plan_reduction({8, 5}, {1, 0}, {1}).columns);
}

TEST(ReducePlanTest, CountsOutputsAndReducedElements) {
  const ReducePlan plan = contiguous_plan({3, 4, 5, 6}, {1, 3});
  EXPECT_EQ(plan.outputs, 15);
  EXPECT_EQ(plan.length, 24);
  EXPECT_EQ(plan.kept.numel(), 15);
  EXPECT_EQ(plan.reduced.numel(), 24);
}

TEST(ReducePlanTest, WalksReducedAxesFromLargeStridesToSmall) {
  const ReducePlan plan = plan_reduction({4, 5}, {1, 4}, {0, 1});
  EXPECT_EQ(plan.reduced.rank, 1) << "both axes are one dense run";
  EXPECT_EQ(plan.reduced.stride[0][0], 1);
}

TEST(ReducePlanTest, CutsByLengthAlone) {
  EXPECT_EQ(contiguous_plan({8192}, {0}).chunks, 1);
  EXPECT_EQ(contiguous_plan({8193}, {0}).chunks, 2);
  EXPECT_EQ(contiguous_plan({1000, 8193}, {1}).chunks, 2);
  EXPECT_EQ(contiguous_plan({1024, 7}, {0}).chunks, 1);
  EXPECT_EQ(contiguous_plan({1025, 7}, {0}).chunks, 2);
  EXPECT_EQ(contiguous_plan({1025, 700}, {0}).chunks, 2);
}

TEST(ReducePlanTest, TakesGroupsNoLargerThanNeeded) {
  EXPECT_EQ(contiguous_plan({9, 1}, {1}).group, 1U);
  EXPECT_EQ(contiguous_plan({9, 10}, {1}).group, 16U);
  EXPECT_EQ(contiguous_plan({9, 1024}, {1}).group, 32U);
  EXPECT_EQ(contiguous_plan({9, 1025}, {1}).group, 256U);
  EXPECT_EQ(contiguous_plan({9, 3}, {0}).group, 4U);
  EXPECT_EQ(contiguous_plan({9, 100}, {0}).group, 32U);
}

TEST(ReducePlanTest, ReducesAnEmptyAxisToTheIdentity) {
  const ReducePlan plan = contiguous_plan({3, 0}, {1});
  EXPECT_EQ(plan.outputs, 3);
  EXPECT_EQ(plan.length, 0);
  EXPECT_EQ(plan.chunks, 1);
  EXPECT_FALSE(plan.columns);
}

TEST(ReducePlanTest, ChunksCoverAllElementsAndTheSecondPassNeedsNoThird) {
  for (const std::int64_t length : {1LL, 31LL, 8192LL, 8193LL, 1LL << 20, (1LL << 25) + 1, (1LL << 33) + 12345}) {
    for (const bool columns : {false, true}) {
      const ReducePlan plan = columns ? contiguous_plan({length, 2}, {0}) : contiguous_plan({2, length}, {1});
      ASSERT_GE(plan.chunk * plan.chunks, plan.length) << length;
      ASSERT_LT(plan.chunk * (plan.chunks - 1), plan.length) << length;
      const ReducePlan second = plan_second_pass(plan);
      ASSERT_EQ(second.chunks, 1) << length;
      ASSERT_EQ(second.length, plan.chunks);
      ASSERT_EQ(second.outputs, plan.outputs);
      ASSERT_EQ(second.columns, plan.columns);
    }
  }
}

}  // namespace
}  // namespace twingrad::cuda
