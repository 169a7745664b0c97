// Row kernels on rows whose results are exact, indexed sums in the order of the index, and random bits: equal on CPU
// and GPU at every length at which the GPU changes its way of holding a row.
#include <twingrad/kernels.h>

#include <numeric>

#include "tests/cuda/twin_fixture.h"

namespace twingrad {
namespace {

const std::vector<std::int64_t> lengths = {1,   2,   31,   32,   33,   127,  128,  129,  511,
                                           512, 513, 1024, 1025, 4096, 4097, 8192, 8193, 20000};

class CudaRowsTest : public CudaTwinTest {};

TEST_F(CudaRowsTest, PutsAllProbabilityWhereOnlyOneElementIsFinite) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  for (const std::int64_t n : lengths) {
    const std::int64_t rows = 5;
    std::vector<double> values(static_cast<std::size_t>(rows * n), -infinity);
    for (std::int64_t row = 0; row < rows; ++row) {
      const std::int64_t place = row == 0 ? 0 : (row == 1 ? n - 1 : n * row / rows);
      values[static_cast<std::size_t>(row * n + place)] = static_cast<double>(row) - 2.0;
    }
    for (const Dtype dtype : float_dtypes) {
      const KernelOperand x = operand(dtype, {rows, n}, Layout::contiguous, values);
      expect_twins(op(Family::rows, Rows::softmax), {x}, dtype, {rows, n}, {}, "softmax");
      expect_twins(op(Family::rows, Rows::log_softmax), {x}, dtype, {rows, n}, {}, "log_softmax");
      expect_twins(op(Family::rows, Rows::logsumexp), {x}, dtype, {rows}, {}, "logsumexp");
    }
  }
}

TEST_F(CudaRowsTest, SharesProbabilityAmongEqualElements) {
  for (const std::int64_t n : lengths) {
    const std::vector<double> values(static_cast<std::size_t>(3 * n), 7.0);
    for (const Dtype dtype : float_dtypes) {
      const KernelOperand x = operand(dtype, {3, n}, Layout::contiguous, values);
      expect_twins(op(Family::rows, Rows::softmax), {x}, dtype, {3, n}, {}, "softmax");
    }
  }
}

TEST_F(CudaRowsTest, KeepsTheConventionsForInfiniteAndNanRows) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  for (const std::int64_t n : lengths) {
    std::vector<double> values(static_cast<std::size_t>(4 * n), -infinity);
    const auto last = [n](std::int64_t row) { return static_cast<std::size_t>(row * n + n - 1); };
    values[last(1)] = infinity;
    values[last(2)] = std::nan("");
    std::fill(values.begin() + 3 * n, values.end(), infinity);
    const KernelOperand x = operand(f32, {4, n}, Layout::contiguous, values);
    expect_twins(op(Family::rows, Rows::softmax), {x}, f32, {4, n}, {}, "softmax");
    expect_twins(op(Family::rows, Rows::logsumexp), {x}, f32, {4}, {}, "logsumexp");
  }
}

TEST_F(CudaRowsTest, NormalisesSignsExactly) {
  for (const std::int64_t n : lengths) {
    if (n % 2 != 0) {
      continue;  // as many -1 as 1: mean 0, variance 1
    }
    std::vector<double> values(static_cast<std::size_t>(3 * n));
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = i % 2 == 0 ? 1.0 : -1.0;
    }
    for (const Dtype dtype : float_dtypes) {
      const KernelOperand x = operand(dtype, {3, n}, Layout::contiguous, values);
      const KernelOperand weight = whole(dtype, {n}, Layout::contiguous, -4, 4);
      const KernelOperand bias = whole(dtype, {n}, Layout::contiguous, -4, 4);
      expect_twins(op(Family::rows, Rows::layer_norm), {x, weight, bias}, dtype, {3, n}, {}, "layer_norm");
      expect_twins(op(Family::rows, Rows::rms_norm), {x, weight}, dtype, {3, n}, {}, "rms_norm");
    }
  }
}

class CudaIndexTest : public CudaTwinTest {
 protected:
  KernelOperand indices(Dtype dtype, const Shape& shape, std::int64_t length) {
    return whole(dtype, shape, Layout::contiguous, 0, static_cast<int>(length) - 1);
  }
};

TEST_F(CudaIndexTest, SelectsSlices) {
  for (const Dtype dtype : all_dtypes) {
    for (const Dtype of_index : {i64, i32}) {
      for (const std::int64_t inner : {1, 3, 4, 32}) {
        const KernelOperand x = operand(dtype, {3, 10, inner});
        expect_twins(op(Family::index, Index::index_select), {x, indices(of_index, {17}, 10)}, dtype, {3, 17, inner},
                     {.ints = {1}}, "index_select");
      }
    }
  }
}

TEST_F(CudaIndexTest, GathersFromLongerAxes) {
  for (const Dtype dtype : all_dtypes) {
    for (const Dtype of_index : {i64, i32}) {
      const KernelOperand x = operand(dtype, {6, 10, 5});
      for (const int axis : {0, 1, 2}) {
        expect_twins(op(Family::index, Index::gather), {x, indices(of_index, {4, 7, 3}, x.view.shape[axis])}, dtype,
                     {4, 7, 3}, {.ints = {axis}}, "gather");
      }
    }
  }
}

TEST_F(CudaIndexTest, AddsDuplicatesInTheOrderOfTheIndex) {
  for (const Dtype dtype : all_dtypes) {
    for (const Dtype of_index : {i64, i32}) {
      for (const std::int64_t count : {1, 5, 128, 129, 3000}) {  // by search up to 128, sorted beyond
        const std::int64_t outer = 2;
        const std::int64_t inner = 3;
        expect_twins(op(Family::index, Index::index_add),
                     {indices(of_index, {count}, 7), operand(dtype, {outer, count, inner})}, dtype, {outer, 9, inner},
                     {.ints = {1, 9}}, "index_add");
        expect_twins(op(Family::index, Index::scatter_add),
                     {operand(dtype, {3, 7, 4}), indices(of_index, {2, count, 3}, 7), operand(dtype, {2, count, 3})},
                     dtype, {3, 7, 4}, {.ints = {1}}, "scatter_add");
      }
    }
  }
}

TEST_F(CudaIndexTest, AddsNothingForAnEmptyIndex) {
  expect_twins(op(Family::index, Index::index_add), {operand(i64, {0}), operand(f32, {2, 0, 3})}, f32, {2, 4, 3},
               {.ints = {1, 4}}, "index_add");
  expect_twins(op(Family::index, Index::scatter_add), {operand(f32, {4}), operand(i64, {0}), operand(f32, {0})}, f32,
               {4}, {.ints = {0}}, "scatter_add");
}

class CudaRandomTest : public CudaTwinTest {};

TEST_F(CudaRandomTest, DrawsTheSameBits) {
  for (const double seed : {0.0, 1.0, 123456789.0, -5.0}) {
    const KernelOperand source = operand(i64, {2}, Layout::contiguous, {seed, 42.0});
    for (const std::int64_t n : {1, 2, 3, 4, 5, 31, 1025, 100003}) {
      for (const Dtype dtype : float_dtypes) {
        expect_twins(op(Family::random, Random::uniform), {source}, dtype, {n}, {}, "uniform");
        expect_twins(op(Family::random, Random::normal), {source}, dtype, {n}, {}, "normal");
      }
      expect_twins(op(Family::random, Random::permutation), {source}, i64, {n}, {}, "permutation");
    }
  }
}

}  // namespace
}  // namespace twingrad
