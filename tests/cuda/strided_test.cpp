// The index arithmetic of the CUDA kernels, run on the host.
#include "cuda/strided.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <set>
#include <vector>

namespace twingrad::cuda {
namespace {

const std::vector<std::uint32_t> divisors32 = {1,     2,         3,           5,           7,          10,    31,
                                               32,    33,        641,         1000,        65535,      65536, 65537,
                                               99991, 1U << 30U, 0x7ffffffeU, 0x7fffffffU, 0x80000000U};

TEST(Divisor32, IsExactAtTheEdgesOfEveryQuotient) {
  for (const std::uint32_t d : divisors32) {
    const Divisor32 divisor(d);
    for (const std::uint64_t multiple : {0ULL, 1ULL, 2ULL, 1000ULL, 0x7fffffffULL / d}) {
      for (const std::int64_t shift : {-1, 0, 1}) {
        const std::int64_t n = static_cast<std::int64_t>(multiple * d) + shift;
        if (n >= 0 && n <= 0x7fffffff) {
          ASSERT_EQ(divisor.quotient(static_cast<std::uint32_t>(n)), static_cast<std::uint32_t>(n) / d)
              << n << " / " << d;
        }
      }
    }
    ASSERT_EQ(divisor.quotient(0x7fffffffU), 0x7fffffffU / d) << d;
  }
}

TEST(Divisor32, IsExactForRandomNumbers) {
  std::mt19937 generator(1);
  std::uniform_int_distribution<std::uint32_t> any(0, 0x7fffffffU);
  for (int i = 0; i < 200000; ++i) {
    const std::uint32_t d = (any(generator) >> (any(generator) % 31U)) + 1U;
    const std::uint32_t n = any(generator) >> (any(generator) % 31U);
    ASSERT_EQ(Divisor32(d).quotient(n), n / d) << n << " / " << d;
  }
}

TEST(Divisor64, IsExactForRandomNumbersAndEdges) {
  std::mt19937_64 generator(2);
  constexpr std::int64_t largest = std::numeric_limits<std::int64_t>::max();
  std::uniform_int_distribution<std::int64_t> any(0, largest);
  for (int i = 0; i < 200000; ++i) {
    const std::int64_t d = std::max<std::int64_t>(1, any(generator) >> (any(generator) % 63));
    const std::int64_t n = any(generator) >> (any(generator) % 63);
    const Divisor64 divisor(d);
    ASSERT_EQ(divisor.quotient(n), n / d) << n << " / " << d;
    ASSERT_EQ(divisor.quotient(largest), largest / d) << d;
    const std::int64_t multiple = n / d * d;
    ASSERT_EQ(divisor.quotient(multiple), n / d);
    if (multiple > 0) {
      ASSERT_EQ(divisor.quotient(multiple - 1), n / d - 1);
    }
  }
}

TEST(Collapse, MergesWhatAllOperandsWalkAsOne) {
  const Box<2> contiguous = make_box<2>({2, 3, 4}, {Strides{12, 4, 1}, Strides{12, 4, 1}});
  EXPECT_EQ(contiguous.rank, 1);
  EXPECT_EQ(contiguous.size[0], 24);
  EXPECT_EQ(contiguous.stride[1][0], 1);

  const Box<2> row_broadcast = make_box<2>({2, 3, 4}, {Strides{12, 4, 1}, Strides{0, 0, 1}});
  EXPECT_EQ(row_broadcast.rank, 2);
  EXPECT_EQ(row_broadcast.size[0], 6);
  EXPECT_EQ(row_broadcast.size[1], 4);
  EXPECT_EQ(row_broadcast.stride[1][0], 0);

  const Box<2> scalar_broadcast = make_box<2>({2, 3}, {Strides{3, 1}, Strides{0, 0}});
  EXPECT_EQ(scalar_broadcast.rank, 1);
  EXPECT_EQ(scalar_broadcast.stride[1][0], 0);

  const Box<1> ones = make_box<1>({1, 1}, {Strides{77, -5}});
  EXPECT_EQ(ones.rank, 0);
  EXPECT_EQ(ones.numel(), 1);

  const Box<1> reversed = make_box<1>({4, 5}, {Strides{-5, -1}});
  EXPECT_EQ(reversed.rank, 1);
  EXPECT_EQ(reversed.stride[0][0], -1);

  EXPECT_EQ(make_box<1>({4, 5}, {Strides{1, 4}}).rank, 2);
  EXPECT_EQ(make_box<1>({3, 0}, {Strides{0, 1}}).numel(), 0);
}

/// The offset of element `index`, worked out the plain way.
std::int64_t plain_offset(const Shape& shape, const Strides& strides, std::int64_t index) {
  std::int64_t offset = 0;
  for (int axis = shape.size() - 1; axis >= 0; --axis) {
    offset += index % shape[axis] * strides[axis];
    index /= shape[axis];
  }
  return offset;
}

struct Views {
  Shape shape;
  std::array<Strides, 3> strides;
};

const std::vector<Views> views = {
    {{}, {Strides{}, Strides{}, Strides{}}},
    {{7}, {Strides{1}, Strides{0}, Strides{-3}}},
    {{3, 5}, {Strides{5, 1}, Strides{1, 3}, Strides{0, 1}}},
    {{2, 1, 33}, {Strides{33, 33, 1}, Strides{1, 9, 2}, Strides{33, 0, 1}}},
    {{4, 3, 2, 5}, {Strides{30, 10, 5, 1}, Strides{1, 4, 12, 24}, Strides{0, 5, 0, -1}}},
    {{2, 1, 3, 1, 2, 3, 1, 2},
     {Strides{36, 36, 12, 12, 6, 2, 2, 1}, Strides{1, 5, 2, 5, 6, 12, 5, 36}, Strides{0, 0, 7, 0, 0, 0, 0, 100}}}};

TEST(Offsets, AgreeWithPlainIndexing) {
  for (const Views& view : views) {
    const Box<3> box = make_box<3>(view.shape, view.strides);
    const Offsets32<3> narrow(box);
    const Offsets64<3> wide(box);
    const std::int64_t count = numel(view.shape);
    ASSERT_EQ(box.numel(), count);
    for (std::int64_t i = 0; i < count; ++i) {
      std::int32_t offset32[3];
      std::int64_t offset64[3];
      narrow.locate(static_cast<std::uint32_t>(i), offset32);
      wide.locate(i, offset64);
      for (std::size_t n = 0; n < 3; ++n) {
        const std::int64_t expected = plain_offset(view.shape, view.strides[n], i);
        ASSERT_EQ(offset32[n], expected) << to_string(view.shape) << " operand " << n << " element " << i;
        ASSERT_EQ(offset64[n], expected) << to_string(view.shape) << " operand " << n << " element " << i;
      }
      ASSERT_EQ(wide.offset(i), offset64[0]);
    }
  }
}

TEST(Parts, CoverEveryElementOnceWithinTheLimit) {
  for (const Views& view : views) {
    for (const std::int64_t limit : {2, 5, 17, 64, 1000}) {
      const Box<3> box = make_box<3>(view.shape, view.strides);
      std::multiset<std::array<std::int64_t, 3>> expected;
      const Offsets64<3> all(box);
      for (std::int64_t i = 0; i < box.numel(); ++i) {
        std::int64_t offset[3];
        all.locate(i, offset);
        expected.insert({offset[0], offset[1], offset[2]});
      }
      std::multiset<std::array<std::int64_t, 3>> visited;
      const auto visit = [&](const Box<3>& part, const Elements<3>& start) {
        ASSERT_TRUE(fits(part, limit));
        const Offsets64<3> offsets(part);
        for (std::int64_t i = 0; i < part.numel(); ++i) {
          std::int64_t offset[3];
          offsets.locate(i, offset);
          visited.insert({start[0] + offset[0], start[1] + offset[1], start[2] + offset[2]});
        }
      };
      for_each_part<3>(box, visit, {}, limit);
      ASSERT_EQ(visited, expected) << to_string(view.shape) << " limit " << limit;
    }
  }
}

TEST(Parts, CutLongAxesAtMultiplesOfSixteen) {
  Box<1> box;
  box.push_back(limit32 + 5, {{1}});
  std::vector<std::int64_t> starts;
  const auto visit = [&](const Box<1>&, const Elements<1>& start) { starts.push_back(start[0]); };
  for_each_part<1>(box, visit);
  ASSERT_EQ(starts.size(), 2U);
  EXPECT_EQ(starts[0], 0);
  EXPECT_EQ(starts[1] % 16, 0);
}

}  // namespace
}  // namespace twingrad::cuda
