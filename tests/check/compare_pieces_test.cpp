// The comparison of eight elements at a time against the one that goes element by element.
#include <gtest/gtest.h>
#include <twingrad/check/compare_pieces.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace twingrad::check {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

/// Elements of every kind, the share `odd` of them remarkable ones.
struct Drawn {
  std::vector<double> actual;
  std::vector<Tracked> due;
};

Drawn draw(Dtype dtype, std::size_t count, double odd, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> uniform;
  const bool wide = dtype == Dtype::f64;
  const double unit = wide ? 0x1p-53 : 0x1p-24;
  const double special[] = {0.0,  -0.0, infinity, -infinity, std::nan(""), wide ? 5e-324 : 0x1p-149, 0x1.fffffep127,
                            1e300};
  Drawn drawn;
  for (std::size_t i = 0; i < count; ++i) {
    Tracked due;
    due.value = std::ldexp(normal(random), static_cast<int>(random() % 40) - 20);
    const double step = unit * std::abs(due.value);
    due.variance = step * step;
    due.library = uniform(random) < 0.3 ? step : 0;
    due.worst = 3 * step;
    double actual = due.value + (uniform(random) < 0.4 ? 0 : 0.8 * step * normal(random));
    if (uniform(random) < odd) {
      switch (random() % 5) {
        case 0:
          due.value = special[random() % std::size(special)];
          break;
        case 1:
          actual = special[random() % std::size(special)];
          break;
        case 2:
          due.overflow = true;
          break;
        case 3:
          actual = due.value * (1 + 100 * unit);
          break;
        default:
          due.variance = due.library = due.worst = 0;
          break;
      }
    }
    drawn.actual.push_back(actual);
    drawn.due.push_back(due);
  }
  return drawn;
}

Comparison in_pieces(const Drawn& drawn, Dtype dtype, const CompareOptions& options, std::int64_t piece) {
  PartialComparison all;
  const auto count = static_cast<std::int64_t>(drawn.due.size());
  for (std::int64_t begin = 0; begin < count; begin += piece) {
    Elements elements;
    elements.begin = begin;
    elements.resize(std::min(piece, count - begin));
    for (std::int64_t i = 0; i < elements.count; ++i) {
      elements.set(i, drawn.due[static_cast<std::size_t>(begin + i)]);
    }
    PartialComparison part;
    compare_piece(drawn.actual.data() + begin, elements, dtype, options.lambda, part);
    join(all, part);
  }
  return concluded(all, options);
}

TEST(ComparePiecesTest, FindWhatGoingOneByOneFinds) {
  for (const Dtype dtype : {Dtype::f32, Dtype::f64, Dtype::bf16, Dtype::i64}) {
    for (const double odd : {0.0, 0.01, 0.3}) {
      for (const std::int64_t piece : {8, 100, 1000}) {
        const Drawn drawn = draw(dtype, 1003, odd, 5);
        const Comparison expected = compare(drawn.actual, drawn.due, dtype);
        const Comparison found = in_pieces(drawn, dtype, {}, piece);
        EXPECT_EQ(found.finding, expected.finding);
        EXPECT_EQ(found.checked, expected.checked);
        EXPECT_EQ(found.skipped, expected.skipped);
        EXPECT_EQ(found.outside, expected.outside);
        EXPECT_EQ(found.max_error, expected.max_error);
        EXPECT_EQ(found.max_ratio, expected.max_ratio);
        EXPECT_EQ(found.worst_index, expected.worst_index);
        EXPECT_EQ(found.worst_bound, expected.worst_bound);
        EXPECT_EQ(found.ulps, expected.ulps) << name(dtype) << ' ' << odd;
        EXPECT_EQ(found.outside_mod_32, expected.outside_mod_32);
        EXPECT_EQ(found.outside_mod_128, expected.outside_mod_128);
        if (std::isfinite(expected.rms_ratio)) {
          EXPECT_NEAR(found.rms_ratio, expected.rms_ratio, 1e-12 * expected.rms_ratio);
        } else {
          EXPECT_FALSE(std::isfinite(found.rms_ratio));
        }
      }
    }
  }
}

TEST(ComparePiecesTest, CountElementsThatRoundAlikeOnce) {
  for (const std::size_t distinct : {1U, 5U, 12U}) {
    Drawn drawn = draw(Dtype::f32, 200, 0, 3);
    for (std::size_t i = 0; i < drawn.due.size(); ++i) {
      Tracked& due = drawn.due[i] = drawn.due[i % distinct];
      due.library = 0;
      due.worst = 16 * due.sigma();
      drawn.actual[i] = due.value + 3.4 * due.sigma();
    }
    const Finding expected = distinct < 12 ? Finding::none : Finding::tile;
    EXPECT_EQ(compare(drawn.actual, drawn.due, Dtype::f32).finding, expected) << distinct;
    EXPECT_EQ(in_pieces(drawn, Dtype::f32, {}, 24).finding, expected) << distinct;
    EXPECT_EQ(in_pieces(drawn, Dtype::f32, {}, 7).finding, expected) << distinct;
  }
}

TEST(ComparePiecesTest, SeeOneWrongElementWhereverItIs) {
  for (std::size_t wrong = 0; wrong < 37; ++wrong) {
    Drawn drawn = draw(Dtype::f32, 37, 0, 9);
    drawn.actual[wrong] *= 1.001;
    const Comparison found = in_pieces(drawn, Dtype::f32, {}, 16);
    EXPECT_EQ(found.finding, Finding::element);
    EXPECT_EQ(found.outside, 1);
    EXPECT_EQ(found.worst_index, static_cast<std::int64_t>(wrong));
  }
}

TEST(ComparePiecesTest, ExactElementsMustBeEqual) {
  Elements elements;
  elements.resize(24);
  elements.exact = true;
  std::vector<double> actual(24, 2.0);
  std::fill(elements.value.begin(), elements.value.end(), 2.0);
  PartialComparison part;
  compare_piece(actual.data(), elements, Dtype::i32, 8, part);
  EXPECT_EQ(concluded(part, {}).finding, Finding::none);
  actual[17] = 3;
  compare_piece(actual.data(), elements, Dtype::i32, 8, part);
  EXPECT_EQ(concluded(part, {}).finding, Finding::element);
  EXPECT_EQ(part.seen.outside, 1);
}

}  // namespace
}  // namespace twingrad::check
