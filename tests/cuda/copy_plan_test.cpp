// Words and tiles of strided copies, and the conversion of single numbers.
#include "cuda/copy_plan.h"
#include "cuda/convert.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>

namespace twingrad::cuda {
namespace {

TEST(WidestWord, IsAsWideAsAlignmentSizesAndStridesAllow) {
  const Box<2> columns = make_box<2>({10, 8}, {Strides{8, 1}, Strides{24, 1}});
  EXPECT_EQ(widest_word(columns, 256, 512, 4), 16);
  EXPECT_EQ(widest_word(columns, 256, 520, 4), 8);
  EXPECT_EQ(widest_word(columns, 260, 512, 4), 4);
  EXPECT_EQ(widest_word(columns, 256, 512, 1), 8);
  const Box<2> odd = make_box<2>({10, 7}, {Strides{7, 1}, Strides{24, 1}});
  EXPECT_EQ(widest_word(odd, 256, 512, 4), 4);
  const Box<2> odd_stride = make_box<2>({10, 8}, {Strides{8, 1}, Strides{25, 1}});
  EXPECT_EQ(widest_word(odd_stride, 256, 512, 2), 2);
  const Box<2> transposed = make_box<2>({8, 8}, {Strides{8, 1}, Strides{1, 8}});
  EXPECT_EQ(widest_word(transposed, 256, 512, 2), 2);
}

TEST(InWords, DividesTheInnermostAxisAndTheOuterStrides) {
  const Box<2> words = in_words(make_box<2>({10, 8}, {Strides{8, 1}, Strides{24, 1}}), 4);
  EXPECT_EQ(words.size[0], 10);
  EXPECT_EQ(words.size[1], 2);
  EXPECT_EQ(words.stride[0][0], 2);
  EXPECT_EQ(words.stride[1][0], 6);
  EXPECT_EQ(words.stride[1][1], 1);
}

TEST(TransposedAxis, IsWhereTheSourceIsDense) {
  EXPECT_EQ(transposed_axis(make_box<2>({9, 8}, {Strides{8, 1}, Strides{1, 9}})), 0);
  EXPECT_EQ(transposed_axis(make_box<2>({2, 9, 8}, {Strides{72, 8, 1}, Strides{72, 1, 9}})), 1);
  EXPECT_EQ(transposed_axis(make_box<2>({9, 8}, {Strides{8, 1}, Strides{16, 2}})), -1);
  EXPECT_EQ(transposed_axis(make_box<2>({9, 8}, {Strides{16, 2}, Strides{1, 9}})), -1) << "target is not dense";
  EXPECT_EQ(transposed_axis(make_box<2>({9, 2}, {Strides{2, 1}, Strides{1, 9}})), -1) << "too thin for tiles";
}

TEST(ConvertNumber, TruncatesAndClampsFloatsAndSendsNanToZero) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ((convert_number<std::int32_t>(-1.9F)), -1);
  EXPECT_EQ((convert_number<std::int32_t>(3e9F)), std::numeric_limits<std::int32_t>::max());
  EXPECT_EQ((convert_number<std::int32_t>(-3e9F)), std::numeric_limits<std::int32_t>::min());
  EXPECT_EQ((convert_number<std::int32_t>(-2147483648.0F)), std::numeric_limits<std::int32_t>::min());
  EXPECT_EQ((convert_number<std::int32_t>(2147483647.0)), 2147483647);
  EXPECT_EQ((convert_number<std::int64_t>(infinity)), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ((convert_number<std::int64_t>(-infinity)), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ((convert_number<std::int64_t>(9.3e18F)), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ((convert_number<std::int64_t>(std::nan(""))), 0);
  EXPECT_EQ((convert_number<std::uint8_t>(255.9F)), 255);
  EXPECT_EQ((convert_number<std::uint8_t>(256.0F)), 255);
  EXPECT_EQ((convert_number<std::uint8_t>(-0.5F)), 0);
  EXPECT_EQ((convert_number<std::uint8_t>(-7.0F)), 0);
}

TEST(ConvertNumber, KeepsTheLowBitsOfIntegersAndAsksBoolForNonzero) {
  EXPECT_EQ((convert_number<std::uint8_t>(std::int32_t{-1})), 255);
  EXPECT_EQ((convert_number<std::int32_t>((std::int64_t{1} << 40) + 5)), 5);
  EXPECT_TRUE((convert_number<bool>(0.25)));
  EXPECT_TRUE((convert_number<bool>(std::nanf(""))));
  EXPECT_FALSE((convert_number<bool>(-0.0F)));
  EXPECT_EQ((convert_number<float>(true)), 1.0F);
}

}  // namespace
}  // namespace twingrad::cuda
