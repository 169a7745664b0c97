// Reductions, scans and products of whole numbers: exact in any order, so equal on CPU and GPU.
#include <twingrad/kernels.h>

#include "tests/cuda/twin_fixture.h"

namespace twingrad {
namespace {

Shape without(const Shape& shape, const Axes& axes) {
  Shape kept;
  for (int axis = 0; axis < shape.size(); ++axis) {
    if (!axes.contains(axis)) {
      kept.push_back(shape[axis]);
    }
  }
  return kept;
}

class CudaReduceTest : public CudaTwinTest {};

TEST_F(CudaReduceTest, SumsWholeNumbersExactly) {
  const std::vector<std::pair<Shape, Axes>> cases = {{{}, {}},
                                                     {{1}, {0}},
                                                     {{31}, {0}},
                                                     {{1025}, {0}},
                                                     {{20001}, {0}},
                                                     {{0}, {0}},
                                                     {{3, 0}, {1}},
                                                     {{33, 10}, {1}},
                                                     {{33, 10}, {0}},
                                                     {{7, 2000}, {1}},
                                                     {{3, 9001}, {1}},
                                                     {{2500, 3}, {0}},
                                                     {{2500, 40}, {0}},
                                                     {{64, 257}, {0}},
                                                     {{4, 5, 6}, {1}},
                                                     {{4, 5, 6}, {0, 2}},
                                                     {{4, 5, 6}, {0, 1}},
                                                     {{3, 1, 300, 5}, {2}},
                                                     {{40, 50, 6}, {0, 1, 2}}};
  for (const auto& [shape, axes] : cases) {
    for (const Dtype dtype : all_dtypes) {
      for (const Layout layout : all_layouts) {
        const KernelOperand x = is_floating(dtype) ? whole(dtype, shape, layout, -1, 1) : operand(dtype, shape, layout);
        const Dtype out = is_floating(dtype) ? dtype : i64;
        expect_twins(op(Family::reduce, Reduce::sum), {x}, out, without(shape, axes), {.ints = axes}, "sum");
        if (is_floating(dtype)) {
          expect_twins(op(Family::reduce, Reduce::mean), {x}, out, without(shape, axes), {.ints = axes}, "mean");
        }
      }
    }
  }
}

TEST_F(CudaReduceTest, MultipliesPowersOfTwoExactly) {
  for (const auto& [shape, axes] : std::vector<std::pair<Shape, Axes>>{{{20}, {0}}, {{6, 20}, {1}}, {{20, 6}, {0}}}) {
    for (const Dtype dtype : {f32, f64, i32, i64, u8}) {
      const Dtype out = is_floating(dtype) ? dtype : i64;
      expect_twins(op(Family::reduce, Reduce::prod), {whole(dtype, shape, Layout::contiguous, 1, 2)}, out,
                   without(shape, axes), {.ints = axes}, "prod");
    }
  }
}

TEST_F(CudaReduceTest, FindsExtremesAndTheirFirstPlaceAndLetsNanWin) {
  const std::vector<std::pair<Shape, int>> cases = {{{1}, 0},        {{33}, 0},       {{9000}, 0},     {{5, 1030}, 1},
                                                    {{5, 16400}, 1}, {{1030, 5}, 0},  {{2500, 40}, 0}, {{4, 5, 6}, 1},
                                                    {{3, 1, 40}, 1}, {{40, 33, 2}, 0}};
  for (const auto& [shape, axis] : cases) {
    for (const Dtype dtype : all_dtypes) {
      for (const Layout layout : all_layouts) {
        for (const bool with_nan : {false, true}) {
          if (with_nan && !is_floating(dtype)) {
            continue;
          }
          std::vector<double> values(static_cast<std::size_t>(numel(shape)));
          std::uniform_int_distribution<int> draw(dtype == boolean || dtype == u8 ? 0 : -3, dtype == boolean ? 1 : 3);
          for (double& value : values) {  // few values, many ties
            value = draw(generator_);
          }
          if (with_nan) {
            for (std::size_t i = values.size() / 3; i < values.size(); i += 17) {
              values[i] = std::nan("");
            }
          }
          const KernelOperand x = operand(dtype, shape, layout, values);
          const Shape kept = without(shape, {axis});
          expect_twins(op(Family::reduce, Reduce::amax), {x}, dtype, kept, {.ints = {axis}}, "amax");
          expect_twins(op(Family::reduce, Reduce::amin), {x}, dtype, kept, {.ints = {axis}}, "amin");
          expect_twins(op(Family::arg_reduce, ArgReduce::argmax), {x}, i64, kept, {.ints = {axis}}, "argmax");
          expect_twins(op(Family::arg_reduce, ArgReduce::argmin), {x}, i64, kept, {.ints = {axis}}, "argmin");
        }
      }
    }
  }
}

class CudaScanTest : public CudaTwinTest {};

TEST_F(CudaScanTest, AddsUpWholeNumbersExactly) {
  const Op row = op(Family::scan, 0);
  const std::vector<std::pair<Shape, int>> cases = {{{1}, 0},       {{7}, 0},       {{2047}, 0},    {{2048}, 0},
                                                    {{2049}, 0},    {{3, 9001}, 1}, {{9001, 3}, 0}, {{4, 300, 5}, 1},
                                                    {{5, 1, 4}, 1}, {{300, 2}, 1}};
  for (const auto& [shape, axis] : cases) {
    for (const std::int64_t reverse : {0, 1}) {
      for (const Dtype dtype : all_dtypes) {
        const KernelOperand x =
            is_floating(dtype) ? whole(dtype, shape, Layout::contiguous, -1, 1) : operand(dtype, shape);
        expect_twins(row, {x}, is_floating(dtype) ? dtype : i64, shape, {.ints = {axis, reverse}}, "cumsum");
      }
    }
  }
}

class CudaMatmulTest : public CudaTwinTest {
 protected:
  /// The last two axes swapped in memory.
  KernelOperand matrix(Dtype dtype, const Shape& shape, bool transposed) {
    if (!transposed) {
      return whole(dtype, shape, Layout::contiguous, -1, 1);
    }
    const int last = shape.size() - 1;
    Shape stored = shape;
    std::swap(stored[last], stored[last - 1]);
    KernelOperand x = whole(dtype, stored, Layout::contiguous, -1, 1);
    std::swap(x.view.shape[last], x.view.shape[last - 1]);
    std::swap(x.view.strides[last], x.view.strides[last - 1]);
    return x;
  }
};

TEST_F(CudaMatmulTest, MultipliesWholeNumbersExactlyInEveryLayout) {
  const Op row = op(Family::matmul, 0);
  const std::vector<std::array<std::int64_t, 3>> sizes = {{1, 1, 1},   {1, 5, 7},      {7, 1, 5},     {5, 7, 1},
                                                          {33, 31, 7}, {64, 128, 96},  {100, 1, 100}, {1, 257, 64},
                                                          {3, 2, 0},   {129, 65, 255}, {512, 10, 128}};
  for (const auto& [m, n, k] : sizes) {
    for (const Dtype dtype : float_dtypes) {
      for (const bool a_transposed : {false, true}) {
        for (const bool b_transposed : {false, true}) {
          const KernelOperand a = matrix(dtype, {m, k}, a_transposed);
          const KernelOperand b = matrix(dtype, {k, n}, b_transposed);
          const KernelOperand bias = whole(dtype, {n}, Layout::contiguous, -1, 1);
          expect_twins(row, {a, b}, dtype, {m, n}, {}, "matmul");
          expect_twins(row, {a, b, bias}, dtype, {m, n}, {}, "matmul with bias");
        }
      }
    }
  }
}

TEST_F(CudaMatmulTest, MultipliesBatchesAndBroadcasts) {
  const Op row = op(Family::matmul, 0);
  for (const Dtype dtype : float_dtypes) {
    for (const bool transposed : {false, true}) {
      const KernelOperand bias = whole(dtype, {9}, Layout::contiguous, -1, 1);
      expect_twins(row, {matrix(dtype, {2, 3, 8, 16}, transposed), matrix(dtype, {2, 3, 16, 9}, transposed), bias},
                   dtype, {2, 3, 8, 9}, {}, "batched matmul");
      KernelOperand one = matrix(dtype, {1, 16, 9}, transposed);
      broadcast(one, 0, 5);
      expect_twins(row, {matrix(dtype, {5, 8, 16}, transposed), one, bias}, dtype, {5, 8, 9}, {}, "one b for all");
      KernelOperand outer = matrix(dtype, {1, 3, 8, 16}, transposed);
      broadcast(outer, 0, 2);
      KernelOperand inner = matrix(dtype, {2, 1, 16, 9}, transposed);
      broadcast(inner, 1, 3);
      expect_twins(row, {outer, inner}, dtype, {2, 3, 8, 9}, {}, "both broadcast");
    }
  }
}

TEST_F(CudaMatmulTest, TakesOperandsAtOddAddressesAndStrides) {
  const Op row = op(Family::matmul, 0);
  for (const Dtype dtype : float_dtypes) {
    KernelOperand a = whole(dtype, {20, 37}, Layout::contiguous, -1, 1);
    KernelOperand b = whole(dtype, {37, 21}, Layout::contiguous, -1, 1);
    // Windows that start at element 1 and leave gaps at the end of each row.
    a.view = {a.view.as<std::byte>() + size_of(dtype), dtype, {20, 33}, {37, 1}};
    b.view = {b.view.as<std::byte>() + size_of(dtype), dtype, {33, 19}, {21, 1}};
    expect_twins(row, {a, b}, dtype, {20, 19}, {}, "matmul of windows");
  }
}

}  // namespace
}  // namespace twingrad
