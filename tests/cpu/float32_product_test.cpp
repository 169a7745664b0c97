// float32 products: the very bits of a sum over k in order, whatever layout, orientation and number of threads; fused
// activations equal to the two kernels one after the other; prepared kernels equal to run().
#include <twingrad/formulas.h>

#include <array>
#include <bit>
#include <memory>

#include "cpu/parallel.h"
#include "tests/cpu/kernel_fixture.h"

namespace twingrad {
namespace {

/// A float32 matrix in memory of its own: row- or column-major, with `padding` elements between its lines.
struct MatrixOperand {
  std::vector<float> memory;
  TensorView view;
  float at(std::int64_t i, std::int64_t j) const { return view.as<float>()[i * view.strides[0] + j * view.strides[1]]; }
  float& at(std::int64_t i, std::int64_t j) { return view.as<float>()[i * view.strides[0] + j * view.strides[1]]; }
};

struct Sizes {
  std::int64_t m, n, k;
};

class CpuFloat32Product : public KernelTest {
 protected:
  template <class Draw>
  static MatrixOperand matrix(std::int64_t rows, std::int64_t columns, bool column_major, std::int64_t padding,
                              Draw draw) {
    const std::int64_t lines = column_major ? columns : rows;
    const std::int64_t length = (column_major ? rows : columns) + padding;
    MatrixOperand result;
    result.memory.resize(static_cast<std::size_t>(lines * length));
    for (float& value : result.memory) {
      value = draw();
    }
    result.view = {result.memory.data(), f32, {rows, columns}, column_major ? Strides{1, length} : Strides{length, 1}};
    return result;
  }

  MatrixOperand normal(std::int64_t rows, std::int64_t columns, bool column_major = false, std::int64_t padding = 0) {
    std::normal_distribution<float> draw;
    return matrix(rows, columns, column_major, padding, [&] { return draw(generator_); });
  }

  KernelCall product(const MatrixOperand& a, const MatrixOperand& b, const MatrixOperand* bias = nullptr) {
    KernelCall call;
    call.op = &matmul_;
    call.inputs = {a.view, b.view};
    if (bias != nullptr) {
      call.inputs.push_back(bias->view);
      call.inputs.back().shape = {b.view.shape[1]};
      call.inputs.back().strides = {1};
    }
    const Shape shape{a.view.shape[0], b.view.shape[1]};
    call.output = {nullptr, f32, shape, contiguous_strides(shape)};
    return call;
  }

  /// The call's result in memory that held NaN, with a guard behind it.
  std::vector<float> result_of(KernelCall call) {
    std::vector<float> memory(static_cast<std::size_t>(call.output.numel()) + guard, poison);
    call.output.data = memory.data();
    backend_->run(call);
    return without_guard(std::move(memory));
  }

  static std::vector<float> result_of(PreparedKernel& kernel, std::vector<void*> addresses, std::int64_t count) {
    std::vector<float> memory(static_cast<std::size_t>(count) + guard, poison);
    addresses.push_back(memory.data());
    kernel.run(addresses, std::source_location::current());
    return without_guard(std::move(memory));
  }

  static std::vector<float> without_guard(std::vector<float> memory) {
    for (std::size_t i = memory.size() - guard; i < memory.size(); ++i) {
      EXPECT_TRUE(std::isnan(memory[i])) << "written beyond the output";
    }
    memory.resize(memory.size() - guard);
    return memory;
  }

  static bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
  }

  /// The sum in the declared order, chunks folded by neighbours, each term fused into its sum or not.
  static float summed(const MatrixOperand& a, const MatrixOperand& b, const MatrixOperand* bias, std::int64_t i,
                      std::int64_t j, std::int64_t chunk, bool fused) {
    const std::int64_t k = a.view.shape[1];
    std::vector<float> sums;
    for (std::int64_t begin = 0; begin < k; begin += chunk) {
      float sum = 0;
      for (std::int64_t p = begin; p < k && p - begin < chunk; ++p) {
        const volatile float term = a.at(i, p) * b.at(p, j);
        sum = fused ? std::fma(a.at(i, p), b.at(p, j), sum) : sum + term;
      }
      sums.push_back(sum);
    }
    while (sums.size() > 1) {
      std::vector<float> folded;
      for (std::size_t c = 0; c < sums.size(); c += 2) {
        folded.push_back(c + 1 < sums.size() ? sums[c] + sums[c + 1] : sums[c]);
      }
      sums = folded;
    }
    return bias != nullptr ? sums[0] + bias->at(0, j) : sums[0];
  }

  /// All bits, when the backend declares an order; then every result or none is of fused terms.
  void expect_declared_order(const MatrixOperand& a, const MatrixOperand& b, const MatrixOperand* bias) {
    const KernelCall call = product(a, b, bias);
    const SumOrder order = backend_->error_model(call).order;
    if (!order.known) {
      return;
    }
    ++checked_;
    EXPECT_EQ(order.lanes, 1);
    const std::vector<float> result = result_of(call);
    bool fused = true;
    bool unfused = true;
    for (std::int64_t i = 0; i < a.view.shape[0]; ++i) {
      for (std::int64_t j = 0; j < b.view.shape[1]; ++j) {
        const auto got = std::bit_cast<std::uint32_t>(result[static_cast<std::size_t>(i * b.view.shape[1] + j)]);
        const auto expect = [&](bool with) {
          return std::bit_cast<std::uint32_t>(summed(a, b, bias, i, j, order.chunk, with));
        };
        fused = fused && got == expect(true);
        unfused = unfused && (fused || got == expect(false));
      }
    }
    EXPECT_TRUE(fused || unfused) << a.view.shape[0] << " x " << a.view.shape[1] << " x " << b.view.shape[1]
                                  << " strides " << to_string(a.view.strides) << ' ' << to_string(b.view.strides);
  }

  static constexpr std::size_t guard = 16;
  static constexpr float poison = std::numeric_limits<float>::quiet_NaN();
  /// A training step's layers in small, ragged tiles in every direction, long sums, more columns than are packed at
  /// once.
  static constexpr Sizes shapes[] = {{100, 16, 2},   {100, 1, 16},   {16, 16, 100},   {64, 10, 128},     {67, 131, 200},
                                     {10, 128, 64},  {128, 784, 64}, {200, 200, 300}, {3, 5, 4097},      {16, 20, 9000},
                                     {300, 64, 256}, {7, 4500, 30},  {300, 5, 1100},  {1030, 1050, 1040}};
  std::int64_t checked_ = 0;
  Op matmul_ = op(Family::matmul, 0);
};

TEST_F(CpuFloat32Product, EveryLayoutAndOddSizeSumsInTheDeclaredOrder) {
  constexpr std::int64_t lengths[] = {1, 2, 3, 15, 16, 17, 31, 33, 100};
  for (const std::int64_t m : lengths) {
    for (const std::int64_t n : lengths) {
      for (const std::int64_t k : lengths) {
        for (const unsigned layout : {0U, 1U, 2U, 3U}) {
          const std::int64_t padding = (m + n + k) % 2;
          const MatrixOperand a = normal(m, k, (layout & 1U) != 0, padding);
          const MatrixOperand b = normal(k, n, (layout & 2U) != 0, padding);
          const MatrixOperand bias = normal(1, n);
          expect_declared_order(a, b, layout % 2 == 0 ? &bias : nullptr);
        }
      }
    }
  }
  EXPECT_GT(checked_, 0) << "no product of these sizes has a declared order";
}

TEST_F(CpuFloat32Product, LongSumsAreFoldedInTheDeclaredOrder) {
  for (const std::int64_t k : {1025, 2100, 4096, 4097, 7 * 1024, 9000}) {
    for (const auto& [m, n] : {std::pair{6, 21}, std::pair{40, 3}, std::pair{33, 64}}) {
      for (const bool columns : {false, true}) {
        const MatrixOperand a = normal(m, k, columns);
        const MatrixOperand b = normal(k, n, !columns);
        const MatrixOperand bias = normal(1, n);
        expect_declared_order(a, b, columns ? &bias : nullptr);
      }
    }
  }
}

TEST_F(CpuFloat32Product, WholeNumbersAreExact) {
  std::uniform_int_distribution<int> draw(-15, 15);
  for (const Sizes& s : shapes) {
    for (const unsigned layout : {0U, 1U, 2U, 3U}) {
      const auto whole = [&] { return static_cast<float>(draw(generator_)); };
      const MatrixOperand a = matrix(s.m, s.k, (layout & 1U) != 0, 0, whole);
      const MatrixOperand b = matrix(s.k, s.n, (layout & 2U) != 0, 0, whole);
      const MatrixOperand bias = matrix(1, s.n, false, 0, whole);
      const std::vector<float> result = result_of(product(a, b, &bias));
      // Every row and every column at least once; all of a large product would take the test's time.
      for (std::int64_t i = 0; i < std::max(s.m, s.n); ++i) {
        const std::int64_t row = i % s.m;
        const std::int64_t column = (i * 7 + i / s.m) % s.n;
        std::int64_t sum = static_cast<std::int64_t>(bias.at(0, column));
        for (std::int64_t p = 0; p < s.k; ++p) {
          sum += static_cast<std::int64_t>(a.at(row, p)) * static_cast<std::int64_t>(b.at(p, column));
        }
        ASSERT_EQ(result[static_cast<std::size_t>(row * s.n + column)], static_cast<float>(sum))
            << s.m << 'x' << s.k << 'x' << s.n << " layout " << layout << " at " << row << ", " << column;
      }
    }
  }
}

TEST_F(CpuFloat32Product, SameBitsForAnyNumberOfThreads) {
  for (const Sizes& s : shapes) {
    for (const unsigned layout : {0U, 1U, 2U, 3U}) {
      const MatrixOperand a = normal(s.m, s.k, (layout & 1U) != 0);
      const MatrixOperand b = normal(s.k, s.n, (layout & 2U) != 0);
      const KernelCall call = product(a, b);
      if (!backend_->error_model(call).order.known) {
        continue;
      }
      std::vector<float> reference;
      for (const int threads : {1, 2, 3, 5}) {
        const cpu::LimitThreads set(threads);
        const std::vector<float> result = result_of(call);
        reference = reference.empty() ? result : reference;
        EXPECT_TRUE(same_bits(result, reference)) << s.m << 'x' << s.k << 'x' << s.n << " on " << threads;
      }
    }
  }
}

TEST_F(CpuFloat32Product, NanAndInfinityReachTheirRowsAndColumnsAndNoOthers) {
  for (const Sizes& s : {Sizes{7, 21, 5}, Sizes{100, 1, 16}, Sizes{33, 70, 40}, Sizes{5, 6, 5000}}) {
    for (const unsigned layout : {0U, 1U, 2U, 3U}) {
      MatrixOperand a = normal(s.m, s.k, (layout & 1U) != 0);
      MatrixOperand b = normal(s.k, s.n, (layout & 2U) != 0);
      const std::int64_t nan_row = s.m - 1;
      const std::int64_t inf_column = s.n / 2;
      a.at(nan_row, s.k - 1) = std::numeric_limits<float>::quiet_NaN();
      b.at(s.k / 2, inf_column) = std::numeric_limits<float>::infinity();
      const std::vector<float> result = result_of(product(a, b));
      for (std::int64_t i = 0; i < s.m; ++i) {
        for (std::int64_t j = 0; j < s.n; ++j) {
          const float value = result[static_cast<std::size_t>(i * s.n + j)];
          EXPECT_EQ(std::isnan(value), i == nan_row) << i << ", " << j;
          EXPECT_EQ(std::isinf(value), i != nan_row && j == inf_column) << i << ", " << j;
        }
      }
    }
  }
}

TEST_F(CpuFloat32Product, PreparedKernelsEqualRunForEveryAddress) {
  for (const Sizes& s : shapes) {
    const MatrixOperand a = normal(s.m, s.k, true);
    const MatrixOperand other = normal(s.m, s.k, true);
    const MatrixOperand b = normal(s.k, s.n);
    const MatrixOperand bias = normal(1, s.n);
    const KernelCall call = product(a, b, &bias);
    const std::unique_ptr<PreparedKernel> kernel = backend_->prepare(call);
    for (const MatrixOperand* left : {&a, &other, &a}) {
      KernelCall moved = call;
      moved.inputs[0].data = left->view.data;
      EXPECT_TRUE(same_bits(result_of(*kernel, addresses_of(moved), s.m * s.n), result_of(moved)));
    }
  }
}

TEST_F(CpuFloat32Product, PreparedKernelsFollowTheNumberOfThreads) {
  const MatrixOperand a = normal(1030, 1040);
  const MatrixOperand b = normal(1040, 1050);
  const KernelCall call = product(a, b);
  const std::unique_ptr<PreparedKernel> kernel = backend_->prepare(call);
  for (const int threads : {1, 2, 1}) {
    const cpu::LimitThreads set(threads);
    EXPECT_TRUE(same_bits(result_of(*kernel, addresses_of(call), 1030 * 1050), result_of(call)));
    EXPECT_EQ(omp_get_max_threads(), threads);
  }
}

/// Products and what follows them: fused, and one by one.
class CpuFusedProduct : public CpuFloat32Product {
 protected:
  Fusion fusion_of(const KernelCall& product_call, int formula, std::vector<TensorView> inputs, std::vector<int> from) {
    next_ = op(Family::elementwise, formula);
    KernelCall next;
    next.op = &next_;
    next.inputs = std::move(inputs);
    next.output = product_call.output;
    Fusion fusion;
    fusion.parts.push_back(
        {.call = product_call, .from = std::vector<int>(product_call.inputs.size(), -1), .stored = false});
    fusion.parts.push_back({.call = next, .from = std::move(from), .stored = true});
    return fusion;
  }

  static constexpr int relu = formulas::index_in<formulas::Relu, formulas::Formulas>::value;
  static constexpr int relu_grad = formulas::index_in<formulas::ReluGrad, formulas::Formulas>::value;
  static constexpr int exp = formulas::index_in<formulas::Exp, formulas::Formulas>::value;
  Op next_;
};

TEST_F(CpuFusedProduct, ReluHasTheBitsOfTheTwoKernels) {
  for (const Sizes& s : shapes) {
    for (const unsigned layout : {0U, 1U, 2U, 3U}) {
      MatrixOperand a = normal(s.m, s.k, (layout & 1U) != 0);
      const MatrixOperand b = normal(s.k, s.n, (layout & 2U) != 0);
      const MatrixOperand bias = normal(1, s.n);
      a.at(0, 0) = std::numeric_limits<float>::quiet_NaN();
      for (std::int64_t p = 0; p < s.k; ++p) {
        a.at(s.m - 1, p) = -0.0F;  // gives zeros of both signs where there is no bias
      }
      const KernelCall call = product(a, b, layout < 2 ? &bias : nullptr);
      const std::unique_ptr<PreparedKernel> kernel = backend_->fuse(fusion_of(call, relu, {call.output}, {0}));
      ASSERT_NE(kernel, nullptr);
      std::vector<float> expected = result_of(call);
      KernelCall next = fusion_of(call, relu, {call.output}, {0}).parts[1].call;
      next.inputs[0].data = expected.data();
      expected = result_of(next);
      EXPECT_TRUE(same_bits(result_of(*kernel, addresses_of(call), s.m * s.n), expected))
          << s.m << 'x' << s.k << 'x' << s.n << " layout " << layout;
      EXPECT_TRUE(std::isnan(expected[0]));
    }
  }
}

TEST_F(CpuFusedProduct, ReluGradHasTheBitsOfTheTwoKernelsAlsoInPlace) {
  for (const Sizes& s : shapes) {
    for (const unsigned layout : {0U, 1U, 2U, 3U}) {
      const MatrixOperand a = normal(s.m, s.k, (layout & 1U) != 0);
      const MatrixOperand b = normal(s.k, s.n, (layout & 2U) != 0);
      MatrixOperand saved = normal(s.m, s.n);
      saved.at(0, 0) = std::numeric_limits<float>::quiet_NaN();
      const KernelCall call = product(a, b);
      const Fusion fusion = fusion_of(call, relu_grad, {saved.view, call.output}, {-1, 0});
      const std::unique_ptr<PreparedKernel> kernel = backend_->fuse(fusion);
      ASSERT_EQ(kernel != nullptr, backend_->error_model(call).order.known);
      if (kernel == nullptr) {
        continue;  // a library's product would overwrite what was saved
      }
      std::vector<float> unmasked = result_of(call);
      KernelCall next = fusion.parts[1].call;
      next.inputs[1].data = unmasked.data();
      const std::vector<float> expected = result_of(next);
      std::vector<void*> addresses = addresses_of(call);
      addresses.push_back(saved.view.data);
      EXPECT_TRUE(same_bits(result_of(*kernel, addresses, s.m * s.n), expected))
          << s.m << 'x' << s.k << 'x' << s.n << " layout " << layout;
      addresses.push_back(saved.view.data);
      kernel->run(addresses, std::source_location::current());
      EXPECT_TRUE(same_bits(saved.memory, expected)) << "in place " << s.m << 'x' << s.k << 'x' << s.n;
    }
  }
}

TEST_F(CpuFusedProduct, WhatIsNotAProductAndReluIsLeftAlone) {
  const MatrixOperand a = normal(20, 20);
  const MatrixOperand saved = normal(20, 20);
  const KernelCall call = product(a, a);
  EXPECT_EQ(backend_->fuse(fusion_of(call, exp, {call.output}, {0})), nullptr);
  EXPECT_EQ(backend_->fuse(fusion_of(call, relu, {saved.view}, {-1})), nullptr);
  // The product as what relu saved.
  EXPECT_EQ(backend_->fuse(fusion_of(call, relu_grad, {call.output, saved.view}, {0, -1})), nullptr);
  EXPECT_EQ(backend_->fuse(fusion_of(call, relu_grad, {call.output, call.output}, {0, 0})), nullptr);
  TensorView turned = saved.view;
  turned.strides = {1, 20};
  EXPECT_EQ(backend_->fuse(fusion_of(call, relu_grad, {turned, call.output}, {-1, 0})), nullptr);
  Fusion stored = fusion_of(call, relu, {call.output}, {0});
  stored.parts[0].stored = true;
  EXPECT_EQ(backend_->fuse(stored), nullptr);
  Fusion longer = fusion_of(call, relu, {call.output}, {0});
  longer.parts.push_back(longer.parts[1]);
  EXPECT_EQ(backend_->fuse(longer), nullptr);
  // Sums that would have to wait in memory while the mask is there.
  const MatrixOperand wide = normal(200, 5000);
  const MatrixOperand tall = normal(5000, 200);
  const MatrixOperand mask = normal(200, 200);
  const KernelCall deep = product(wide, tall);
  EXPECT_EQ(backend_->fuse(fusion_of(deep, relu_grad, {mask.view, deep.output}, {-1, 0})), nullptr);
}

}  // namespace
}  // namespace twingrad
