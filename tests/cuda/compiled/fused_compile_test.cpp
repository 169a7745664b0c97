// Kernels that are compiled at run time: NVRTC takes every formula in every dtype, and every kind of operand, from the
// sources that the library carries. Needs NVRTC, no GPU.
#include "cuda/fused.h"
#include "cuda/fused_plan.h"
#include "cuda/fused_text.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <tuple>

#include "tests/cuda/fusion_builder.h"
#include "tests/environment_variable.h"

namespace twingrad::cuda {
namespace {

using tests::formula_op;
using tests::FusionBuilder;
using tests::view_of;

constexpr int hopper = 90;

class FusedCompileTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!compiler_.is_there()) {
      GTEST_SKIP() << compiler_.description() << ": this test waits for NVRTC";
    }
  }

  void expect_compiles(const Fusion& fusion) {
    const std::optional<FusedPlan> plan = plan_fusion(fusion);
    ASSERT_TRUE(plan);
    EXPECT_FALSE(compiler_.compile(fused_source(plan->text), fused_headers()).empty()) << plan->text;
  }

  RuntimeCompiler compiler_{hopper};
};

const Shape shape{6, 32};

/// Dense, single, row, column, gathered: in turn.
TensorView operand(Dtype dtype, int turn) {
  switch (turn % 5) {
    case 0:
      return view_of(dtype, shape);
    case 1:
      return view_of(dtype, shape, {0, 0});
    case 2:
      return view_of(dtype, shape, {0, 1});
    case 3:
      return view_of(dtype, shape, {1, 0});
    default:
      return view_of(dtype, shape, {1, 6});
  }
}

template <class Formula>
void add_formula(FusionBuilder& builder, Dtype dtype, int& turn) {
  if (!visit(dtype, []<class T>(Type<T>) { return formulas::accepts<T>(Formula::takes); })) {
    return;
  }
  std::vector<TensorView> inputs;
  for (int i = 0; i < Formula::arity; ++i) {
    inputs.push_back(operand(i == 0 && Formula::arity == 3 ? boolean : dtype, turn++));
  }
  const Dtype out = Formula::gives == formulas::Gives::boolean ? boolean : dtype;
  builder.add(formula_op<Formula>(), inputs, std::vector<int>(inputs.size(), -1), view_of(out, shape), true,
              {turn % 2 == 0 ? 0.0 : 0.5, 1.5, 0, 0});
}

template <class... Formulas>
void add_all(FusionBuilder& builder, Dtype dtype, const std::tuple<Formulas...>*) {
  int turn = 0;
  (add_formula<Formulas>(builder, dtype, turn), ...);
}

template <class... Updates>
void add_updates(FusionBuilder& builder, Dtype dtype, const std::tuple<Updates...>*) {
  const auto add = [&]<class Formula>(Type<Formula>) {
    std::vector<TensorView> inputs(static_cast<std::size_t>(Formula::arity - 1), view_of(dtype, shape));
    inputs.push_back(view_of(dtype, {Formula::hyperparameters}));
    builder.add(formula_op<Formula>(), inputs, std::vector<int>(inputs.size(), -1), view_of(dtype, shape));
  };
  (add(Type<Updates>{}), ...);
}

TEST_F(FusedCompileTest, EveryFormulaInEveryDtype) {
  for (const Dtype dtype : {f32, f64, bf16, f16, i32, i64, u8, boolean}) {
    SCOPED_TRACE(name(dtype));
    FusionBuilder builder;
    add_all(builder, dtype, static_cast<const formulas::Formulas*>(nullptr));
    if (is_floating(dtype)) {
      add_updates(builder, dtype, static_cast<const formulas::UpdateFormulas*>(nullptr));
    }
    EXPECT_GE(builder.fusion().parts.size(), dtype == boolean ? 6U : 17U);
    expect_compiles(builder.fusion());
  }
}

TEST_F(FusedCompileTest, WideIndices) {
  const Shape large{std::int64_t{1} << 20, 1 << 12};
  const TensorView x = view_of(f32, large);
  FusionBuilder builder;
  builder.add(formula_op<formulas::Mul>(), {x, view_of(f32, large, {0, 1})}, {-1, -1}, x, false);
  builder.add(formula_op<formulas::Add>(), {x, view_of(f32, large, {1, 1 << 20})}, {0, -1}, x);
  expect_compiles(builder.fusion());
}

TEST_F(FusedCompileTest, SumsBehindAChain) {
  for (const Dtype dtype : {f32, f64, bf16, f16}) {
    for (const std::int64_t row : {std::int64_t{32}, std::int64_t{1} << 31}) {  // the second one needs wide indices
      SCOPED_TRACE(name(dtype));
      const TensorView x = view_of(dtype, shape);
      FusionBuilder builder;
      builder.add(formula_op<formulas::Mul>(), {x, view_of(dtype, shape, {row, 1})}, {-1, -1}, x, false);
      builder.add(formula_op<formulas::ReluGrad>(), {x, x}, {-1, 0}, x);
      builder.add_sum(Reduce::sum, 1, dtype, shape, {0});
      builder.add_sum(Reduce::mean, 0, dtype, shape, {0, 1});
      expect_compiles(builder.fusion());
    }
  }
}

TEST_F(FusedCompileTest, SeveralAtOnce) {
  const TensorView p = view_of(f64, {10});
  FusionBuilder builder;
  builder.add(formula_op<formulas::Sgd>(), {p, p, view_of(f64, {1})}, {-1, -1, -1}, p);
  const std::optional<FusedPlan> plan = plan_fusion(builder.fusion());
  ASSERT_TRUE(plan);
  EXPECT_FALSE(compiler_.compile(fused_source(fused_text::merged(plan->text, 16)), fused_headers()).empty());
}

TEST_F(FusedCompileTest, GpusThatNvrtcDoesNotKnowGetPtx) {
  const RuntimeCompiler later(997);
  ASSERT_TRUE(later.is_there()) << later.description();
  EXPECT_NE(later.description().find("for compute_"), std::string::npos) << later.description();
  const TensorView x = view_of(f32, {10});
  FusionBuilder builder;
  builder.add(formula_op<formulas::Neg>(), {x}, {-1}, x, false);
  builder.add(formula_op<formulas::Exp>(), {x}, {0}, x);
  EXPECT_FALSE(later.compile(fused_source(plan_fusion(builder.fusion())->text), fused_headers()).empty());
  const RuntimeCompiler older(10);
  EXPECT_FALSE(older.is_there());
  EXPECT_NE(older.description().find("too new"), std::string::npos) << older.description();
}

TEST_F(FusedCompileTest, AnErrorShowsTheCompilersWords) {
  try {
    (void)compiler_.compile(fused_source("Kernel<Nonsense>"), fused_headers());
    FAIL() << "no error";
  } catch (const DeviceError& error) {
    EXPECT_NE(std::string(error.what()).find("Nonsense"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("TWINGRAD_NVRTC=off"), std::string::npos) << error.what();
  }
}

TEST(RuntimeCompilerTest, CanBeTurnedOffAndNamed) {
  {
    const tests::EnvironmentVariable named("TWINGRAD_NVRTC", "/nowhere/libnvrtc.so");
    EXPECT_THROW(RuntimeCompiler{hopper}, DeviceError);
  }
  const tests::EnvironmentVariable named("TWINGRAD_NVRTC", "off");
  const RuntimeCompiler off(hopper);
  EXPECT_FALSE(off.is_there());
  EXPECT_EQ(off.description(), "no NVRTC (TWINGRAD_NVRTC=off)");
}

}  // namespace
}  // namespace twingrad::cuda
