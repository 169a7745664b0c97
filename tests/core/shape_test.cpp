#include <gtest/gtest.h>
#include <twingrad/kernel_call.h>
#include <twingrad/shape.h>

namespace twingrad {
namespace {

TEST(Shape, BroadcastsAsNumPyDoes) {
  EXPECT_EQ(broadcast({2, 1, 3}, {4, 1}, "add"), Shape({2, 4, 3}));
  EXPECT_EQ(broadcast({}, {5}, "add"), Shape({5}));
  EXPECT_EQ(broadcast({0, 1}, {1, 3}, "add"), Shape({0, 3}));
  EXPECT_THROW(broadcast({0}, {2}, "add"), ShapeError);
}

TEST(Shape, ABroadcastErrorNamesOpShapesAndAxis) {
  try {
    broadcast({2, 3}, {4, 3, 2}, "mul");
    FAIL();
  } catch (const ShapeError& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("mul"), std::string::npos);
    EXPECT_NE(text.find("(2, 3)"), std::string::npos);
    EXPECT_NE(text.find("(4, 3, 2)"), std::string::npos);
    EXPECT_NE(text.find("axis -2 is 2 and 3"), std::string::npos) << text;
  }
}

TEST(Shape, HoldsEightAxesAndRefusesTheNinth) {
  Shape shape = Dims::filled(8, 2);
  EXPECT_EQ(numel(shape), 256);
  EXPECT_THROW(shape.push_back(1), ShapeError);
}

TEST(Shape, EmptyAxesGiveNoElementsAndUsableStrides) {
  EXPECT_EQ(numel({5, 0, 2}), 0);
  EXPECT_EQ(contiguous_strides({5, 0, 2}), Strides({2, 2, 1}));
  EXPECT_EQ(contiguous_strides({}), Strides({}));
}

TEST(Shape, AxesAreNormalisedSortedAndDistinct) {
  EXPECT_EQ(normalize_axes({-1, 0}, 3, "sum"), Axes({0, 2}));
  EXPECT_EQ(normalize_axes({}, 2, "sum"), Axes({0, 1}));
  EXPECT_THROW(normalize_axes({0, -3}, 3, "sum"), ShapeError);
  EXPECT_THROW(normalize_axis(3, 3, "sum"), ShapeError);
  EXPECT_THROW(normalize_axis(0, 0, "sum"), ShapeError);
}

TEST(Shape, EraseAndInsert) {
  Dims dims{1, 2, 3};
  dims.erase(0);
  EXPECT_EQ(dims, Dims({2, 3}));
  dims.insert(1, 7);
  EXPECT_EQ(dims, Dims({2, 7, 3}));
  dims.insert(3, 9);
  EXPECT_EQ(dims, Dims({2, 7, 3, 9}));
}

TEST(TensorView, KnowsWhenItIsContiguous) {
  EXPECT_TRUE((TensorView{nullptr, f32, {2, 3}, {3, 1}}.contiguous()));
  EXPECT_FALSE((TensorView{nullptr, f32, {2, 3}, {1, 2}}.contiguous()));
  EXPECT_TRUE((TensorView{nullptr, f32, {1, 3}, {77, 1}}.contiguous()));
  EXPECT_TRUE((TensorView{nullptr, f32, {0, 3}, {5, 5}}.contiguous()));
  EXPECT_FALSE((TensorView{nullptr, f32, {3}, {0}}.contiguous()));
}

}  // namespace
}  // namespace twingrad
