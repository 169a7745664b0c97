// The emulated conversions of 16-bit floats against those of core/dtype.h, which were written apart.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <twingrad/dtype.h>

#include <cmath>
#include <random>

#include "tests/cuda_emulator/fixture.h"

namespace cuda_emulator {
namespace {

TEST(IntrinsicsTest, HalvesWiden) {
  for (unsigned bits = 0; bits < 0x10000; ++bits) {
    twingrad::float16 half;
    half.bits = static_cast<std::uint16_t>(bits);
    const float found = __half2float(__ushort_as_half(half.bits));
    const auto expected = static_cast<float>(half);
    ASSERT_TRUE(found == expected || (std::isnan(found) && std::isnan(expected))) << bits;
    ASSERT_TRUE(std::isnan(found) || std::signbit(found) == std::signbit(expected)) << bits;
  }
}

TEST(IntrinsicsTest, FloatsAreRoundedAlike) {
  std::mt19937 engine(1);
  for (int i = 0; i < 2'000'000; ++i) {
    std::uint32_t bits = static_cast<std::uint32_t>(engine());
    if (i % 2 == 0) {  // around the range of binary16, and half way between its numbers
      bits = (bits & 0x8fffffffU) | 0x30000000U;
      bits = i % 4 == 0 ? (bits & ~0xfffU) : bits;
    }
    const float value = __uint_as_float(bits);
    if (std::isnan(value)) {
      ASSERT_TRUE(std::isnan(__half2float(__float2half_rn(value))));
      ASSERT_TRUE(std::isnan(__bfloat162float(__float2bfloat16_rn(value))));
      continue;
    }
    ASSERT_EQ(__half_as_ushort(__float2half_rn(value)), twingrad::float16(value).bits) << value;
    ASSERT_EQ(__bfloat16_as_ushort(__float2bfloat16_rn(value)), twingrad::bfloat16(value).bits) << value;
  }
}

}  // namespace
}  // namespace cuda_emulator
