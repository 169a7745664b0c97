// Softmax, normalisation and their kin against the same formulas in double.
#include <twingrad/kernels.h>

#include "cpu/parallel.h"
#include "tests/cpu/kernel_fixture.h"

namespace twingrad {
namespace {

const double infinity = std::numeric_limits<double>::infinity();

class CpuRows : public KernelTest {
 protected:
  static constexpr std::int64_t lengths[] = {1, 7, 31, 33, 255, 257, 1025, 5000};
  static constexpr std::int64_t rows = 5;
};

TEST_F(CpuRows, SoftmaxLogSoftmaxAndLogsumexp) {
  for (const Dtype dtype : float_dtypes) {
    for (const std::int64_t n : lengths) {
      const KernelOperand x = operand(dtype, {rows, n}, Layout::contiguous, -8.0, 8.0);
      const Result softmax = run(op(Family::rows, Rows::softmax), {x.view}, dtype, {rows, n});
      const Result log_softmax = run(op(Family::rows, Rows::log_softmax), {x.view}, dtype, {rows, n});
      const Result logsumexp = run(op(Family::rows, Rows::logsumexp), {x.view}, dtype, {rows});
      for (std::int64_t r = 0; r < rows; ++r) {
        const auto begin = x.values.begin() + r * n;
        const double largest = *std::max_element(begin, begin + n);
        double sum = 0.0;
        for (auto value = begin; value != begin + n; ++value) {
          sum += std::exp(*value - largest);
        }
        // x - max is rounded at up to 16, exp, the sum's depth of at most 16 + 128 steps, and a division.
        const double steps = 16.0 + std::min(128.0, std::ceil(static_cast<double>(n) / 16.0)) + 10.0;
        const double relative = steps * sum_roundoff(dtype);
        const double log_error = relative + 4.0 * 16.0 * sum_roundoff(dtype);
        const double expected_sum = largest + std::log(sum);
        ASSERT_LE(std::abs(logsumexp.values[static_cast<std::size_t>(r)] - expected_sum),
                  log_error + roundoff(dtype) * std::abs(expected_sum))
            << name(dtype) << ' ' << n;
        for (std::int64_t i = 0; i < n; ++i) {
          const auto at = static_cast<std::size_t>(r * n + i);
          const double p = std::exp(x.values[at] - largest) / sum;
          const double smallest = dtype == f16 ? 0x1p-25 : 0.0;  // half a step of its subnormals
          ASSERT_LE(std::abs(softmax.values[at] - p), (relative + roundoff(dtype)) * p + smallest)
              << name(dtype) << ' ' << n;
          const double log_p = x.values[at] - largest - std::log(sum);
          ASSERT_LE(std::abs(log_softmax.values[at] - log_p), log_error + roundoff(dtype) * std::abs(log_p))
              << name(dtype) << ' ' << n;
        }
      }
    }
  }
}

TEST_F(CpuRows, InfinitiesInSoftmax) {
  for (const Dtype dtype : float_dtypes) {
    const KernelOperand x =
        operand(dtype, {3, 2}, Layout::contiguous, {-infinity, -infinity, -infinity, 0.0, 1000.0, 1000.0});
    const Result softmax = run(op(Family::rows, Rows::softmax), {x.view}, dtype, {3, 2});
    EXPECT_TRUE(std::isnan(softmax.values[0]) && std::isnan(softmax.values[1]));
    EXPECT_EQ(softmax.values[2], 0.0);
    EXPECT_EQ(softmax.values[3], 1.0);
    EXPECT_EQ(softmax.values[4], 0.5);
    const Result logsumexp = run(op(Family::rows, Rows::logsumexp), {x.view}, dtype, {3});
    EXPECT_EQ(logsumexp.values[0], -infinity);
    EXPECT_EQ(logsumexp.values[1], 0.0);
    const KernelOperand nan = operand(dtype, {1, 3}, Layout::contiguous, {0.0, std::nan(""), infinity});
    EXPECT_TRUE(std::isnan(run(op(Family::rows, Rows::logsumexp), {nan.view}, dtype, {1}).values[0]));
    EXPECT_TRUE(std::isnan(run(op(Family::rows, Rows::softmax), {nan.view}, dtype, {1, 3}).values[0]));
  }
}

TEST_F(CpuRows, LogsumexpOfEmptyRows) {
  const KernelOperand x = operand(f32, {2, 0});
  EXPECT_EQ(run(op(Family::rows, Rows::logsumexp), {x.view}, f32, {2}).values, std::vector<double>(2, -infinity));
}

TEST_F(CpuRows, LayerNormAndRmsNorm) {
  const double eps = 1e-5;
  for (const Dtype dtype : float_dtypes) {
    for (const std::int64_t n : lengths) {
      const KernelOperand x = operand(dtype, {rows, n}, Layout::contiguous, 1.0, 3.0);
      const KernelOperand weight = operand(dtype, {n});
      const KernelOperand bias = operand(dtype, {n});
      const Attributes attributes{.ints = {}, .reals = {eps, 0.0, 0.0, 0.0}};
      const Result layer =
          run(op(Family::rows, Rows::layer_norm), {x.view, weight.view, bias.view}, dtype, {rows, n}, attributes);
      const Result rms = run(op(Family::rows, Rows::rms_norm), {x.view, weight.view}, dtype, {rows, n}, attributes);
      for (std::int64_t r = 0; r < rows; ++r) {
        const auto begin = x.values.begin() + r * n;
        double sum = 0.0;
        double squares = 0.0;
        for (auto value = begin; value != begin + n; ++value) {
          sum += *value;
          squares += *value * *value;
        }
        const double mean = sum / static_cast<double>(n);
        double variance = 0.0;
        for (auto value = begin; value != begin + n; ++value) {
          variance += (*value - mean) * (*value - mean);
        }
        variance /= static_cast<double>(n);
        const double deviation = std::sqrt(variance + eps);
        const double scale = std::sqrt(squares / static_cast<double>(n) + eps);
        const double steps = std::min(128.0, std::ceil(static_cast<double>(n) / 16.0)) + 10.0;
        const double u = sum_roundoff(dtype);
        for (std::int64_t i = 0; i < n; ++i) {
          const auto at = static_cast<std::size_t>(r * n + i);
          const double w = weight.values[static_cast<std::size_t>(i)];
          const double b = bias.values[static_cast<std::size_t>(i)];
          // The mean is off by up to `steps` roundings of values below 3, which the division scales up.
          const double z = (x.values[at] - mean) / deviation;
          const double z_error =
              steps * u * 3.0 / deviation * (1.0 + std::abs(z)) + (2.0 * steps + 4.0) * u * std::abs(z);
          const double expected = z * w + b;
          ASSERT_LE(std::abs(layer.values[at] - expected), z_error * std::abs(w) +
                                                               2.0 * u * (std::abs(z * w) + std::abs(b)) +
                                                               roundoff(dtype) * std::abs(expected) * 1.01)
              << name(dtype) << ' ' << n;
          const double scaled = x.values[at] / scale * w;
          ASSERT_LE(std::abs(rms.values[at] - scaled), ((steps + 4.0) * u + roundoff(dtype)) * std::abs(scaled) * 1.01)
              << name(dtype) << ' ' << n;
        }
      }
    }
  }
}

TEST_F(CpuRows, SameBitsForAnyNumberOfThreads) {
  const KernelOperand x = operand(f32, {257, 1025});
  std::vector<double> reference;
  for (const int threads : {1, 2, 5}) {
    const cpu::LimitThreads set(threads);
    const Result result = run(op(Family::rows, Rows::log_softmax), {x.view}, f32, {257, 1025});
    if (reference.empty()) {
      reference = result.values;
    }
    EXPECT_EQ(result.values, reference) << threads << " threads";
  }
}

TEST_F(CpuRows, RefusesIntegers) {
  const KernelOperand x = operand(i32, {2, 2});
  EXPECT_THROW(run(op(Family::rows, Rows::softmax), {x.view}, i32, {2, 2}), DtypeError);
}

}  // namespace
}  // namespace twingrad
