// Products against double sums within k roundings of the sum of magnitudes, in every layout the family allows.
#include "cpu/parallel.h"
#include "tests/cpu/kernel_fixture.h"

namespace twingrad {
namespace {

class CpuMatmul : public KernelTest {
 protected:
  /// A matrix operand: row- or column-major, with `padding` elements between its lines.
  KernelOperand matrix(Dtype dtype, const Shape& batch, std::int64_t rows, std::int64_t columns, bool column_major,
                       std::int64_t padding) {
    const std::int64_t lines = column_major ? columns : rows;
    const std::int64_t length = column_major ? rows : columns;
    Shape stored = batch;
    stored.push_back(lines);
    stored.push_back(length + padding);
    KernelOperand padded = operand(dtype, stored);
    KernelOperand result;
    result.view = padded.view;
    const int last = stored.size() - 1;
    result.view.shape[last - 1] = rows;
    result.view.shape[last] = columns;
    if (column_major) {
      std::swap(result.view.strides[last - 1], result.view.strides[last]);
    }
    const std::int64_t area = lines * (length + padding);
    for (std::int64_t b = 0; b < numel(batch); ++b) {
      for (std::int64_t i = 0; i < rows; ++i) {
        for (std::int64_t j = 0; j < columns; ++j) {
          const std::int64_t at = column_major ? j * (length + padding) + i : i * (length + padding) + j;
          result.values.push_back(padded.values[static_cast<std::size_t>(b * area + at)]);
        }
      }
    }
    result.memory = std::move(padded.memory);
    return result;
  }

  /// Checks every output; a and b hold one matrix per output batch.
  static void expect_product(const Result& result, const KernelOperand& a, const KernelOperand& b,
                             const KernelOperand* bias, Dtype dtype, std::int64_t batches, std::int64_t m,
                             std::int64_t n, std::int64_t k) {
    for (std::int64_t t = 0; t < batches; ++t) {
      for (std::int64_t i = 0; i < m; ++i) {
        for (std::int64_t j = 0; j < n; ++j) {
          double sum = bias != nullptr ? bias->values[static_cast<std::size_t>(j)] : 0.0;
          double magnitude = std::abs(sum);
          for (std::int64_t p = 0; p < k; ++p) {
            const double product = a.values[static_cast<std::size_t>((t * m + i) * k + p)] *
                                   b.values[static_cast<std::size_t>((t * k + p) * n + j)];
            sum += product;
            magnitude += std::abs(product);
          }
          // k products and k sums, the bias' sum, and the output's rounding; the oracle's own in the last term.
          const auto steps = static_cast<double>(k + 1);
          const double bound = 1.01 * (steps * sum_roundoff(dtype) * magnitude + roundoff(dtype) * std::abs(sum) +
                                       steps * 0x1p-53 * magnitude);
          ASSERT_LE(std::abs(result.values[static_cast<std::size_t>((t * m + i) * n + j)] - sum), bound)
              << name(dtype) << ' ' << m << 'x' << k << 'x' << n << " at (" << t << ", " << i << ", " << j << ')';
        }
      }
    }
  }
};

TEST_F(CpuMatmul, EveryLayoutAndSize) {
  const std::int64_t sizes[][3] = {{1, 1, 1},     {1, 7, 5},      {7, 1, 31},    {31, 33, 1},
                                   {33, 31, 7},   {8, 16, 256},   {65, 17, 257}, {33, 130, 600},
                                   {128, 10, 64}, {255, 257, 31}, {20, 1030, 40}};
  for (const Dtype dtype : float_dtypes) {
    for (const auto& [m, n, k] : sizes) {
      for (const bool a_columns : {false, true}) {
        for (const bool b_columns : {false, true}) {
          for (const bool with_bias : {false, true}) {
            const std::int64_t padding = with_bias ? 3 : 0;
            const KernelOperand a = matrix(dtype, {}, m, k, a_columns, padding);
            const KernelOperand b = matrix(dtype, {}, k, n, b_columns, padding);
            const KernelOperand bias = operand(dtype, {n});
            std::vector<TensorView> inputs = {a.view, b.view};
            if (with_bias) {
              inputs.push_back(bias.view);
            }
            const Result result = run(op(Family::matmul, 0), inputs, dtype, {m, n});
            expect_product(result, a, b, with_bias ? &bias : nullptr, dtype, 1, m, n, k);
          }
        }
      }
    }
  }
}

TEST_F(CpuMatmul, BatchesAndBroadcasts) {
  const std::int64_t m = 9;
  const std::int64_t n = 33;
  const std::int64_t k = 70;
  for (const Dtype dtype : float_dtypes) {
    for (unsigned pattern = 0; pattern < 16; ++pattern) {
      for (const bool columns : {false, true}) {
        // Bits: a and b are broadcast along the first and the second batch axis.
        const auto length = [pattern](unsigned bit, std::int64_t full) {
          return ((pattern >> bit) & 1U) != 0 ? 1 : full;
        };
        KernelOperand a = matrix(dtype, {length(0, 3), length(1, 4)}, m, k, columns, 0);
        KernelOperand b = matrix(dtype, {length(2, 3), length(3, 4)}, k, n, columns, 2);
        const KernelOperand bias = operand(dtype, {n});
        for (const int axis : {1, 0}) {
          const std::int64_t full = axis == 0 ? 3 : 4;
          for (KernelOperand* x : {&a, &b}) {
            if (x->view.shape[axis] != full) {
              broadcast(*x, axis, full);
            }
          }
        }
        const Result result = run(op(Family::matmul, 0), {a.view, b.view, bias.view}, dtype, {3, 4, m, n});
        expect_product(result, a, b, &bias, dtype, 12, m, n, k);
      }
    }
  }
}

TEST_F(CpuMatmul, EmptyInnerAxisGivesBiasOrZeros) {
  for (const Dtype dtype : float_dtypes) {
    const KernelOperand a = operand(dtype, {2, 3, 0});
    const KernelOperand b = operand(dtype, {2, 0, 5});
    const KernelOperand bias = operand(dtype, {5});
    EXPECT_EQ(run(op(Family::matmul, 0), {a.view, b.view}, dtype, {2, 3, 5}).values, std::vector<double>(30, 0.0));
    const Result result = run(op(Family::matmul, 0), {a.view, b.view, bias.view}, dtype, {2, 3, 5});
    for (std::size_t i = 0; i < 30; ++i) {
      EXPECT_EQ(result.values[i], bias.values[i % 5]);
    }
  }
}

TEST_F(CpuMatmul, Float64HasTheSameBitsForAnyNumberOfThreads) {
  const KernelOperand a = operand(f64, {130, 700});
  const KernelOperand b = operand(f64, {700, 257});
  std::vector<double> reference;
  for (const int threads : {1, 2, 5}) {
    const cpu::LimitThreads set(threads);
    const Result result = run(op(Family::matmul, 0), {a.view, b.view}, f64, {130, 257});
    if (reference.empty()) {
      reference = result.values;
    }
    EXPECT_EQ(result.values, reference) << threads << " threads";
  }
}

TEST_F(CpuMatmul, SameBitsInEveryRun) {
  for (const Dtype dtype : float_dtypes) {
    const KernelOperand a = operand(dtype, {128, 784});
    const KernelOperand b = operand(dtype, {784, 130});
    const Result first = run(op(Family::matmul, 0), {a.view, b.view}, dtype, {128, 130});
    for (int repeat = 0; repeat < 5; ++repeat) {
      EXPECT_EQ(run(op(Family::matmul, 0), {a.view, b.view}, dtype, {128, 130}).memory, first.memory) << name(dtype);
    }
  }
}

TEST_F(CpuMatmul, ManyShapesOutgrowTheCacheOfPrimitives) {
  // More shapes than primitives are kept, and the first of them again: those are compiled a second time.
  const cpu::LimitThreads one(1);
  for (const std::int64_t last_m : {270, 10}) {
    for (std::int64_t m = 1; m <= last_m; ++m) {
      const KernelOperand a = operand(f32, {m, 3});
      const KernelOperand b = operand(f32, {3, 5});
      expect_product(run(op(Family::matmul, 0), {a.view, b.view}, f32, {m, 5}), a, b, nullptr, f32, 1, m, 5, 3);
    }
  }
}

TEST_F(CpuMatmul, RefusesIntegersAndOddLayouts) {
  const KernelOperand a = operand(i32, {2, 2});
  EXPECT_THROW(run(op(Family::matmul, 0), {a.view, a.view}, i32, {2, 2}), DtypeError);
  const KernelOperand gapped = operand(f32, {4, 4}, Layout::gapped);
  EXPECT_THROW(run(op(Family::matmul, 0), {gapped.view, gapped.view}, f32, {4, 4}), ShapeError);
}

}  // namespace
}  // namespace twingrad
