// A user's own op is used, differentiated and checked like a built-in one.
#include <gtest/gtest.h>
#include <twingrad/check/gtest.h>
#include <twingrad/custom_op.h>
#include <twingrad/twingrad.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

namespace twingrad {
namespace {

void cube_cpu(const KernelCall& call) {
  map_elements(call, [](auto x) { return x * x * x; });
}

const CustomOp cube({
    .name = "cube",
    .gradient = [](const GradientCall& call) -> std::vector<Tensor> {
      return {call.cotangent * 3.0 * square(call.inputs[0])};
    },
    .custom_cpu = cube_cpu,
    .ulps = 1.5,
});
const CustomOp forgetful_cube({
    .name = "forgetful_cube",
    .gradient = [](const GradientCall& call) -> std::vector<Tensor> {
      return {call.cotangent * square(call.inputs[0])};
    },
    .custom_cpu = cube_cpu,
    .ulps = 1.5,
});
const CustomOp careless_cube({
    .name = "careless_cube",
    .gradient = [](const GradientCall& call) -> std::vector<Tensor> {
      return {call.cotangent * 3.0 * square(call.inputs[0])};
    },
    .custom_cpu =
        [](const KernelCall& call) {
          map_elements(call,
                       [](auto x) { return std::is_same_v<decltype(x), double> ? x * x * x : x * x * x * 1.00001F; });
        },
    .ulps = 1.5,
});

const CustomOp product({
    .name = "weighted_product",
    .min_inputs = 2,
    .max_inputs = 2,
    .gradient = [](const GradientCall& call) -> std::vector<Tensor> {
      return {call.cotangent * call.inputs[1], call.cotangent * call.inputs[0]};
    },
    .custom_cpu = [](const KernelCall& call) { map_elements(call, [](auto x, auto y) { return x * y; }); },
    .ulps = 0.5,
});

/// A step with `op` in it, and the line where it stands.
struct Step {
  const CustomOp& op;
  mutable int line = 0;
  Tensor operator()(Device device) const {
    const Tensor x = tensor(std::vector<float>{-1.5F, 0.3F, 0.7F, 2.1F, -0.2F}, {.device = device});
    const Tensor w = tensor(std::vector<float>{0.5F, -1, 2, 0.25F, 1}, {.device = device, .requires_grad = true});
    line = __LINE__ + 1;
    const Tensor y = op({x * w});
    const Tensor loss = mean(square(y));
    gradients(loss, {w});
    return loss;
  }
  std::string where() const { return "custom_op_test.cpp:" + std::to_string(line); }
};

TEST(CustomOp, ComputesInEveryFloat) {
  EXPECT_EQ(cube({tensor(std::vector<float>{2, -3})}).to_vector<float>(), (std::vector<float>{8, -27}));
  EXPECT_EQ(cube({tensor(std::vector<double>{2, -3}, {.dtype = f64})}).to_vector<double>(),
            (std::vector<double>{8, -27}));
  EXPECT_EQ(cube({tensor(2.0, {.dtype = bf16})}).item(), 8);
  EXPECT_EQ(product({tensor(3.0), 2.0}).item(), 6);
}

TEST(CustomOp, IsDifferentiatedTwice) {
  const Tensor x = tensor(2.0, {.dtype = f64, .requires_grad = true});
  const Tensor first = gradients(cube({x}), {x})[0];
  EXPECT_EQ(first.item(), 12);
  const Tensor again = gradients(cube({x}), {x})[0];
  EXPECT_EQ(gradients(again, {x})[0].item(), 12);
}

TEST(CustomOp, TakesViews) {
  const Tensor x = tensor(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3});
  EXPECT_EQ(cube({transpose(x)}).to_vector<float>(), (std::vector<float>{1, 64, 8, 125, 27, 216}));
}

TEST(CustomOp, SaysWhatIsWrong) {
  EXPECT_THROW(CustomOp({.name = "", .custom_cpu = cube_cpu}), ArgumentError);
  EXPECT_THROW(CustomOp({.name = "matmul", .custom_cpu = cube_cpu}), ArgumentError);
  EXPECT_THROW(CustomOp({.name = "without_kernel"}), ArgumentError);
  EXPECT_THROW(cube({tensor(1.0), tensor(2.0)}), ArgumentError);
  EXPECT_THROW(cube({tensor(std::vector<std::int64_t>{1, 2})}).eval(), DtypeError);
  EXPECT_THROW(product({tensor(std::vector<float>{1, 2}), tensor(1.0)}).eval(), ShapeError);
}

TEST(CustomOp, IsCheckedAndAgrees) {
  const check::Report report = check::step(Step{cube});
  EXPECT_TRUE(check::agrees(report));
  bool rule = false;
  for (const check::RuleResult& result : report.rules) {
    rule = rule || (result.op == "cube" && result.verdict == check::Verdict::agrees);
  }
  EXPECT_TRUE(rule) << "its gradient rule was not checked";
}

TEST(CustomOp, AWrongGradientIsNamedWithItsLine) {
  const Step step{forgetful_cube};
  const check::Report report = check::step(std::cref(step));
  EXPECT_FALSE(check::agrees(report));
  EXPECT_EQ(report.verdict(), check::Verdict::gradient_rule);
  int named = 0;
  for (const check::RuleResult& rule : report.rules) {
    if (rule.verdict == check::Verdict::gradient_rule) {
      ++named;
      EXPECT_EQ(rule.op, "forgetful_cube");
      EXPECT_EQ(rule.where, step.where());
    }
  }
  EXPECT_EQ(named, 1);
}

TEST(CustomOp, AWrongKernelIsNamedWithItsLine) {
  const Step step{careless_cube};
  const check::Report report = check::step(std::cref(step));
  EXPECT_EQ(report.verdict(), check::Verdict::kernel);
  int named = 0;
  for (const check::NodeResult& node : report.devices[0].nodes) {
    if (node.verdict == check::Verdict::kernel) {
      ++named;
      EXPECT_EQ(node.op, "careless_cube");
      EXPECT_EQ(node.where, step.where());
    }
  }
  EXPECT_EQ(named, 1);
}

}  // namespace
}  // namespace twingrad
