// What the reference computes several elements at a time, and on any number of threads, against the same one by one:
// the same predictions to the bit; of products what float32 arithmetic on the bounds allows.
#include <gtest/gtest.h>
#include <twingrad/check/op_cases.h>
#include <twingrad/check/reference.h>
#include <twingrad/check/reference_pieces.h>
#include <twingrad/check/subject.h>
#include <twingrad/kernels.h>
#include <twingrad/twingrad.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "cpu/parallel.h"

namespace twingrad::check {
namespace {

bool same(double a, double b) {
  return std::isnan(a) ? std::isnan(b) : std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b);
}

/// How far what is said of a product may differ, relatively. Bounds are sums in float32, made larger by what those may
/// lose; float64's are sums in double, whose products and additions may round once instead of twice. Others are the
/// same.
struct Slack {
  Slack(const Op& op, const std::vector<Array<double>>& inputs) {
    if (op.family == Family::matmul) {
      const auto roundings = 2 * static_cast<double>(inputs[0].type.shape.back() + 2);
      below = roundings * 0x1p-52;
      above = inputs[0].type.dtype == Dtype::f64 ? below : roundings * 0x1p-23;
    }
  }
  bool holds(double a, double b) const { return same(a, b) || (a >= b * (1 - below) && a <= b * (1 + above)); }
  double below = 0;
  double above = 0;
};

/// Both ways of computing one use.
void expect_same(const Op& op, const Attributes& attributes, const std::vector<Array<double>>& inputs,
                 const TensorType& type, const ErrorModel& model, const std::string& what) {
  std::vector<Array<Tracked>> tracked;
  for (const Array<double>& input : inputs) {
    tracked.push_back(convert<Tracked>(input));
  }
  const Array<Tracked> one_by_one = reference<Tracked>(op, attributes, tracked, type, model);
  const Array<Tracked> together = expect(op, attributes, inputs, type, model);
  ASSERT_EQ(together.data.size(), one_by_one.data.size()) << what;
  const Slack slack(op, inputs);
  for (std::size_t i = 0; i < together.data.size(); ++i) {
    const Tracked& a = together.data[i];
    const Tracked& b = one_by_one.data[i];
    const double near = slack.above * b.worst;
    ASSERT_TRUE(same(a.value, b.value) || std::abs(a.value - b.value) <= near)
        << what << ", element " << i << ": " << a.value << ", not " << b.value;
    ASSERT_EQ(a.overflow, b.overflow) << what << ", element " << i << ": " << a.value;
    // Of what cannot be predicted nothing else is used.
    if (!b.overflow) {
      ASSERT_TRUE(slack.holds(a.worst, b.worst)) << what << ", element " << i << ": " << a.worst << ", not " << b.worst;
      ASSERT_TRUE(slack.holds(a.variance, b.variance))
          << what << ", element " << i << ": " << a.variance << ", " << b.variance;
      ASSERT_TRUE(same(a.library, b.library) || std::abs(a.library - b.library) <= near)
          << what << ", element " << i << ": " << a.library << ", " << b.library;
    }
  }
}

/// How kernels may round: the CPU's way, approximate functions with subnormals lost, sums in no known order.
std::vector<ErrorModel> models() {
  ErrorModel exact{.ulps = {.tanh = 2}};
  ErrorModel rough{.ulps = {.exp = 2, .pow = 8, .sqrt = 3, .divide = 2}, .flushes_subnormals = true};
  ErrorModel unordered = exact;
  unordered.order.known = false;
  ErrorModel lanes = exact;
  lanes.order = {.lanes = 4, .chunk = 64};
  return {exact, rough, unordered, lanes};
}

class PiecesTest : public testing::TestWithParam<const Op*> {};

TEST_P(PiecesTest, PredictTheSameForRandomCases) {
  const Op& op = *GetParam();
  if (op.family == Family::custom || op.name == "to_device") {
    GTEST_SKIP() << "no formula";
  }
  for (std::int64_t number = 0; number < 60; ++number) {
    const OpCase drawn = make_case(op, number, 23, {});
    std::vector<Array<double>> inputs;
    for (const CaseInput& input : drawn.inputs) {
      inputs.push_back({input.type, input.values, input.integers});
    }
    for (const ErrorModel& model : models()) {
      expect_same(op, drawn.attributes, inputs, drawn.output, model, describe(drawn));
    }
  }
}

/// Numbers that something special happens at, in float64 whatever the dtype.
std::vector<double> hard_values(Dtype dtype) {
  std::vector<double> values;
  const std::vector<double> all = {0.0,
                                   1.0,
                                   0.5,
                                   1.5,
                                   2.0,
                                   3.0,
                                   1.0 / 3,
                                   0.1,
                                   7.25,
                                   100.0,
                                   16777215.0,
                                   1e-3,
                                   1e-8,
                                   0x1p-24,
                                   0x1p-75,
                                   0x1p-126,
                                   0x1p-149,
                                   0x1.8p-140,
                                   0x1p-133,
                                   0x1p-14,
                                   0x1.8p-20,
                                   65504.0,
                                   65520.0,
                                   1e19,
                                   3e38,
                                   0x1.fffffep127,
                                   0x1.fep127,
                                   88.5,
                                   89.0,
                                   1e-310,
                                   1e300,
                                   0x1p-1022,
                                   std::numeric_limits<double>::infinity(),
                                   std::nan("")};
  for (const double x : all) {
    const double rounded = round_to(x, dtype);
    values.push_back(rounded);
    values.push_back(-rounded);
  }
  return values;
}

class FormulaPiecesTest : public testing::TestWithParam<const Op*> {};

TEST_P(FormulaPiecesTest, PredictTheSameAtHardValues) {
  const Op& op = *GetParam();
  std::mt19937 random(7);
  for (const Dtype dtype : dtypes_of(op)) {
    if (!is_floating(dtype)) {
      continue;
    }
    const OpCase drawn = make_case(op, 0, 1, {.dtype = dtype});
    const std::vector<double> values = hard_values(dtype);
    // Every pair of them; of more inputs the rest are drawn.
    const auto count = static_cast<std::int64_t>(values.size() * values.size());
    std::vector<Array<double>> inputs;
    for (std::size_t j = 0; j < drawn.inputs.size(); ++j) {
      const Dtype input_dtype = drawn.inputs[j].type.dtype;
      const bool hyperparameters = op.family == Family::update && j + 1 == drawn.inputs.size();
      Array<double> input{{hyperparameters ? drawn.inputs[j].type.shape : Shape{count}, input_dtype}, {}, {}};
      for (std::int64_t i = 0; i < numel(input.type.shape); ++i) {
        const auto at = static_cast<std::size_t>(i);
        const std::size_t which =
            j == 0 ? at / values.size() : (j == 1 ? at % values.size() : random() % values.size());
        const double x = hyperparameters ? 0.01 + 0.3 * static_cast<double>(i) : values[which % values.size()];
        input.data.push_back(input_dtype == Dtype::boolean ? (x > 1 ? 1 : 0) : round_to(x, input_dtype));
      }
      inputs.push_back(std::move(input));
    }
    for (const ErrorModel& model : models()) {
      expect_same(op, drawn.attributes, inputs, {{count}, drawn.output.dtype}, model,
                  std::string(op.name) + " in " + std::string(name(dtype)));
    }
  }
}

std::vector<const Op*> formula_ops() {
  std::vector<const Op*> ops;
  for (const Op* op : all_ops()) {
    if (op->family == Family::elementwise || op->family == Family::update) {
      ops.push_back(op);
    }
  }
  return ops;
}

std::string name_of(const testing::TestParamInfo<const Op*>& row) {
  return std::string(row.param->name);
}

INSTANTIATE_TEST_SUITE_P(Rows, PiecesTest, testing::ValuesIn(all_ops()), name_of);
INSTANTIATE_TEST_SUITE_P(Rows, FormulaPiecesTest, testing::ValuesIn(formula_ops()), name_of);

const Op& op_named(std::string_view wanted) {
  for (const Op* op : all_ops()) {
    if (op->name == wanted) {
      return *op;
    }
  }
  throw ArgumentError("no op " + std::string(wanted));
}

Array<double> drawn_array(const Shape& shape, std::mt19937& random) {
  std::normal_distribution<float> draw;
  Array<double> array{{shape, Dtype::f32}, {}, {}};
  for (std::int64_t i = 0; i < numel(shape); ++i) {
    array.data.push_back(static_cast<double>(draw(random)));
  }
  return array;
}

TEST(ReferencePiecesTest, MatrixProductsOfAnyShapePredictTheSame) {
  std::mt19937 random(3);
  for (const std::int64_t m : {1, 3, 4, 9}) {
    for (const std::int64_t n : {1, 7, 8, 16, 21, 40}) {
      for (const std::int64_t k : {1, 2, 19}) {
        std::vector<Array<double>> inputs = {drawn_array({2, m, k}, random), drawn_array({1, k, n}, random),
                                             drawn_array({n}, random)};
        inputs[0].data[0] = -0.0;
        ErrorModel model;
        model.order.known = false;
        const std::string what = std::to_string(m) + ", " + std::to_string(n) + ", " + std::to_string(k);
        expect_same(op_named("matmul"), {}, inputs, {{2, m, n}, Dtype::f32}, model, what);
        inputs.pop_back();
        expect_same(op_named("matmul"), {}, inputs, {{2, m, n}, Dtype::f32}, model, what);
      }
    }
  }
}

TEST(ReferencePiecesTest, TheNumberOfThreadsChangesNothing) {
  const auto build = [](Device device) {
    const Tensor x = random_normal({120, 90}, {.key = 1, .stream = 1}, {.device = device});
    const Tensor w = random_normal({90, 110}, {.key = 1, .stream = 2}, {.device = device});
    x.eval();
    w.eval();
    const Tensor y = gelu(matmul(x, w));
    return std::vector<Tensor>{y, sum(y, {.axes = {0}}), y / (square(y) + 1.0)};
  };
  std::vector<DeviceReport> reports;
  std::vector<Isolated> outcomes;
  for (const int threads : {1, 2, 3}) {
    const cpu::LimitThreads scope(threads);
    const Subject subject = take_graph(build, Device::cpu());
    reports.emplace_back();
    outcomes.push_back(check_isolated(subject, {}, 8, reports.back()));
  }
  for (std::size_t run = 1; run < reports.size(); ++run) {
    EXPECT_EQ(outcomes[run].sigma, outcomes[0].sigma);
    for (std::size_t i = 0; i < reports[0].nodes.size(); ++i) {
      EXPECT_EQ(outcomes[run].values[i].data, outcomes[0].values[i].data);
      const Comparison& a = reports[run].nodes[i].isolated;
      const Comparison& b = reports[0].nodes[i].isolated;
      EXPECT_EQ(a.rms_ratio, b.rms_ratio);
      EXPECT_EQ(a.max_ratio, b.max_ratio);
      EXPECT_EQ(a.worst_index, b.worst_index);
      EXPECT_EQ(a.ulps, b.ulps);
      EXPECT_EQ(reports[run].nodes[i].sigma, reports[0].nodes[i].sigma);
    }
  }
}

}  // namespace
}  // namespace twingrad::check
