// The cross-check's number types: Dual against known derivatives, Tracked against errors that are measured.
#include <gtest/gtest.h>
#include <twingrad/check/numbers.h>
#include <twingrad/check/reference_sum.h>
#include <twingrad/formulas.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace twingrad::check {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

struct Known {
  const char* name;
  Dual (*apply)(const Dual&);
  double (*derivative)(double);
};

const Known known[] = {
    {"exp", [](const Dual& x) { return exp(x); }, [](double x) { return std::exp(x); }},
    {"expm1", [](const Dual& x) { return expm1(x); }, [](double x) { return std::exp(x); }},
    {"log", [](const Dual& x) { return log(x); }, [](double x) { return 1 / x; }},
    {"log1p", [](const Dual& x) { return log1p(x); }, [](double x) { return 1 / (1 + x); }},
    {"sqrt", [](const Dual& x) { return sqrt(x); }, [](double x) { return 0.5 / std::sqrt(x); }},
    {"sin", [](const Dual& x) { return sin(x); }, [](double x) { return std::cos(x); }},
    {"cos", [](const Dual& x) { return cos(x); }, [](double x) { return -std::sin(x); }},
    {"tanh", [](const Dual& x) { return tanh(x); }, [](double x) { return 1 / std::pow(std::cosh(x), 2); }},
    {"erf", [](const Dual& x) { return erf(x); },
     [](double x) { return 2 / std::sqrt(std::acos(-1.0)) * std::exp(-x * x); }},
    {"pow", [](const Dual& x) { return pow(x, Dual(2.5)); }, [](double x) { return 2.5 * std::pow(x, 1.5); }},
    {"quotient", [](const Dual& x) { return Dual(3) / x; }, [](double x) { return -3 / (x * x); }},
    {"product", [](const Dual& x) { return x * x * x; }, [](double x) { return 3 * x * x; }},
};

TEST(DualTest, KnowsDerivatives) {
  for (const Known& function : known) {
    for (const double x : {0.3, 0.9, 1.7}) {
      const Dual y = function.apply(Dual(x, 1));
      const double expected = function.derivative(x);
      EXPECT_NEAR(static_cast<double>(y.slope), expected, 8 * 0x1p-53 * std::abs(expected)) << function.name << x;
    }
  }
}

TEST(DualTest, ADirectionThatDoesNotMoveAddsNothingAtAnInfiniteSlope) {
  EXPECT_EQ(static_cast<double>(sqrt(Dual(0.0, 0.0)).slope), 0);
}

/// Error and bound of a formula in float32 at x.
template <class Formula>
void expect_predicted(double x, const formulas::Parameters& parameters = {}) {
  const auto single = static_cast<float>(x);
  const RoundingScope scope(24, ErrorModel{.ulps = {.tanh = 2}});
  Tracked input;
  input.value = static_cast<double>(single);
  const Tracked expected = Formula::template apply<Tracked>(input, parameters);
  const double error =
      std::abs(static_cast<double>(Formula::template apply<float>(single, parameters)) - expected.value);
  EXPECT_LE(error, expected.worst) << Formula::name << " at " << x;
  EXPECT_FALSE(expected.overflow);
  // A prediction that is far too large would pass everything.
  EXPECT_LE(expected.worst, 64 * 0x1p-24 * (std::abs(expected.value) + 1)) << Formula::name << " at " << x;
}

TEST(TrackedTest, BoundsWhatFloat32Does) {
  std::mt19937 random(3);
  std::uniform_real_distribution<double> draw(-4, 4);
  for (int i = 0; i < 2000; ++i) {
    const double x = draw(random);
    expect_predicted<formulas::Sigmoid>(x);
    expect_predicted<formulas::Gelu>(x);
    expect_predicted<formulas::GeluTanh>(x);
    expect_predicted<formulas::Silu>(x);
    expect_predicted<formulas::Softplus>(x);
    expect_predicted<formulas::LogSigmoid>(x);
    expect_predicted<formulas::Elu>(x, {{0.8, 0, 0, 0}});
    expect_predicted<formulas::LeakyRelu>(x, {{0.1, 0, 0, 0}});
  }
}

TEST(TrackedTest, SigmaOfASumIsWhatItsErrorsMeasure) {
  std::mt19937 random(5);
  std::normal_distribution<float> draw;
  constexpr int runs = 400;
  constexpr int terms = 300;
  double squares = 0;
  double variances = 0;
  for (int run = 0; run < runs; ++run) {
    std::vector<float> x(terms);
    float sum = 0;
    for (float& value : x) {
      value = draw(random);
      sum += value;
    }
    const RoundingScope scope(24, ErrorModel{});
    const Tracked expected = ordered_sum<Tracked>(
        terms, [&](std::int64_t i) { return Tracked(x[static_cast<std::size_t>(i)]); }, SumOrder{});
    squares += std::pow(static_cast<double>(sum) - expected.value, 2);
    variances += expected.variance;
  }
  // A rounding is uniform in half a unit: its deviation lies between a third and once what is predicted for it.
  const double ratio = std::sqrt(squares / variances);
  EXPECT_GT(ratio, 1.0 / 3);
  EXPECT_LT(ratio, 1.0);
}

TEST(TrackedTest, WholeNumbersThatFitAreExact) {
  const RoundingScope scope(24, ErrorModel{});
  EXPECT_EQ((Tracked(4095) * Tracked(4095) + Tracked(7)).worst, 0);
  EXPECT_GT((Tracked(8191) * Tracked(8191)).worst, 0);  // 26 bits
  EXPECT_GT((Tracked(1) / Tracked(3)).worst, 0);
  EXPECT_EQ((Tracked(1) / Tracked(4)).worst, 0);
}

TEST(TrackedTest, ConstantsAreWhatTheKernelHas) {
  const RoundingScope scope(24, ErrorModel{});
  EXPECT_EQ(Tracked(0.1).value, static_cast<double>(0.1F));
}

TEST(TrackedTest, LeavesTheRangeAsFloat32Does) {
  const RoundingScope scope(24, ErrorModel{});
  const Tracked large(3e38);
  EXPECT_EQ((large + large).value, infinity);
  EXPECT_FALSE((large + large).overflow);
  EXPECT_TRUE(std::isnan((large + large - (large + large)).value));
  // One rounding decides: nothing is predicted.
  Tracked edge;
  edge.value = static_cast<double>(std::numeric_limits<float>::max());
  edge.worst = 1e32;
  EXPECT_TRUE((edge + Tracked(0)).overflow);
}

TEST(TrackedTest, ABranchThatHangsOnARoundingIsNoticed) {
  const RoundingScope scope(24, ErrorModel{});
  const Tracked x = Tracked(1) / Tracked(3);
  EXPECT_FALSE(x > Tracked(1));
  EXPECT_FALSE(Rounding::current().ambiguous);
  static_cast<void>(x > Tracked(1.0 / 3));
  EXPECT_TRUE(Rounding::current().ambiguous);
}

TEST(TrackedTest, ADivisorThatMayBeZeroPredictsNothing) {
  const RoundingScope scope(24, ErrorModel{});
  const Tracked difference = Tracked(1) / Tracked(3) - Tracked(1.0 / 3);
  EXPECT_TRUE((Tracked(1) / difference).overflow);
}

}  // namespace
}  // namespace twingrad::check
