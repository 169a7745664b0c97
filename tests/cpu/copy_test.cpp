// Casts, concatenation, placing and ranges, from every layout; random numbers against philox.h element by element;
// and the backend's memory.
#include <twingrad/kernels.h>
#include <twingrad/philox.h>

#include <numeric>
#include <set>

#include "tests/cpu/kernel_fixture.h"

namespace twingrad {
namespace {

class CpuCopy : public KernelTest {};

TEST_F(CpuCopy, CastBetweenAllDtypesFromEveryLayout) {
  for (const Dtype from : all_dtypes) {
    for (const Dtype to : all_dtypes) {
      for (const Layout layout : all_layouts) {
        for (const Shape& shape : {Shape{}, Shape{257}, Shape{33, 65}, Shape{3, 5, 40}}) {
          // Not negative where the target has no sign: beyond the range is another test.
          const KernelOperand x = operand(from, shape, layout, to == u8 ? 0.0 : -2.0, 100.0);
          const Result result = run(op(Family::copy, Copy::cast), {x.view}, to, shape);
          for (std::size_t i = 0; i < result.values.size(); ++i) {
            double expected = is_integer(to) ? std::trunc(x.values[i]) : x.values[i];
            if (to == boolean) {
              expected = expected != 0.0 ? 1.0 : 0.0;
            }
            double rounded = 0.0;
            store(&rounded, to, 0, expected);
            ASSERT_EQ(result.values[i], load(&rounded, to, 0)) << name(from) << " to " << name(to) << " element " << i;
          }
        }
      }
    }
  }
}

TEST_F(CpuCopy, LargeTransposes) {
  for (const Dtype dtype : {f32, bf16, i64, u8}) {
    for (const Shape& shape : {Shape{300, 257}, Shape{5, 100, 130}}) {
      const KernelOperand x = operand(dtype, shape, Layout::transposed);
      EXPECT_EQ(run(op(Family::copy, Copy::cast), {x.view}, dtype, shape).values, x.values) << name(dtype);
      EXPECT_EQ(run(op(Family::copy, Copy::cast), {x.view}, f64, shape).values, x.values) << name(dtype);
    }
  }
}

TEST_F(CpuCopy, CastBeyondTheRangeGivesItsEndAndNanGivesZero) {
  const double infinity = std::numeric_limits<double>::infinity();
  for (const Dtype from : {f32, f64}) {
    const KernelOperand x =
        operand(from, {6}, Layout::contiguous, {1e30, -1e30, infinity, -infinity, std::nan(""), -0.9});
    EXPECT_EQ(run(op(Family::copy, Copy::cast), {x.view}, i32, {6}).values,
              (std::vector<double>{2147483647.0, -2147483648.0, 2147483647.0, -2147483648.0, 0.0, 0.0}));
    EXPECT_EQ(run(op(Family::copy, Copy::cast), {x.view}, u8, {6}).values,
              (std::vector<double>{255.0, 0.0, 255.0, 0.0, 0.0, 0.0}));
    EXPECT_EQ(run(op(Family::copy, Copy::cast), {x.view}, boolean, {6}).values,
              (std::vector<double>{1.0, 1.0, 1.0, 1.0, 1.0, 1.0}));
  }
}

TEST_F(CpuCopy, CatAlongEveryAxis) {
  for (const Dtype dtype : all_dtypes) {
    for (int axis = 0; axis < 3; ++axis) {
      for (const Layout layout : all_layouts) {
        std::vector<KernelOperand> x;
        std::vector<TensorView> views;
        Shape shape{4, 5, 33};
        std::int64_t total = 0;
        for (const std::int64_t length : {3, 0, 1, 7}) {
          shape[axis] = length;
          x.push_back(operand(dtype, shape, layout));
          total += length;
        }
        for (const KernelOperand& input : x) {
          views.push_back(input.view);
        }
        shape[axis] = total;
        const Result result = run(op(Family::copy, Copy::cat), views, dtype, shape, {.ints = {axis}});
        const std::int64_t inner = contiguous_strides(shape)[axis];
        for (std::size_t i = 0; i < result.values.size(); ++i) {
          const auto flat = static_cast<std::int64_t>(i);
          std::int64_t at = flat / inner % total;
          std::size_t part = 0;
          while (at >= x[part].view.shape[axis]) {
            at -= x[part++].view.shape[axis];
          }
          const std::int64_t length = x[part].view.shape[axis];
          const std::int64_t source = (flat / (inner * total) * length + at) * inner + flat % inner;
          ASSERT_EQ(result.values[i], x[part].values[static_cast<std::size_t>(source)]) << name(dtype);
        }
      }
    }
  }
}

TEST_F(CpuCopy, SliceEmbedPlacesInZeros) {
  struct Slice {
    std::int64_t start, step, count, length;
  };
  for (const Dtype dtype : all_dtypes) {
    for (int axis = 0; axis < 2; ++axis) {
      for (const Slice& s :
           {Slice{0, 1, 4, 4}, Slice{2, 1, 4, 9}, Slice{1, 3, 4, 12}, Slice{8, -2, 4, 9}, Slice{0, 1, 0, 5}}) {
        for (const Layout layout : all_layouts) {
          Shape in{6, 6};
          in[axis] = s.count;
          Shape shape = in;
          shape[axis] = s.length;
          const KernelOperand x = operand(dtype, in, layout);
          const Result result = run(op(Family::copy, Copy::slice_embed), {x.view}, dtype, shape,
                                    {.ints = {axis, s.start, s.step, s.length}});
          std::vector<double> expected(result.values.size(), 0.0);
          for (std::int64_t i = 0; i < in[0]; ++i) {
            for (std::int64_t j = 0; j < in[1]; ++j) {
              const std::int64_t row = axis == 0 ? s.start + i * s.step : i;
              const std::int64_t column = axis == 1 ? s.start + j * s.step : j;
              expected[static_cast<std::size_t>(row * shape[1] + column)] =
                  x.values[static_cast<std::size_t>(i * in[1] + j)];
            }
          }
          ASSERT_EQ(result.values, expected) << name(dtype) << " axis " << axis;
        }
      }
    }
  }
}

TEST_F(CpuCopy, Arange) {
  for (const Dtype dtype : {f32, f64, i32, i64, u8}) {
    const Attributes attributes{.ints = {}, .reals = {3.0, 2.0, 0.0, 0.0}};
    const Result result = run(op(Family::copy, Copy::arange), {}, dtype, {33}, attributes);
    for (std::size_t i = 0; i < 33; ++i) {
      EXPECT_EQ(result.values[i], 3.0 + 2.0 * static_cast<double>(i));
    }
  }
}

class CpuRandom : public KernelTest {
 protected:
  static KernelOperand seed() { return operand(i64, {2}, Layout::contiguous, {12345.0, 6.0}); }
};

TEST_F(CpuRandom, ElementsAreThoseOfPhilox) {
  for (const Dtype dtype : float_dtypes) {
    for (const std::int64_t n : {1, 7, 1025, 60001}) {
      const Result uniform = run(op(Family::random, Random::uniform), {seed().view}, dtype, {n});
      const Result normal = run(op(Family::random, Random::normal), {seed().view}, dtype, {n});
      for (std::int64_t e = 0; e < n; ++e) {
        visit(dtype, [&]<class T>(Type<T>) {
          if constexpr (std::is_floating_point_v<compute_t<T>>) {
            const T u =
                uniform_lane<T>(random_block(12345, 6, e / uniform_lanes<T>), static_cast<int>(e % uniform_lanes<T>));
            const T z = normal_lane<T>(random_block(12345, 6, e / normal_lanes), static_cast<int>(e % normal_lanes));
            ASSERT_EQ(uniform.values[static_cast<std::size_t>(e)], static_cast<double>(static_cast<compute_t<T>>(u)));
            ASSERT_EQ(normal.values[static_cast<std::size_t>(e)], static_cast<double>(static_cast<compute_t<T>>(z)));
          }
        });
      }
    }
  }
}

TEST_F(CpuRandom, PermutationSortsByKey) {
  for (const std::int64_t n : {1, 2, 33, 5001}) {
    const Result result = run(op(Family::random, Random::permutation), {seed().view}, i64, {n});
    std::set<double> seen(result.values.begin(), result.values.end());
    EXPECT_EQ(seen.size(), static_cast<std::size_t>(n));
    EXPECT_EQ(*seen.begin(), 0.0);
    EXPECT_EQ(*seen.rbegin(), static_cast<double>(n - 1));
    std::uint64_t before = 0;
    for (const double value : result.values) {
      const auto e = static_cast<std::int64_t>(value);
      const std::uint64_t key = permutation_key(random_block(12345, 6, e / 2), static_cast<int>(e % 2));
      EXPECT_GE(key, before);
      before = key;
    }
  }
}

TEST_F(CpuRandom, RefusesOtherDtypes) {
  EXPECT_THROW(run(op(Family::random, Random::uniform), {seed().view}, i32, {3}), DtypeError);
  EXPECT_THROW(run(op(Family::random, Random::permutation), {seed().view}, f32, {3}), DtypeError);
}

class CpuBackendTest : public KernelTest {};

TEST_F(CpuBackendTest, AllocatesAlignedAndSaysWhenItCannot) {
  for (const std::size_t bytes : {1UL, 255UL, 4097UL}) {
    void* memory = backend_->allocate(bytes);
    ASSERT_NE(memory, nullptr);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory) % 256, 0U);
    backend_->deallocate(memory, bytes);
  }
#ifndef __SANITIZE_ADDRESS__  // which ends the program instead
  EXPECT_EQ(backend_->allocate(std::size_t{1} << 62), nullptr);
#endif
}

TEST_F(CpuBackendTest, CopiesAndDescribesItself) {
  std::vector<int> from(100);
  std::iota(from.begin(), from.end(), 0);
  std::vector<int> to(100);
  std::vector<int> back(100);
  backend_->copy_from_host(to.data(), from.data(), 400);
  EXPECT_EQ(to, from);
  backend_->copy(back.data(), to.data(), 400);
  backend_->copy_to_host(to.data(), back.data(), 400);
  EXPECT_EQ(to, from);
  EXPECT_NE(backend_->description().find("oneDNN"), std::string::npos);
  EXPECT_NE(backend_->description().find("thread"), std::string::npos);
}

TEST_F(CpuBackendTest, RunsCustomKernelsAndRefusesWhatHasNone) {
  Op row;
  row.name = "tested_op";
  row.family = Family::custom;
  EXPECT_THROW(run(row, {}, f32, {1}), DeviceError);
  row.custom_cpu = [](const KernelCall& call) { *call.output.as<float>() = 42.0F; };
  EXPECT_EQ(run(row, {}, f32, {1}).values[0], 42.0);
  row.family = Family::view;
  EXPECT_THROW(run(row, {}, f32, {1}), ArgumentError);
}

}  // namespace
}  // namespace twingrad
