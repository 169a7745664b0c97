// The check of all ops: it passes the CPU, covers every op, and sees what is wrong.
#include <gtest/gtest.h>
#include <twingrad/check/op_cases.h>
#include <twingrad/check/ops.h>
#include <twingrad/check/reference.h>
#include <twingrad/check/subject.h>
#include <twingrad/ops.h>
#include <twingrad/ops/rows.h>

#include <algorithm>
#include <set>
#include <string>

namespace twingrad::check {
namespace {

constexpr std::uint64_t seed = 20250301;

TEST(OpsCheckTest, TheCpuAgreesInHundredsOfCases) {
  const OpsReport report = ops({.cases = 600, .seed = seed});
  EXPECT_TRUE(report.agrees()) << to_text(report);
  EXPECT_GT(report.elements, 1000000);
  EXPECT_GT(report.rules, 100);
  EXPECT_GT(report.second_rules, 100);
  EXPECT_GT(report.in_situ_cases, 50);
  EXPECT_LT(report.elements_skipped, report.elements / 100);
}

TEST(OpsCheckTest, NoCellOfTheCoverageIsEmpty) {
  // Every op in every dtype it takes: sixteen cases go through the dtypes once.
  const OpsReport report = ops({.cases = static_cast<std::int64_t>(all_ops().size()) * 16, .seed = seed});
  EXPECT_TRUE(report.agrees()) << to_text(report);
  std::set<std::string> rows;
  for (const Coverage& row : coverage(report)) {
    rows.insert(row.op);
    for (int s = 0; s < stages; ++s) {
      EXPECT_FALSE(row.empty[static_cast<std::size_t>(s)])
          << row.op << " " << name(row.dtype) << " " << name(static_cast<Stage>(s));
    }
  }
  EXPECT_EQ(rows.size(), all_ops().size());
}

TEST(OpsCheckTest, ACaseIsTheSameAgain) {
  for (const Op* op : all_ops()) {
    const OpCase first = make_case(*op, 7, seed, {});
    const OpCase second = make_case(*op, 7, seed, {});
    EXPECT_EQ(describe(first), describe(second));
    ASSERT_EQ(first.inputs.size(), second.inputs.size());
    for (std::size_t j = 0; j < first.inputs.size(); ++j) {
      EXPECT_TRUE(compare_bits(first.inputs[j].values, second.inputs[j].values, first.dtype).outside == 0);
    }
  }
}

TEST(OpsCheckTest, LayoutsShowTheValuesOfTheCase) {
  std::set<Placement> seen;
  for (std::int64_t number = 0; number < 200; ++number) {
    const OpCase drawn = make_case(*all_ops()[static_cast<std::size_t>(number) % 40], number, seed, {});
    const PlacedCase placed = place(drawn, Device::cpu());
    for (std::size_t j = 0; j < drawn.inputs.size(); ++j) {
      seen.insert(drawn.inputs[j].placement);
      const Comparison same =
          compare_bits(placed.inputs[j].to_vector<double>(), drawn.inputs[j].values, drawn.inputs[j].type.dtype);
      EXPECT_EQ(same.outside, 0) << describe(drawn);
      EXPECT_NE(same.finding, Finding::size) << describe(drawn);
    }
  }
  EXPECT_EQ(seen.size(), 6U);
}

TEST(OpsCheckTest, FiltersByOpShapeAndDtype) {
  const OpsReport report =
      ops({.cases = 10, .seed = seed, .op = "softmax", .shape = Shape{5, 33}, .dtype = Dtype::bf16});
  EXPECT_TRUE(report.agrees());
  EXPECT_EQ(report.cases, 10);
  ASSERT_EQ(report.evidence.size(), 1U);
  EXPECT_EQ(report.evidence.begin()->first, (std::pair<std::string, Dtype>("softmax", Dtype::bf16)));
}

TEST(OpsCheckTest, RefusesWhatThereIsNot) {
  try {
    ops({.op = "conv9d"});
    FAIL();
  } catch (const ArgumentError& error) {
    EXPECT_NE(std::string(error.what()).find("softmax"), std::string::npos);
  }
  EXPECT_THROW(ops({.op = "softmax", .dtype = Dtype::i32}), ArgumentError);
  EXPECT_THROW(ops({.op = "softmax", .shape = Shape{}}), ArgumentError);
  EXPECT_THROW(ops({.only = 3}), ArgumentError);
}

// A user's op whose gradient misses a factor 2.
TensorType same(std::span<const TensorType> inputs, const Attributes&) {
  return inputs[0];
}
void double_it(const KernelCall& call) {
  visit(call.output.dtype, [&]<class T>(Type<T>) {
    for (std::int64_t i = 0; i < call.output.numel(); ++i) {
      const auto x = static_cast<compute_t<T>>(call.inputs[0].as<const T>()[i]);
      call.output.as<T>()[i] = static_cast<T>(x + x);
    }
  });
}
std::vector<Sample> one_sample() {
  return {{{{Shape{7, 5}, Dtype::f64}}}};
}
constexpr Op wrong_gradient{
    .name = "doubled",
    .family = Family::custom,
    .summary = "2 x",
    .infer = same,
    .gradient = [](const GradientCall& call) -> std::vector<Tensor> { return {call.cotangent}; },
    .samples = one_sample,
    .custom_cpu = double_it};

TEST(OpsCheckTest, NamesAWrongGradientOfACustomOp) {
  const OpsReport report = ops({.cases = 4, .seed = seed, .op = "doubled", .custom = {&wrong_gradient}});
  ASSERT_FALSE(report.failures.empty());
  for (const OpFailure& failure : report.failures) {
    EXPECT_EQ(failure.op, "doubled");
    EXPECT_EQ(failure.verdict, Verdict::gradient_rule) << to_text(report);
  }
  EXPECT_NE(to_text(report).find("DISAGREES"), std::string::npos);
}

TEST(OpsCheckTest, ReversedBatchesAreMultiplied) {
  const Tensor a = slice(arange(12, 1, 1, {.dtype = f32}).to(f32), 0, 11, {}, -1);
  const Tensor flipped = slice(reshape(arange(12, 1, 1, {.dtype = f32}), {3, 2, 2}), 0, 2, {}, -1);
  const Tensor b = reshape(arange(12, 0, 1, {.dtype = f32}), {3, 2, 2});
  const std::vector<double> found = matmul(flipped, b).to_vector<double>();
  const std::vector<double> plain =
      matmul(tensor(flipped.to_vector<double>(), {3, 2, 2}, {.dtype = f32}), b).to_vector<double>();
  EXPECT_EQ(found, plain);
  EXPECT_EQ(a.to_vector<double>().front(), 12);
}

TEST(OpsCheckTest, JsonSaysWhatTheTextSays) {
  const OpsReport report = ops({.cases = 20, .seed = seed});
  const std::string json = to_json(report);
  EXPECT_NE(json.find("\"agrees\": true"), std::string::npos);
  EXPECT_NE(json.find("\"seed\": 20250301"), std::string::npos);
  for (const Coverage& row : coverage_without("a GPU")) {
    EXPECT_FALSE(row.cells[0].empty());
  }
}

}  // namespace
}  // namespace twingrad::check
