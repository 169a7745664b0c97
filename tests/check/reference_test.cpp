// The reference interpreter in float64 against the CPU backend, op by op, and its gradients by dual numbers.
#include <gtest/gtest.h>
#include <twingrad/check/compare.h>
#include <twingrad/check/op_cases.h>
#include <twingrad/check/reference.h>
#include <twingrad/check/reference_sum.h>
#include <twingrad/check/subject.h>
#include <twingrad/ops/rows.h>

#include <cmath>
#include <source_location>
#include <span>
#include <string_view>
#include <vector>

namespace twingrad::check {
namespace {

std::vector<Array<double>> arrays_of(const OpCase& drawn) {
  std::vector<Array<double>> arrays;
  for (const CaseInput& input : drawn.inputs) {
    arrays.push_back({input.type, input.values, input.integers});
  }
  return arrays;
}

/// A case of plain values in float64, or in the only dtype the op takes.
OpCase plain_case(const Op& op, std::int64_t number) {
  const std::vector<Dtype> dtypes = dtypes_of(op);
  const bool wide = std::find(dtypes.begin(), dtypes.end(), Dtype::f64) != dtypes.end();
  for (std::int64_t i = number * 100;; ++i) {
    OpCase drawn = make_case(op, i, 11, {.dtype = wide ? Dtype::f64 : dtypes.front()});
    if (drawn.values == Values::domain && numel(drawn.output.shape) > 0) {
      return drawn;
    }
  }
}

class ReferenceTest : public testing::TestWithParam<const Op*> {};

TEST_P(ReferenceTest, AgreesWithTheCpu) {
  const Op& op = *GetParam();
  if (&op == &to_device_op) {
    GTEST_SKIP() << "copies between devices";
  }
  for (std::int64_t number = 0; number < 4; ++number) {
    const OpCase drawn = plain_case(op, number);
    const std::vector<Array<double>> inputs = arrays_of(drawn);
    const std::vector<double> found =
        run_alone(op, drawn.attributes, inputs, drawn.output, Device::cpu(), std::source_location::current());
    const ErrorModel model =
        op.family == Family::view ? ErrorModel{} : model_of(op, drawn.attributes, inputs, drawn.output, Device::cpu());
    const Array<double> plain = reference<double>(op, drawn.attributes, inputs, drawn.output, model);
    const Array<Tracked> tracked = expect(op, drawn.attributes, inputs, drawn.output, model);
    ASSERT_EQ(plain.data.size(), found.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
      ASSERT_LE(std::abs(found[i] - plain.data[i]), 2 * tracked.data[i].worst) << describe(drawn) << ", element " << i;
    }
  }
}

TEST_P(ReferenceTest, EveryNumberTypeHasTheSameValues) {
  const Op& op = *GetParam();
  if (&op == &to_device_op) {
    GTEST_SKIP() << "copies between devices";
  }
  const OpCase drawn = plain_case(op, 1);
  const std::vector<Array<double>> inputs = arrays_of(drawn);
  std::vector<Array<Dual>> duals;
  for (const Array<double>& input : inputs) {
    duals.push_back(convert<Dual>(input));
  }
  const Array<Dual> dual = reference<Dual>(op, drawn.attributes, duals, drawn.output, ErrorModel{});
  const Array<Tracked> tracked = expect(op, drawn.attributes, inputs, drawn.output, ErrorModel{});
  for (std::size_t i = 0; i < dual.data.size(); ++i) {
    ASSERT_LE(std::abs(static_cast<double>(dual.data[i].value) - tracked.data[i].value), 2 * tracked.data[i].worst);
    ASSERT_EQ(dual.data[i].slope, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Rows, ReferenceTest, testing::ValuesIn(all_ops()),
                         [](const auto& row) { return std::string(row.param->name); });

TEST(ReferenceSumTest, RoundingsThatRepeatAreForeseen) {
  // 0.1 added to itself rounds in one direction for long: no statistics would allow for it.
  constexpr std::int64_t terms = 4000;
  float sum = 0;
  for (std::int64_t i = 0; i < terms; ++i) {
    sum += 0.1F;
  }
  const RoundingScope scope(24, ErrorModel{});
  const Tracked expected = ordered_sum<Tracked>(
      terms, [](std::int64_t) { return Tracked(0.1); }, SumOrder{});
  const double error = std::abs(static_cast<double>(sum) - expected.value);
  EXPECT_GT(error, 4 * expected.sigma());
  EXPECT_LE(error, expected.sigma() + expected.library);
}

/// Terms whose partial sums stay near 0 one after the other, and in another order, all positive ones first, grow to 256
/// and lose the last bits of each.
struct Cancelling {
  static constexpr std::int64_t count = 512;
  std::vector<double> terms;
  double exact = 0;
  double other_order = 0;  ///< in float32
  Cancelling() {
    const float large = 1 + 7 * 0x1p-23F;
    float sum = 0;
    for (std::int64_t i = 0; i < count; ++i) {
      terms.push_back(i % 2 == 0 ? static_cast<double>(large) : -1.0);
      exact += terms.back();
      sum += i < count / 2 ? large : -1.0F;
    }
    other_order = static_cast<double>(sum);
  }
};

const Op& op_named(std::string_view name) {
  const std::vector<const Op*> ops = all_ops();
  return **std::find_if(ops.begin(), ops.end(), [&](const Op* op) { return op->name == name; });
}

Tracked last_of(std::string_view op, const Attributes& attributes, const std::vector<Array<double>>& inputs,
                const Shape& shape, const ErrorModel& model) {
  std::vector<Array<Tracked>> tracked;
  for (const Array<double>& input : inputs) {
    tracked.push_back(convert<Tracked>(input));
  }
  return reference<Tracked>(op_named(op), attributes, std::span<const Array<Tracked>>(tracked),
                            {shape, inputs[0].type.dtype}, model)
      .data.back();
}

TEST(ReferenceSumTest, TheWorstCaseOfAnUnknownOrderHoldsForOthers) {
  const Cancelling sums;
  const std::vector<Array<double>> factors = {{{{1, Cancelling::count}, Dtype::f32}, sums.terms},
                                              {{{Cancelling::count, 1}, Dtype::f32}, std::vector<double>(512, 1.0)}};
  const std::vector<Array<double>> terms = {{{{Cancelling::count}, Dtype::f32}, sums.terms}};
  const double error = std::abs(sums.other_order - sums.exact);
  // float32, and with operands that have errors of their own, which takes another path.
  for (const int operand_bits : {0, 24}) {
    ErrorModel model{.operand_bits = operand_bits};
    const double own = operand_bits == 0 ? 0 : 4 * 0x1p-24 * Cancelling::count;
    EXPECT_LT(last_of("matmul", {}, factors, {1, 1}, model).worst - own, error);
    model.order.known = false;
    const Tracked expected = last_of("matmul", {}, factors, {1, 1}, model);
    EXPECT_GE(expected.worst - own, error);
    // No order of n terms is further off than n - 1 additions of all of them.
    EXPECT_LE(expected.worst - own, 0x1p-24 * Cancelling::count * Cancelling::count * 1.01);
    EXPECT_FALSE(expected.overflow);
  }
  const Attributes scan{.ints = {0, 0}};
  ErrorModel model;
  EXPECT_LT(last_of("cumsum", scan, terms, {Cancelling::count}, model).worst, error);
  model.order.known = false;
  EXPECT_GE(last_of("cumsum", scan, terms, {Cancelling::count}, model).worst, error);
}

TEST(ReferenceSumTest, InFloat64TheReferenceRoundsInAnOrderOfItsOwn) {
  // 1 + 2^-53 + 2^-53 is 1 from the left and 1 + 2^-52 from the right: each side may be off.
  const std::vector<Array<double>> factors = {{{{1, 3}, Dtype::f64}, {1.0, 0x1p-53, 0x1p-53}},
                                              {{{3, 1}, Dtype::f64}, {1.0, 1.0, 1.0}}};
  ErrorModel model{.accumulator_bits = 53};
  model.order.known = false;
  const Tracked expected = last_of("matmul", {}, factors, {1, 1}, model);
  EXPECT_GE(expected.worst, 5 * 0x1p-53) << "a product, and two additions on two sides";
}

TEST(ReferenceMatmulTest, SubnormalsLoseWholeStepsOfTf32) {
  // Between 0 and 2^-126 TF32's numbers lie 2^-136 apart; cut off, all but the last bit of float32 of a step is lost.
  const double kept = 0x1p-130;
  const double lost = 0x1p-136 - 0x1p-149;
  const std::vector<Array<double>> factors = {{{{1, 1}, Dtype::f32}, {kept + lost}}, {{{1, 1}, Dtype::f32}, {1.0}}};
  ErrorModel model{.operand_bits = 11};
  model.order.known = false;
  const Tracked expected = last_of("matmul", {}, factors, {1, 1}, model);
  EXPECT_GE(expected.worst, lost);
  // Beside that step the other operand's loss, 2^-10 of all, and four roundings below float32's smallest number.
  EXPECT_LE(expected.worst, 0x1p-136 + 0x1.1p-140 + 4 * 0x1p-150);
  EXPECT_TRUE(compare(std::vector{kept}, std::vector{expected}, Dtype::f32).passes());
  EXPECT_FALSE(compare(std::vector{kept - 0x1p-136}, std::vector{expected}, Dtype::f32).passes());
}

}  // namespace
}  // namespace twingrad::check
