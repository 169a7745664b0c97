// Indexed reads and writes against plain loops, the order of duplicates, and the message for an index out of range.
#include <twingrad/kernels.h>

#include "cpu/parallel.h"
#include "tests/cpu/kernel_fixture.h"

namespace twingrad {
namespace {

class CpuIndex : public KernelTest {
 protected:
  static constexpr std::int64_t length = 7;

  KernelOperand indices(Dtype dtype, const Shape& shape) {
    KernelOperand x = operand(dtype, shape, Layout::contiguous, 0.0, static_cast<double>(length));
    return x;
  }
  /// (o, j, i) of element `at` of a shape seen as (outer, n, inner).
  struct Place {
    std::int64_t o, j, i;
  };
  static Place place(std::size_t at, std::int64_t n, std::int64_t inner) {
    const auto flat = static_cast<std::int64_t>(at);
    return {flat / (n * inner), flat / inner % n, flat % inner};
  }
};

TEST_F(CpuIndex, SelectAndAdd) {
  for (const Dtype index_dtype : {i64, i32}) {
    for (const Dtype dtype : all_dtypes) {
      for (const std::int64_t k : {0, 1, 33}) {
        for (const std::int64_t inner : {1, 3, 300}) {
          const std::int64_t outer = 4;
          const KernelOperand index = indices(index_dtype, {k});
          const KernelOperand x = operand(dtype, {outer, length, inner});
          if (k > 0) {
            const Result selected = run(op(Family::index, Index::index_select), {x.view, index.view}, dtype,
                                        {outer, k, inner}, {.ints = {1}});
            for (std::size_t at = 0; at < selected.values.size(); ++at) {
              const Place p = place(at, k, inner);
              const auto row = static_cast<std::int64_t>(index.values[static_cast<std::size_t>(p.j)]);
              ASSERT_EQ(selected.values[at], x.values[static_cast<std::size_t>((p.o * length + row) * inner + p.i)]);
            }
          }
          if (dtype == boolean || dtype == u8) {
            continue;
          }
          const KernelOperand source = operand(dtype, {outer, k, inner});
          const Result added = run(op(Family::index, Index::index_add), {index.view, source.view}, dtype,
                                   {outer, length, inner}, {.ints = {1, length}});
          for (std::size_t at = 0; at < added.values.size(); ++at) {
            const Place p = place(at, length, inner);
            // In the order of the index, in the type sums are kept in: bit-equal.
            double sum = 0.0;
            for (std::int64_t j = 0; j < k; ++j) {
              if (static_cast<std::int64_t>(index.values[static_cast<std::size_t>(j)]) == p.j) {
                sum += source.values[static_cast<std::size_t>((p.o * k + j) * inner + p.i)];
                sum = dtype == f64 ? sum : static_cast<double>(static_cast<float>(sum));
              }
            }
            double expected = 0.0;
            store(&expected, dtype, 0, sum);
            ASSERT_EQ(added.values[at], load(&expected, dtype, 0)) << name(dtype) << " element " << at;
          }
        }
      }
    }
  }
}

TEST_F(CpuIndex, GatherAndScatterAddOnEveryAxis) {
  for (const Dtype index_dtype : {i64, i32}) {
    for (const Dtype dtype : all_dtypes) {
      for (int axis = 0; axis < 3; ++axis) {
        // The index is shorter than x along the other axes, and longer along this one.
        Shape x_shape{5, 6, 4};
        Shape shape{3, 5, 2};
        x_shape[axis] = length;
        shape[axis] = 11;
        const KernelOperand x = operand(dtype, x_shape);
        const KernelOperand index = indices(index_dtype, shape);
        const Strides x_strides = contiguous_strides(x_shape);
        const Strides strides = contiguous_strides(shape);
        const auto in_x = [&](std::size_t at) {
          std::int64_t offset = 0;
          for (int d = 0; d < 3; ++d) {
            const std::int64_t position = static_cast<std::int64_t>(at) / strides[d] % shape[d];
            offset += (d == axis ? static_cast<std::int64_t>(index.values[at]) : position) * x_strides[d];
          }
          return static_cast<std::size_t>(offset);
        };
        const Result gathered =
            run(op(Family::index, Index::gather), {x.view, index.view}, dtype, shape, {.ints = {axis}});
        for (std::size_t at = 0; at < gathered.values.size(); ++at) {
          ASSERT_EQ(gathered.values[at], x.values[in_x(at)]) << name(dtype) << " axis " << axis << " element " << at;
        }
        if (dtype == boolean || dtype == u8) {
          continue;
        }
        const KernelOperand source = operand(dtype, shape);
        const Result scattered = run(op(Family::index, Index::scatter_add), {x.view, index.view, source.view}, dtype,
                                     x_shape, {.ints = {axis}});
        // Row-major order of the index is its order along the axis for any one target.
        std::vector<double> expected = x.values;
        for (std::size_t at = 0; at < source.values.size(); ++at) {
          double& target = expected[in_x(at)];
          target += source.values[at];
          target = dtype == f64 ? target : static_cast<double>(static_cast<float>(target));
        }
        for (std::size_t at = 0; at < expected.size(); ++at) {
          double rounded = 0.0;
          store(&rounded, dtype, 0, expected[at]);
          ASSERT_EQ(scattered.values[at], load(&rounded, dtype, 0)) << name(dtype) << " axis " << axis;
        }
      }
    }
  }
}

TEST_F(CpuIndex, SameBitsForAnyNumberOfThreads) {
  const KernelOperand index = indices(i64, {5000});
  const KernelOperand source = operand(f32, {5000, 300});
  std::vector<double> reference;
  for (const int threads : {1, 2, 5}) {
    const cpu::LimitThreads set(threads);
    const Result result =
        run(op(Family::index, Index::index_add), {index.view, source.view}, f32, {length, 300}, {.ints = {0, length}});
    if (reference.empty()) {
      reference = result.values;
    }
    EXPECT_EQ(result.values, reference) << threads << " threads";
  }
}

TEST_F(CpuIndex, OutOfRangeNamesTheIndexAndItsPlace) {
  const KernelOperand x = operand(f32, {3, length});
  for (const double bad : {-1.0, 7.0}) {
    const KernelOperand index = operand(i64, {2, 3}, Layout::contiguous, {0.0, 1.0, 2.0, 3.0, bad, 5.0});
    try {
      run(op(Family::index, Index::gather), {x.view, index.view}, f32, {2, 3}, {.ints = {1}});
      FAIL() << "no exception";
    } catch (const NumericError& error) {
      const std::string message = error.what();
      for (const std::string& part : {std::string("tested_op"), std::to_string(static_cast<int>(bad)),
                                      std::string("(1, 1)"), std::string("0 to 6")}) {
        EXPECT_NE(message.find(part), std::string::npos) << message << " lacks " << part;
      }
    }
  }
  const KernelOperand list = operand(i32, {2}, Layout::contiguous, {0.0, 9.0});
  EXPECT_THROW(run(op(Family::index, Index::index_select), {x.view, list.view}, f32, {3, 2}, {.ints = {1}}),
               NumericError);
  const KernelOperand source = operand(f32, {3, 2});
  EXPECT_THROW(
      run(op(Family::index, Index::index_add), {list.view, source.view}, f32, {3, length}, {.ints = {1, length}}),
      NumericError);
}

}  // namespace
}  // namespace twingrad
