// Which product is asked of cuBLASLt for which views.
#include "cuda/matmul_layout.h"

#include <gtest/gtest.h>

namespace twingrad::cuda {
namespace {

TEST(MatrixLayoutTest, TakesTheLeadingDimensionFromTheStrides) {
  EXPECT_EQ(matrix_layout(3, 5, 5, 1), (MatrixLayout{true, 5}));
  EXPECT_EQ(matrix_layout(3, 5, 9, 1), (MatrixLayout{true, 9}));
  EXPECT_EQ(matrix_layout(3, 5, 1, 3), (MatrixLayout{false, 3}));
  EXPECT_EQ(matrix_layout(3, 5, 1, 7), (MatrixLayout{false, 7}));
}

TEST(MatrixLayoutTest, IgnoresTheStrideOfAnAxisOfLengthOne) {
  EXPECT_EQ(matrix_layout(1, 5, 0, 1), (MatrixLayout{true, 5}));
  EXPECT_EQ(matrix_layout(1, 5, -40, 1), (MatrixLayout{true, 5}));
  EXPECT_EQ(matrix_layout(5, 1, 1, 0), (MatrixLayout{true, 1}));
  EXPECT_EQ(matrix_layout(5, 1, 3, 99), (MatrixLayout{true, 3}));
  EXPECT_EQ(matrix_layout(1, 5, 99, 3), (MatrixLayout{false, 3}));
  EXPECT_EQ(matrix_layout(1, 1, 0, 0), (MatrixLayout{true, 1}));
}

TEST(MatrixLayoutTest, RefusesWhatIsNeither) {
  EXPECT_EQ(matrix_layout(3, 5, 10, 2), std::nullopt);
  EXPECT_EQ(matrix_layout(3, 5, 0, 1), std::nullopt);
  EXPECT_EQ(matrix_layout(3, 5, -5, 1), std::nullopt);
  EXPECT_EQ(matrix_layout(3, 5, 4, 1), std::nullopt) << "rows overlap";
}

ProductPlan plan(const Shape& out, const Shape& a, const Strides& a_strides, const Shape& b, const Strides& b_strides) {
  const auto layout = [](const Shape& shape, const Strides& strides) {
    const int last = shape.size() - 1;
    return matrix_layout(shape[last - 1], shape[last], strides[last - 1], strides[last]).value();
  };
  return plan_products(out, {nullptr, f32, a, a_strides}, {nullptr, f32, b, b_strides}, layout(a, a_strides),
                       layout(b, b_strides));
}

TEST(ProductPlanTest, MakesOneBatchOfUniformStrides) {
  const ProductPlan p = plan({2, 3, 4, 5}, {2, 3, 4, 6}, {72, 24, 6, 1}, {2, 3, 6, 5}, {90, 30, 5, 1});
  EXPECT_EQ(p.loop.numel(), 1);
  EXPECT_EQ(p.product.batch, 6);
  EXPECT_EQ(p.product.a_step, 24);
  EXPECT_EQ(p.product.b_step, 30);
  EXPECT_EQ(p.product.m, 4);
  EXPECT_EQ(p.product.n, 5);
  EXPECT_EQ(p.product.k, 6);
}

TEST(ProductPlanTest, TurnsABatchAgainstOneMatrixIntoMoreRows) {
  const ProductPlan p = plan({7, 4, 5}, {7, 4, 6}, {24, 6, 1}, {7, 6, 5}, {0, 5, 1});
  EXPECT_EQ(p.loop.numel(), 1);
  EXPECT_EQ(p.product.batch, 1);
  EXPECT_EQ(p.product.m, 28);
}

TEST(ProductPlanTest, KeepsTheBatchWhereRowsAreNotSideBySide) {
  const ProductPlan gap = plan({7, 4, 5}, {7, 4, 6}, {25, 6, 1}, {7, 6, 5}, {0, 5, 1});
  EXPECT_EQ(gap.product.batch, 7);
  EXPECT_EQ(gap.product.m, 4);
  EXPECT_EQ(gap.product.b_step, 0);
  const ProductPlan transposed = plan({7, 4, 5}, {7, 4, 6}, {24, 1, 4}, {7, 6, 5}, {0, 5, 1});
  EXPECT_EQ(transposed.product.batch, 7);
}

TEST(ProductPlanTest, LoopsOverAxesThatDoNotMerge) {
  // a is broadcast along the outer batch axis, b along the inner one.
  const ProductPlan p = plan({2, 3, 4, 5}, {2, 3, 4, 6}, {0, 24, 6, 1}, {2, 3, 6, 5}, {30, 0, 5, 1});
  EXPECT_EQ(p.product.m, 12);
  ASSERT_EQ(p.loop.rank, 1);
  EXPECT_EQ(p.loop.size[0], 2);
  EXPECT_EQ(p.loop.stride[0][0], 0);
  EXPECT_EQ(p.loop.stride[1][0], 30);
  EXPECT_EQ(p.loop.stride[2][0], 60);
}

TEST(ProductPlanTest, LoopsOverReversedBatches) {
  const ProductPlan p = plan({7, 4, 5}, {7, 4, 6}, {-24, 6, 1}, {7, 6, 5}, {30, 5, 1});
  EXPECT_EQ(p.product.batch, 1);
  EXPECT_EQ(p.loop.numel(), 7);
}

TEST(AlignmentOf, IsThePowerOfTwoThatDividesTheAddress) {
  EXPECT_EQ(alignment_of(std::uintptr_t{0x1000}), 16U);
  EXPECT_EQ(alignment_of(std::uintptr_t{0x1010}), 16U);
  EXPECT_EQ(alignment_of(std::uintptr_t{0x1008}), 8U);
  EXPECT_EQ(alignment_of(std::uintptr_t{0x1006}), 2U);
  EXPECT_EQ(alignment_of(std::uintptr_t{0x1001}), 1U);
}

}  // namespace
}  // namespace twingrad::cuda
