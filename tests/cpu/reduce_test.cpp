// Reductions against double sums within the bound that lanes.h states, and their promises: the same bits whatever the
// layout and the number of threads, NaN and empty axes as documented.
#include <twingrad/kernels.h>

#include "cpu/lanes.h"
#include "cpu/parallel.h"
#include "tests/cpu/kernel_fixture.h"

namespace twingrad {
namespace {

/// Row-major elements of x that go into each output.
std::vector<std::vector<double>> groups(const KernelOperand& x, const Dims& axes) {
  const Shape& shape = x.view.shape;
  Shape kept;
  for (int axis = 0; axis < shape.size(); ++axis) {
    if (!axes.contains(axis)) {
      kept.push_back(shape[axis]);
    }
  }
  std::vector<std::vector<double>> result(static_cast<std::size_t>(numel(kept)));
  const Strides strides = contiguous_strides(kept);
  for (std::size_t i = 0; i < x.values.size(); ++i) {
    auto rest = static_cast<std::int64_t>(i);
    std::int64_t at = 0;
    int k = kept.size();
    for (int axis = shape.size() - 1; axis >= 0; --axis) {
      if (!axes.contains(axis)) {
        at += rest % shape[axis] * strides[--k];
      }
      rest /= shape[axis];
    }
    result[static_cast<std::size_t>(at)].push_back(x.values[i]);
  }
  return result;
}

Shape kept_shape(const Shape& shape, const Dims& axes) {
  Shape kept;
  for (int axis = 0; axis < shape.size(); ++axis) {
    if (!axes.contains(axis)) {
      kept.push_back(shape[axis]);
    }
  }
  return kept;
}

/// The number of roundings on the longest path of a sum of n values (lanes.h).
double depth(std::size_t n) {
  const double chunks = std::ceil(static_cast<double>(n) / 2048.0);
  return std::min(128.0, std::ceil(static_cast<double>(n) / 16.0)) + 4.0 + std::ceil(std::log2(std::max(1.0, chunks)));
}

struct Case {
  Shape shape;
  Dims axes;
};

const std::vector<Case> cases = {{{1}, {0}},
                                 {{7}, {0}},
                                 {{31}, {0}},
                                 {{257}, {0}},
                                 {{5000}, {0}},
                                 {{70001}, {0}},
                                 {{33, 31}, {0}},
                                 {{33, 31}, {1}},
                                 {{33, 31}, {0, 1}},
                                 {{3, 5000}, {1}},
                                 {{5000, 3}, {0}},
                                 {{5000, 130}, {0}},
                                 {{2, 50001}, {0}},
                                 {{1, 9}, {0}},
                                 {{9, 1}, {1}},
                                 {{4, 5, 6}, {1}},
                                 {{4, 5, 6}, {0, 2}},
                                 {{4, 50, 70}, {1, 2}},
                                 {{40, 5, 70}, {0, 2}},
                                 {{3, 4, 5, 6}, {0, 2}},
                                 {{3, 4, 5, 6}, {1, 3}},
                                 {{2, 3000, 65}, {1}},
                                 {{300, 2, 65}, {0, 1}}};

class CpuReduce : public KernelTest {};

TEST_F(CpuReduce, ChunksOfResultsSideBySideFoldAsThoseOfOne) {
  const std::int64_t width = 37;
  for (const std::int64_t chunks : {1, 2, 3, 4, 5, 7, 8, 13, 33}) {
    const std::int64_t stride = width + 6;
    std::uniform_real_distribution<float> draw(-2, 2);
    std::vector<float> partial(static_cast<std::size_t>(chunks * stride));
    std::generate(partial.begin(), partial.end(), [&] { return draw(generator_); });
    const std::vector<float> before = partial;
    const std::int64_t first = 3;
    cpu::fold_chunk_rows<cpu::AddStep>(partial.data() + first, chunks, width, stride);
    for (std::int64_t i = 0; i < stride; ++i) {
      std::vector<float> one;
      for (std::int64_t c = 0; c < chunks; ++c) {
        one.push_back(before[static_cast<std::size_t>(c * stride + i)]);
      }
      const bool folded = i >= first && i < first + width;
      EXPECT_EQ(partial[static_cast<std::size_t>(i)],
                folded ? cpu::fold_chunks<cpu::AddStep>(one.data(), chunks) : one[0])
          << chunks << " chunks, result " << i;
    }
  }
}

TEST_F(CpuReduce, SumMeanWithinTheBoundOnEveryLayout) {
  for (const Dtype dtype : float_dtypes) {
    for (const Case& c : cases) {
      for (const Layout layout : all_layouts) {
        const KernelOperand x = operand(dtype, c.shape, layout);
        const Shape out = kept_shape(c.shape, c.axes);
        const Result sum = run(op(Family::reduce, Reduce::sum), {x.view}, dtype, out, {.ints = c.axes});
        const Result mean = run(op(Family::reduce, Reduce::mean), {x.view}, dtype, out, {.ints = c.axes});
        const auto expected = groups(x, c.axes);
        for (std::size_t i = 0; i < expected.size(); ++i) {
          double exact = 0.0;
          double magnitude = 0.0;
          for (const double value : expected[i]) {
            exact += value;
            magnitude += std::abs(value);
          }
          const auto n = static_cast<double>(expected[i].size());
          // Two more roundings for the double sum of the oracle and the output's own.
          const double bound = 1.01 * (depth(expected[i].size()) * sum_roundoff(dtype) + n * 0x1p-53) * magnitude;
          ASSERT_LE(std::abs(sum.values[i] - exact), bound + roundoff(dtype) * std::abs(exact) * 1.01)
              << name(dtype) << ' ' << to_string(c.shape) << " over " << to_string(c.axes) << " output " << i;
          ASSERT_LE(std::abs(mean.values[i] - exact / n), (bound + 2.02 * roundoff(dtype) * std::abs(exact)) / n)
              << name(dtype) << ' ' << to_string(c.shape) << " over " << to_string(c.axes) << " output " << i;
        }
      }
    }
  }
}

TEST_F(CpuReduce, SameBitsOnEveryLayoutAndNumberOfThreads) {
  for (const Case& c : cases) {
    const Shape out = kept_shape(c.shape, c.axes);
    const KernelOperand first = operand(f32, c.shape);
    const Result reference = run(op(Family::reduce, Reduce::sum), {first.view}, f32, out, {.ints = c.axes});
    for (const int threads : {1, 2, 5}) {
      const cpu::LimitThreads set(threads);
      for (const Layout layout : all_layouts) {
        const KernelOperand x = operand(f32, c.shape, layout, first.values);
        const Result sum = run(op(Family::reduce, Reduce::sum), {x.view}, f32, out, {.ints = c.axes});
        EXPECT_EQ(sum.values, reference.values)
            << to_string(c.shape) << " over " << to_string(c.axes) << ", " << threads << " threads";
      }
    }
  }
}

TEST_F(CpuReduce, IntegersSumIn64BitsAndExtremesKeepTheDtype) {
  for (const Dtype dtype : {i32, i64, u8, boolean}) {
    for (const Case& c : cases) {
      for (const Layout layout : all_layouts) {
        const KernelOperand x = operand(dtype, c.shape, layout, -3.0, 4.0);
        const Shape out = kept_shape(c.shape, c.axes);
        const Result sum = run(op(Family::reduce, Reduce::sum), {x.view}, i64, out, {.ints = c.axes});
        const Result largest = run(op(Family::reduce, Reduce::amax), {x.view}, dtype, out, {.ints = c.axes});
        const Result smallest = run(op(Family::reduce, Reduce::amin), {x.view}, dtype, out, {.ints = c.axes});
        const auto expected = groups(x, c.axes);
        for (std::size_t i = 0; i < expected.size(); ++i) {
          double exact = 0.0;
          for (const double value : expected[i]) {
            exact += value;
          }
          ASSERT_EQ(sum.values[i], exact) << name(dtype) << ' ' << to_string(c.shape) << " over " << to_string(c.axes);
          ASSERT_EQ(largest.values[i], *std::max_element(expected[i].begin(), expected[i].end()));
          ASSERT_EQ(smallest.values[i], *std::min_element(expected[i].begin(), expected[i].end()));
        }
      }
    }
  }
}

TEST_F(CpuReduce, ProductOfSmallGroups) {
  for (const Dtype dtype : {f32, f64, bf16, f16, i32, i64, u8}) {
    const bool integer = is_integer(dtype);
    for (const Layout layout : all_layouts) {
      const KernelOperand x = operand(dtype, {4, 7, 6}, layout, 0.5, 2.0);
      const Result result =
          run(op(Family::reduce, Reduce::prod), {x.view}, integer ? i64 : dtype, {4, 6}, {.ints = {1}});
      const auto expected = groups(x, {1});
      for (std::size_t i = 0; i < expected.size(); ++i) {
        double exact = 1.0;
        for (const double value : expected[i]) {
          exact *= value;
        }
        // At most 7 + 4 products by ones and values, and the output's rounding.
        const double bound = integer ? 0.0 : (12.0 * sum_roundoff(dtype) + roundoff(dtype)) * 1.01 * std::abs(exact);
        ASSERT_LE(std::abs(result.values[i] - exact), bound) << name(dtype);
      }
    }
  }
}

TEST_F(CpuReduce, EmptyAxes) {
  const KernelOperand x = operand(f32, {3, 0});
  EXPECT_EQ(run(op(Family::reduce, Reduce::sum), {x.view}, f32, {3}, {.ints = {1}}).values,
            std::vector<double>(3, 0.0));
  EXPECT_EQ(run(op(Family::reduce, Reduce::prod), {x.view}, f32, {3}, {.ints = {1}}).values,
            std::vector<double>(3, 1.0));
  for (const double value : run(op(Family::reduce, Reduce::mean), {x.view}, f32, {3}, {.ints = {1}}).values) {
    EXPECT_TRUE(std::isnan(value));
  }
  const KernelOperand y = operand(f32, {0, 3});
  EXPECT_EQ(run(op(Family::reduce, Reduce::sum), {y.view}, f32, {3}, {.ints = {0}}).values,
            std::vector<double>(3, 0.0));
  const KernelOperand z = operand(i32, {0, 3});
  EXPECT_EQ(run(op(Family::reduce, Reduce::sum), {z.view}, i64, {}, {.ints = {0, 1}}).values,
            std::vector<double>(1, 0.0));
}

TEST_F(CpuReduce, NanWinsEverywhere) {
  for (const Dtype dtype : float_dtypes) {
    for (const std::size_t where : {0U, 20U, 64U}) {
      std::vector<double> values(65, 1.0);
      values[where] = std::numeric_limits<double>::quiet_NaN();
      const KernelOperand x = operand(dtype, {65}, Layout::contiguous, values);
      for (const Reduce kernel : {Reduce::sum, Reduce::mean, Reduce::prod, Reduce::amax, Reduce::amin}) {
        EXPECT_TRUE(std::isnan(run(op(Family::reduce, kernel), {x.view}, dtype, {}, {.ints = {0}}).values[0]));
      }
      for (const ArgReduce kernel : {ArgReduce::argmax, ArgReduce::argmin}) {
        EXPECT_EQ(run(op(Family::arg_reduce, kernel), {x.view}, i64, {}, {.ints = {0}}).values[0],
                  static_cast<double>(where));
      }
    }
  }
}

TEST_F(CpuReduce, ArgExtremesFindTheFirst) {
  for (const Dtype dtype : all_dtypes) {
    for (const Shape& shape : {Shape{1, 1}, Shape{33, 257}, Shape{300, 3}, Shape{2, 130}}) {
      for (const Layout layout : all_layouts) {
        // Few distinct values, so that there are ties.
        KernelOperand x = operand(dtype, shape, layout, 0.0, 6.0);
        for (double& value : x.values) {
          value = std::floor(value);
        }
        x = operand(dtype, shape, layout, x.values);
        for (const int axis : {0, 1}) {
          const Dims axes{axis};
          const Shape out = kept_shape(shape, axes);
          const Result largest = run(op(Family::arg_reduce, ArgReduce::argmax), {x.view}, i64, out, {.ints = axes});
          const Result smallest = run(op(Family::arg_reduce, ArgReduce::argmin), {x.view}, i64, out, {.ints = axes});
          const auto expected = groups(x, axes);
          for (std::size_t i = 0; i < expected.size(); ++i) {
            const auto& group = expected[i];
            ASSERT_EQ(largest.values[i],
                      static_cast<double>(std::max_element(group.begin(), group.end()) - group.begin()));
            ASSERT_EQ(smallest.values[i],
                      static_cast<double>(std::min_element(group.begin(), group.end()) - group.begin()));
          }
        }
      }
    }
  }
}

class CpuScan : public KernelTest {};

TEST_F(CpuScan, RunningSumsFromEitherEnd) {
  for (const Dtype dtype : {f32, f64, bf16, f16, i32, i64}) {
    for (const Shape& shape : {Shape{1}, Shape{257}, Shape{4, 31, 3}, Shape{3, 7, 130}}) {
      for (int axis = 0; axis < shape.size(); ++axis) {
        for (const std::int64_t from_end : {0, 1}) {
          // Small integers, so that every sum is exact in every dtype.
          KernelOperand x = operand(dtype, shape, Layout::contiguous, 0.0, 2.0);
          for (double& value : x.values) {
            value = std::floor(value) * (dtype == bf16 ? 0.5 : 1.0);
          }
          x = operand(dtype, shape, Layout::contiguous, x.values);
          const Result result = run(op(Family::scan, 0), {x.view}, dtype, shape, {.ints = {axis, from_end}});
          const std::int64_t step = contiguous_strides(shape)[axis];
          for (std::size_t i = 0; i < result.values.size(); ++i) {
            const std::int64_t at = static_cast<std::int64_t>(i) / step % shape[axis];
            double sum = 0.0;
            for (std::int64_t r = from_end == 1 ? at : 0; r <= (from_end == 1 ? shape[axis] - 1 : at); ++r) {
              sum += x.values[static_cast<std::size_t>(static_cast<std::int64_t>(i) + (r - at) * step)];
            }
            ASSERT_EQ(result.values[i], sum) << name(dtype) << ' ' << to_string(shape) << " axis " << axis;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace twingrad
