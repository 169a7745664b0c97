// The reference interpreter in float64 against the CPU backend, op by op, and its gradients by dual numbers.
#include <gtest/gtest.h>
#include <twingrad/check/op_cases.h>
#include <twingrad/check/reference.h>
#include <twingrad/check/reference_sum.h>
#include <twingrad/check/subject.h>
#include <twingrad/ops/rows.h>

#include <cmath>
#include <source_location>

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

}  // namespace
}  // namespace twingrad::check
