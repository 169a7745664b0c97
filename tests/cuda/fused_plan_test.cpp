// What the CUDA backend makes of a fusion: the kernel's type as text, and its arguments.
#include "cuda/fused_plan.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "tests/cuda/fusion_builder.h"

namespace twingrad::cuda {
namespace {

using tests::formula_op;
using tests::FusionBuilder;
using tests::view_of;

template <class T>
T read(const FusedPlan& plan, std::size_t position) {
  T value;
  std::memcpy(&value, plan.arguments.data() + position, sizeof value);
  return value;
}

TEST(FusedPlanTest, AChainReadsAsItsParts) {
  const Shape shape{6, 8};
  const TensorView x = view_of(f32, shape);
  FusionBuilder builder;
  builder.add(formula_op<formulas::Relu>(), {x}, {-1}, x, false);
  builder.add(formula_op<formulas::Add>(), {x, view_of(f32, shape, {0, 1})}, {0, -1}, x, false);
  builder.add(formula_op<formulas::Greater>(), {x, view_of(f32, shape, {0, 0})}, {1, -1}, view_of(boolean, shape));
  builder.add(formula_op<formulas::LeakyRelu>(), {x}, {1}, x, true, {0.25, 0, 0, 0});
  const std::optional<FusedPlan> plan = plan_fusion(builder.fusion());
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->text,
            "Kernel<Axis32, 4, 5, 1, 2,\n"
            "    Elementwise<16 /* relu */, float, -1, -1, Dense<0, float>>,\n"
            "    Elementwise<27 /* add */, float, -1, -1, Result<0>, Row<1, float, 0, 2>>,\n"
            "    Elementwise<38 /* greater */, float, -1, 3, Result<1>, Single<2, float>>,\n"
            "    Elementwise<17 /* leaky_relu */, float, 0, 4, Result<1>>>");
  EXPECT_EQ(plan->count, 48);
  EXPECT_EQ(plan->lanes, 4);
  EXPECT_TRUE(plan->exact);
  EXPECT_EQ(plan->alignment, (std::vector<std::size_t>{16, 16, 1, 4, 16}));
  // count, aligned, 5 addresses, 4 parameters, 2 axes
  ASSERT_EQ(plan->arguments.size(), 16U + 5 * 8 + 32 + 2 * 16);
  EXPECT_EQ(read<std::int64_t>(*plan, 0), 48);
  EXPECT_EQ(read<double>(*plan, 16 + 5 * 8), 0.25);
  const std::size_t axes = 16 + 5 * 8 + 32;
  EXPECT_EQ(read<Divisor32>(*plan, axes).divisor, 6U);
  EXPECT_EQ(read<std::int32_t>(*plan, axes + 12), 0);
  EXPECT_EQ(read<Divisor32>(*plan, axes + 16).divisor, 8U);
  EXPECT_EQ(read<std::int32_t>(*plan, axes + 28), 1);
}

TEST(FusedPlanTest, SizesAndParametersAreArgumentsNotText) {
  const auto text = [](const Shape& shape, double slope) {
    FusionBuilder builder;
    const TensorView x = view_of(f32, shape);
    builder.add(formula_op<formulas::LeakyRelu>(), {x}, {-1}, x, false, {slope, 0, 0, 0});
    builder.add(formula_op<formulas::Mul>(), {x, view_of(f32, shape, {1, 0})}, {0, -1}, x);
    return plan_fusion(builder.fusion())->text;
  };
  EXPECT_EQ(text({3, 8}, 0.5), text({700, 12}, 0.125));
  EXPECT_NE(text({3, 8}, 0.5), text({3, 9}, 0.5));  // four neighbours are in one row, or not
}

TEST(FusedPlanTest, OperandsByTheirStrides) {
  const auto operand = [](Dtype dtype, const Shape& shape, const Strides& strides) {
    FusionBuilder builder;
    builder.add(formula_op<formulas::Neg>(), {view_of(dtype, shape, strides)}, {-1}, view_of(dtype, shape));
    const std::string text = plan_fusion(builder.fusion())->text;
    const std::size_t start = text.rfind(", ") == std::string::npos ? 0 : text.find("-1, 1, ") + 7;
    return text.substr(start, text.size() - start - 2);
  };
  EXPECT_EQ(operand(f32, {4, 8}, {8, 1}), "Dense<0, float>");
  EXPECT_EQ(operand(f32, {4, 8}, {0, 0}), "Single<0, float>");
  EXPECT_EQ(operand(f32, {4, 8}, {0, 1}), "Row<0, float, 0, 2>");
  EXPECT_EQ(operand(f32, {4, 8}, {12, 1}), "Row<0, float, 0, 2>");
  EXPECT_EQ(operand(f32, {4, 8}, {13, 1}), "Strided<0, float, 0, 2>");  // a row begins between vectors
  EXPECT_EQ(operand(f32, {4, 9}, {12, 1}), "Strided<0, float, 0, 2>");
  EXPECT_EQ(operand(f32, {4, 8}, {1, 0}), "Repeated<0, float, 0, 2>");
  EXPECT_EQ(operand(f32, {4, 7}, {1, 0}), "Strided<0, float, 0, 2>");
  EXPECT_EQ(operand(f32, {4, 8}, {1, 4}), "Strided<0, float, 0, 2>");
  EXPECT_EQ(operand(f32, {32}, {2}), "Strided<0, float, 0, 1>");
  EXPECT_EQ(operand(f32, {32}, {-1}), "Strided<0, float, 0, 1>");
  EXPECT_EQ(operand(f16, {4, 8}, {0, 1}), "Row<0, float16, 0, 2>");
  EXPECT_EQ(operand(i64, {4, 6}, {0, 1}), "Row<0, std::int64_t, 0, 2>");
}

TEST(FusedPlanTest, VectorsAreSixteenBytesOfTheWidestElement) {
  const auto lanes = [](Dtype dtype, bool with_bool) {
    FusionBuilder builder;
    const TensorView x = view_of(dtype, {64});
    builder.add(formula_op<formulas::Less>(), {x, x}, {-1, -1}, view_of(boolean, {64}), with_bool);
    builder.add(formula_op<formulas::Where>(), {view_of(boolean, {64}), x, x}, {0, -1, -1}, x);
    return plan_fusion(builder.fusion())->lanes;
  };
  for (const bool with_bool : {false, true}) {
    EXPECT_EQ(lanes(f32, with_bool), 4);
    EXPECT_EQ(lanes(f64, with_bool), 2);
    EXPECT_EQ(lanes(bf16, with_bool), 8);
    EXPECT_EQ(lanes(u8, with_bool), 16);
  }
}

TEST(FusedPlanTest, WideIndicesWhereNeeded) {
  const auto is_wide = [](const Shape& shape, const Strides& strides) {
    FusionBuilder builder;
    builder.add(formula_op<formulas::Neg>(), {view_of(f32, shape, strides)}, {-1}, view_of(f32, shape));
    return plan_fusion(builder.fusion())->text.starts_with("Kernel<Axis64");
  };
  constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
  EXPECT_FALSE(is_wide({most}, {1}));
  EXPECT_TRUE(is_wide({most + 1}, {1}));
  EXPECT_FALSE(is_wide({2, 3}, {most - 3, 1}));
  EXPECT_TRUE(is_wide({2, 3}, {most, 1}));  // few elements, far apart
  EXPECT_TRUE(is_wide({2, 3}, {-most, 1}));
}

TEST(FusedPlanTest, UpdatesTakeTheirHyperparametersFromMemory) {
  const TensorView p = view_of(f32, {10});
  FusionBuilder builder;
  builder.add(formula_op<formulas::Accumulate>(), {p, p, view_of(f32, {2})}, {-1, -1, -1}, p);
  builder.add(formula_op<formulas::Sgd>(), {p, p, view_of(f32, {1})}, {-1, 0, -1}, p);
  const std::optional<FusedPlan> plan = plan_fusion(builder.fusion());
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->text,
            "Kernel<Axis32, 4, 7, 0, 0,\n"
            "    Update<1 /* accumulate_update */, float, 2, 3, Dense<0, float>, Dense<1, float>>,\n"
            "    Update<0 /* sgd_update */, float, 5, 6, Dense<4, float>, Result<0>>>");
  EXPECT_EQ(plan->alignment, (std::vector<std::size_t>{16, 16, 1, 16, 16, 1, 16}));
  EXPECT_EQ(most_merged(*plan), 16);
}

TEST(FusedPlanTest, MathFunctionsAreNotExact) {
  const TensorView x = view_of(f32, {10});
  FusionBuilder builder;
  builder.add(formula_op<formulas::Sqrt>(), {x}, {-1}, x, false);
  EXPECT_TRUE(plan_fusion(builder.fusion())->exact);
  builder.add(formula_op<formulas::Tanh>(), {x}, {0}, x);
  EXPECT_FALSE(plan_fusion(builder.fusion())->exact);
}

/// A gradient through relu of (rows, columns), with sums of it behind.
FusionBuilder masked(const Shape& shape, Dtype dtype = f32, bool stored = true) {
  FusionBuilder builder;
  const TensorView x = view_of(dtype, shape);
  builder.add(formula_op<formulas::ReluGrad>(), {x, x}, {-1, -1}, x, stored);
  return builder;
}

TEST(FusedPlanTest, SumsStandBehindTheChain) {
  FusionBuilder builder = masked({100, 10});
  builder.add_sum(Reduce::sum, 0, f32, {100, 10}, {0});
  builder.add_sum(Reduce::mean, 0, f32, {1000}, {0});
  const std::optional<FusedPlan> plan = plan_fusion(builder.fusion());
  ASSERT_TRUE(plan);
  const std::string number = std::to_string(formula_op<formulas::ReluGrad>().kernel);
  EXPECT_EQ(plan->text, "Summed<Kernel<Axis32, 1, 5, 0, 0,\n    Elementwise<" + number +
                            " /* relu_grad */, float, -1, 2, Dense<0, float>, Dense<1, float>>>,\n"
                            "    Sum<0, float, 3, false>,\n"
                            "    Sum<0, float, 4, true>>");
  EXPECT_EQ(plan->lanes, 1);
  EXPECT_EQ(plan->blocks, 1) << "a sum over all of it needs all of it in one block";
  EXPECT_EQ(plan->alignment, (std::vector<std::size_t>{4, 4, 4, 1, 1}));
  // The chain's own: count, aligned, 5 addresses, no parameters, no axes. Then rows, columns, strip.
  const std::size_t chain = 16 + 5 * 8 + 32 + 16;
  ASSERT_EQ(plan->arguments.size(), chain + 16 + 2 * 16);
  EXPECT_EQ(read<std::uint32_t>(*plan, chain), 100U);
  EXPECT_EQ(read<std::uint32_t>(*plan, chain + 4), 10U);
  EXPECT_EQ(read<std::uint32_t>(*plan, chain + 8), 10U);
  // Lanes of the order, whether it is over everything, where its values wait.
  EXPECT_EQ(read<std::uint32_t>(*plan, chain + 16), 512U / 16);
  EXPECT_EQ(read<std::uint32_t>(*plan, chain + 20), 0U);
  EXPECT_EQ(read<std::uint32_t>(*plan, chain + 24), 0U);
  EXPECT_EQ(read<std::uint32_t>(*plan, chain + 32), 32U);
  EXPECT_EQ(read<std::uint32_t>(*plan, chain + 36), 1U);
  EXPECT_EQ(read<std::uint32_t>(*plan, chain + 40), 4000U);
}

TEST(FusedPlanTest, ColumnsAreDividedAmongBlocks) {
  const auto blocks = [](const Shape& shape) {
    FusionBuilder builder = masked(shape);
    builder.add_sum(Reduce::sum, 0, f32, shape, {0});
    const std::optional<FusedPlan> plan = plan_fusion(builder.fusion());
    return plan ? plan->blocks : 0;
  };
  EXPECT_EQ(blocks({64, 10}), 1);
  EXPECT_EQ(blocks({64, 33}), 2);
  EXPECT_EQ(blocks({2, 4097}), 129);
  EXPECT_EQ(blocks({256, 128}), 16);  // 8 columns of 256 are 2048 elements
  EXPECT_EQ(blocks({257, 128}), 19);
  EXPECT_EQ(blocks({512, 3}), 1);
  EXPECT_EQ(blocks({512, 128}), 32);
  EXPECT_EQ(blocks({512, 129}), 0) << "more than 2^16 elements";
  EXPECT_EQ(blocks({513, 16}), 0) << "columns too long for one block";
  EXPECT_EQ(blocks({682, 3}), 1) << "which takes all columns there are";
}

TEST(FusedPlanTest, OtherSumsAreLeftToTheirKernels) {
  const auto takes = [](FusionBuilder builder) { return plan_fusion(builder.fusion()).has_value(); };
  const auto with = [](FusionBuilder builder, Reduce kind, Dtype dtype, const Shape& shape, const Axes& axes) {
    builder.add_sum(kind, 0, dtype, shape, axes);
    return builder;
  };
  const Shape shape{8, 16};
  EXPECT_TRUE(takes(with(masked(shape), Reduce::sum, f32, shape, {0})));
  EXPECT_TRUE(takes(with(masked(shape), Reduce::mean, f32, shape, {0, 1})));
  EXPECT_TRUE(takes(with(masked(shape, f32, false), Reduce::mean, f32, {4, 2, 16}, {0, 1})));
  EXPECT_FALSE(takes(with(masked(shape), Reduce::sum, f32, shape, {1}))) << "over rows";
  EXPECT_FALSE(takes(with(masked(shape), Reduce::sum, f32, {4, 2, 16}, {1}))) << "over a middle axis";
  EXPECT_FALSE(takes(with(masked(shape), Reduce::amax, f32, shape, {0})));
  EXPECT_FALSE(takes(with(masked(shape), Reduce::prod, f32, shape, {0, 1})));
  EXPECT_FALSE(takes(with(masked({1, 16}), Reduce::sum, f32, {1, 16}, {0}))) << "nothing to add";
  EXPECT_TRUE(takes(with(masked({2048}, f64), Reduce::sum, f64, {2048}, {0})));
  EXPECT_FALSE(takes(with(masked({2049}), Reduce::sum, f32, {2049}, {0}))) << "too much for one block";
  EXPECT_FALSE(takes(with(with(masked({2048}, f64), Reduce::sum, f64, {2048}, {0}), Reduce::mean, f64, {2048}, {0})))
      << "no room";
  EXPECT_FALSE(takes(with(with(masked({32, 64}), Reduce::sum, f32, {32, 64}, {0}), Reduce::sum, f32, {16, 128}, {0})))
      << "columns of two matrices";
  FusionBuilder integers;
  integers.add(formula_op<formulas::Neg>(), {view_of(i32, shape)}, {-1}, view_of(i32, shape));
  EXPECT_FALSE(takes(with(std::move(integers), Reduce::sum, i32, shape, {0})));
  FusionBuilder after = with(masked(shape), Reduce::sum, f32, shape, {0});
  after.add(formula_op<formulas::Neg>(), {view_of(f32, shape)}, {0}, view_of(f32, shape));
  EXPECT_FALSE(takes(std::move(after))) << "a chain that goes on";
}

TEST(FusedPlanTest, RefusesWhatIsNotForIt) {
  const TensorView x = view_of(f32, {4, 4});
  Op product;
  product.family = Family::matmul;
  FusionBuilder other;
  other.add(product, {x, x}, {-1, -1}, x);
  EXPECT_FALSE(plan_fusion(other.fusion()));

  // More operands than one kernel's arguments have room for.
  FusionBuilder builder;
  int last = builder.add(formula_op<formulas::Neg>(), {x}, {-1}, x, false);
  int parts = 1;
  while (plan_fusion(builder.fusion()) && parts < 1000) {
    last = builder.add(formula_op<formulas::Add>(), {x, view_of(f32, {4, 4}, {1, 4})}, {last, -1}, x, false);
    ++parts;
  }
  EXPECT_GT(parts, 64);  // each an address and two axes: 40 bytes
  EXPECT_LT(parts, 110);
}

}  // namespace
}  // namespace twingrad::cuda
