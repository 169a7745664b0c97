// Elementwise ops as one kernel: with as much scratch as there is, and refused where they need more.
#include <twingrad/formulas.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <source_location>
#include <vector>

#include "cpu/fused.h"
#include "tests/cpu/kernel_fixture.h"

namespace twingrad {
namespace {

class CpuFusedElementwise : public KernelTest {
 protected:
  static constexpr std::int64_t count = 1001;

  /// `width` operands in memory, each negated, and their sum from left to right: all the negated ones wait in scratch.
  Fusion negated_sum(int width) const {
    const Shape shape{count};
    const TensorView view{nullptr, f64, shape, contiguous_strides(shape)};
    Fusion fusion;
    const auto add = [&](const Op& row, const std::vector<int>& from, bool stored) {
      KernelCall call;
      call.op = &row;
      call.inputs.assign(from.size(), view);
      call.output = view;
      fusion.parts.push_back({.call = call, .from = from, .stored = stored});
    };
    for (int i = 0; i < width; ++i) {
      add(negate_, {-1}, false);
    }
    for (int i = 1; i < width; ++i) {
      add(add_, {i == 1 ? 0 : width + i - 2, i}, i == width - 1);
    }
    return fusion;
  }

  const Op negate_ = op(Family::elementwise, formulas::index_in<formulas::Neg, formulas::Formulas>::value);
  const Op add_ = op(Family::elementwise, formulas::index_in<formulas::Add, formulas::Formulas>::value);
};

TEST_F(CpuFusedElementwise, MorePartsThanFitTheScratchAreRefused) {
  std::vector<std::vector<double>> operands;
  int most = 0;
  for (int width = 2; width <= 300; ++width) {
    operands.resize(static_cast<std::size_t>(width));
    for (std::vector<double>& operand : operands) {
      if (operand.empty()) {
        operand = this->operand(f64, {count}).values;
      }
    }
    const std::unique_ptr<PreparedKernel> kernel = cpu::fuse_elementwise(negated_sum(width));
    if (kernel == nullptr) {
      continue;
    }
    EXPECT_EQ(most, width == 2 ? 0 : width - 1) << "refused, and taken with more parts";
    most = width;
    std::vector<void*> addresses;
    for (std::vector<double>& operand : operands) {
      addresses.push_back(operand.data());
    }
    std::vector<double> result(count, std::numeric_limits<double>::quiet_NaN());
    addresses.push_back(result.data());
    kernel->run(addresses, std::source_location::current());
    for (std::size_t i = 0; i < result.size(); ++i) {
      double expected = -operands[0][i];
      for (std::size_t k = 1; k < operands.size(); ++k) {
        expected += -operands[k][i];
      }
      ASSERT_EQ(result[i], expected) << width << " operands, element " << i;
    }
  }
  EXPECT_GE(most, 16);   // what plans ask for
  EXPECT_LT(most, 300);  // 150 KiB in the smallest block: no stack is asked for that much
}

}  // namespace
}  // namespace twingrad
