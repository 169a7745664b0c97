#include <gtest/gtest.h>
#include <twingrad/dtype.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

namespace twingrad {
namespace {

TEST(Bfloat16, RoundTripsEveryPattern) {
  for (std::uint32_t bits = 0; bits < 0x10000U; ++bits) {
    bfloat16 value;
    value.bits = static_cast<std::uint16_t>(bits);
    const auto wide = static_cast<float>(value);
    if (std::isnan(wide)) {
      EXPECT_TRUE(std::isnan(static_cast<float>(bfloat16(wide))));
    } else {
      EXPECT_EQ(bfloat16(wide).bits, bits);
    }
  }
}

TEST(Float16, RoundTripsEveryPattern) {
  for (std::uint32_t bits = 0; bits < 0x10000U; ++bits) {
    float16 value;
    value.bits = static_cast<std::uint16_t>(bits);
    const auto wide = static_cast<float>(value);
    if (std::isnan(wide)) {
      EXPECT_TRUE(std::isnan(static_cast<float>(float16(wide))));
    } else {
      EXPECT_EQ(float16(wide).bits, bits);
    }
  }
}

// Every float between two neighbours goes to the nearer one, the middle to the even one.
template <class Half>
void expect_nearest_even(std::uint16_t first, std::uint16_t last) {
  for (std::uint16_t bits = first; bits < last; ++bits) {
    Half low;
    Half high;
    low.bits = bits;
    high.bits = static_cast<std::uint16_t>(bits + 1);
    const auto a = static_cast<float>(low);
    const auto b = static_cast<float>(high);
    const float middle = a + (b - a) / 2;
    EXPECT_EQ(Half(middle).bits, bits % 2 == 0 ? low.bits : high.bits) << bits;
    EXPECT_EQ(Half(std::nextafter(middle, a)).bits, low.bits) << bits;
    EXPECT_EQ(Half(std::nextafter(middle, b)).bits, high.bits) << bits;
  }
}

TEST(Float16, RoundsToNearestEvenFromSubnormalsToTheLargest) {
  expect_nearest_even<float16>(0x0000, 0x7bff);
}
TEST(Bfloat16, RoundsToNearestEven) {
  expect_nearest_even<bfloat16>(0x0080, 0x7f7e);
}

TEST(Float16, OverflowsToInfinityAt65520) {
  EXPECT_EQ(float16(65519.0F).bits, 0x7bff);
  EXPECT_EQ(float16(65520.0F).bits, 0x7c00);
  EXPECT_EQ(float16(-65520.0F).bits, 0xfc00);
}

TEST(Dtype, SizesMatchTheTypes) {
  for (const Dtype dtype : {f32, f64, bf16, f16, i32, i64, u8, boolean}) {
    visit(dtype, [&]<class T>(Type<T>) {
      EXPECT_EQ(size_of(dtype), sizeof(T)) << name(dtype);
      EXPECT_EQ(dtype_of_v<T>, dtype);
    });
  }
}

}  // namespace
}  // namespace twingrad
