// The CPU's own float32 functions, as the dense loops run them, against the C library's float64 functions: a thinned
// walk through all floats, every float around the places where a function changes its way of computing, and the numbers
// that are special to IEEE arithmetic.
#include <gtest/gtest.h>
#include <twingrad/formulas.h>
#include <twingrad/op.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <tuple>
#include <vector>

#include "cpu/elementwise_loops.h"
#include "cpu/families.h"

namespace twingrad {
namespace {

using namespace formulas;

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

template <class Formula>
constexpr int kernel_of = index_in<Formula, Formulas>::value;

template <class Formula>
std::vector<float> run(const std::vector<float>& x, const std::vector<float>& y = {}, Parameters parameters = {}) {
  std::vector<float> result(x.size());
  cpu::row_of(kernel_of<Formula>)
      .loop(f32)(static_cast<std::int64_t>(x.size()), result.data(), {x.data(), y.data()}, 0, parameters);
  return result;
}
template <class Formula>
float run_one(float x) {
  return run<Formula>({x}).front();
}

/// The distance to `exact` in units in the last place of float32 there; half a unit for the float next to it.
double ulps(float got, double exact) {
  if (std::isnan(exact) || std::isnan(got)) {
    return std::isnan(exact) && std::isnan(got) ? 0 : std::numeric_limits<double>::infinity();
  }
  if (static_cast<float>(exact) == got) {
    return std::signbit(exact) == std::signbit(got) ? 0.5 : 1e9;
  }
  int exponent = 0;
  std::frexp(exact, &exponent);
  const double unit = std::ldexp(1.0, std::max(exponent, -125) - 24);
  const double finite = std::isinf(got) ? std::copysign(0x1p128, got) : static_cast<double>(got);
  return std::abs(finite - exact) / unit;
}

/// Every 9973rd float, and 1000 neighbours on both sides of each of `around`, with both signs.
std::vector<float> arguments(const std::vector<float>& around) {
  std::vector<float> x;
  for (std::uint64_t bits = 0; bits <= 0xffffffffU; bits += 9973) {
    x.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
  }
  for (const float centre : around) {
    const auto bits = static_cast<std::int64_t>(std::bit_cast<std::uint32_t>(centre));
    for (std::int64_t at = std::max<std::int64_t>(0, bits - 1000); at <= bits + 1000; ++at) {
      const float size = std::bit_cast<float>(static_cast<std::uint32_t>(at));
      x.push_back(size);
      x.push_back(-size);
    }
  }
  return x;
}

FunctionUlps declared() {
  Op op;
  op.family = Family::elementwise;
  KernelCall call;
  call.op = &op;
  call.output.dtype = f32;
  return cpu::error_model(call).ulps;
}

template <class Formula>
void expect_accurate(double bound, const std::vector<float>& around) {
  const std::vector<float> x = arguments(around);
  const std::vector<float> y = run<Formula>(x);
  double worst = 0;
  float at = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double error = ulps(y[i], Formula::apply(static_cast<double>(x[i]), Parameters{}));
    if (error > worst) {
      worst = error;
      at = x[i];
    }
  }
  EXPECT_LE(worst, bound) << Formula::name << " of " << at << " is " << run_one<Formula>(at);
}

TEST(CpuLaneMath, ErrorsAreAtMostThoseDeclared) {
  const FunctionUlps bound = declared();
  // Zero, the smallest normal number, where results overflow, underflow, are rounded to 1, and where ways part.
  expect_accurate<Exp>(bound.exp, {0, 0x1p-126F, 0.34657359F, 87.336548F, 88.722839F, 103.97208F, infinity});
  expect_accurate<Expm1>(bound.expm1, {0, 0x1p-126F, 0x1p-25F, 0.34657359F, 17.32868F, 20, 88.722839F, infinity});
  expect_accurate<Log>(bound.log, {0, 0x1p-126F, 0.70710678F, 1, 1.41421356F, infinity});
  expect_accurate<Log1p>(bound.log1p, {0, 0x1p-126F, 0x1p-25F, 0.29289322F, 0.41421356F, 1, 0x1p24F, infinity});
  expect_accurate<Tanh>(bound.tanh, {0, 0x1p-126F, 0.55F, 9.0109129F, 10, infinity});
  expect_accurate<Erf>(bound.erf, {0, 0x1p-126F, 1, 3.9192059F, 4, infinity});
  const std::vector<float> turns{0, 0x1p-126F, 0.78539816F, 1.5707963F, 3.1415927F, 6.2831853F, 355, 0x1p20F, infinity};
  expect_accurate<Sin>(bound.sin, turns);
  expect_accurate<Cos>(bound.cos, turns);
}

TEST(CpuLaneMath, PowersAreAccurate) {
  std::mt19937_64 generator(1);
  std::uniform_real_distribution<float> exponent(-30, 30);
  std::uniform_real_distribution<float> logarithm(-148, 127);
  std::vector<float> x;
  std::vector<float> y;
  for (int i = 0; i < 200000; ++i) {
    x.push_back(std::exp2(logarithm(generator)) * (i % 5 == 0 ? -1.0F : 1.0F));
    // Every second time so that the result is in range; whole numbers now and then.
    const float any = exponent(generator);
    const float inside = i % 2 == 0 ? any : 4 * any / std::log2(std::abs(x.back()));
    y.push_back(i % 3 == 0 ? std::round(inside) : inside);
  }
  const std::vector<float> z = run<Pow>(x, y);
  const double bound = declared().pow;
  for (std::size_t i = 0; i < x.size(); ++i) {
    ASSERT_LE(ulps(z[i], std::pow(static_cast<double>(x[i]), static_cast<double>(y[i]))), bound)
        << x[i] << " to the power of " << y[i] << " is " << z[i];
  }
}

TEST(CpuLaneMath, SpecialPowersAreThoseOfC) {
  const std::vector<float> numbers{0.0F,         -0.0F,       1.0F,         -1.0F,     2.0F,    -2.0F,    0.5F,
                                   -0.5F,        3.0F,        -3.0F,        1.5F,      -1.5F,   infinity, -infinity,
                                   not_a_number, 0x1p-149F,   1e38F,        -1e38F,    0x1p23F, 0x1p24F,  -0x1p24F,
                                   8388609.0F,   16777215.0F, -16777215.0F, 4194304.5F};
  std::vector<float> x;
  std::vector<float> y;
  for (const float base : numbers) {
    for (const float exponent : numbers) {
      x.push_back(base);
      y.push_back(exponent);
    }
  }
  const std::vector<float> z = run<Pow>(x, y);
  for (std::size_t i = 0; i < x.size(); ++i) {
    EXPECT_LE(ulps(z[i], std::pow(static_cast<double>(x[i]), static_cast<double>(y[i]))), declared().pow)
        << x[i] << " to the power of " << y[i] << " is " << z[i];
  }
}

template <class Formula>
void expect_exact(float x, float expected) {
  const float got = run_one<Formula>(x);
  EXPECT_TRUE(std::isnan(expected) ? std::isnan(got)
                                   : std::bit_cast<std::uint32_t>(got) == std::bit_cast<std::uint32_t>(expected))
      << Formula::name << " of " << x << " is " << got << ", not " << expected;
}

TEST(CpuLaneMath, SpecialNumbersGiveWhatIeeeSays) {
  expect_exact<Exp>(0.0F, 1.0F);
  expect_exact<Exp>(-infinity, 0.0F);
  expect_exact<Exp>(infinity, infinity);
  expect_exact<Expm1>(-0.0F, -0.0F);
  expect_exact<Expm1>(-infinity, -1.0F);
  expect_exact<Expm1>(infinity, infinity);
  expect_exact<Log>(1.0F, 0.0F);
  expect_exact<Log>(0.0F, -infinity);
  expect_exact<Log>(-0.0F, -infinity);
  expect_exact<Log>(-1.0F, not_a_number);
  expect_exact<Log>(infinity, infinity);
  expect_exact<Log1p>(-0.0F, -0.0F);
  expect_exact<Log1p>(-1.0F, -infinity);
  expect_exact<Log1p>(-2.0F, not_a_number);
  expect_exact<Log1p>(infinity, infinity);
  expect_exact<Tanh>(-0.0F, -0.0F);
  expect_exact<Tanh>(-infinity, -1.0F);
  expect_exact<Erf>(-0.0F, -0.0F);
  expect_exact<Erf>(infinity, 1.0F);
  expect_exact<Sin>(-0.0F, -0.0F);
  expect_exact<Sin>(infinity, not_a_number);
  expect_exact<Cos>(-0.0F, 1.0F);
  expect_exact<Cos>(-infinity, not_a_number);
  expect_exact<Sigmoid>(-infinity, 0.0F);
  expect_exact<Sigmoid>(infinity, 1.0F);
  expect_exact<LogSigmoid>(-infinity, -infinity);
  expect_exact<Softplus>(infinity, infinity);
  for (const float tiny : {0x1p-149F, -0x1p-149F, 0x1.8p-130F}) {
    expect_exact<Expm1>(tiny, tiny);
    expect_exact<Log1p>(tiny, tiny);
    expect_exact<Tanh>(tiny, tiny);
    expect_exact<Sin>(tiny, tiny);
  }
}

template <class Formula>
void expect_nan() {
  expect_exact<Formula>(not_a_number, not_a_number);
  expect_exact<Formula>(-not_a_number, not_a_number);
}
TEST(CpuLaneMath, NanStaysNan) {
  [&]<class... Formula>(std::tuple<Formula...>*) {
    (expect_nan<Formula>(), ...);
  }(static_cast<std::tuple<Exp, Expm1, Log, Log1p, Sin, Cos, Tanh, Sigmoid, LogSigmoid, Elu, Gelu, GeluTanh, Silu,
                           Softplus, Erf>*>(nullptr));
}

TEST(CpuLaneMath, BoundedFunctionsStayInTheirBounds) {
  const std::vector<float> x = arguments({1, 4, 9.0109129F, 17.32868F, 88.0F, 104.0F});
  const auto expect_between = [&](const std::vector<float>& y, float low, float high) {
    for (std::size_t i = 0; i < x.size(); ++i) {
      ASSERT_TRUE(std::isnan(x[i]) || (y[i] >= low && y[i] <= high)) << x[i] << " gives " << y[i];
    }
  };
  expect_between(run<Tanh>(x), -1, 1);
  expect_between(run<Erf>(x), -1, 1);
  expect_between(run<Sigmoid>(x), 0, 1);
  expect_between(run<Exp>(x), 0, infinity);
}

/// A float's result does not depend on how many lie beside it, nor on whether they are large.
TEST(CpuLaneMath, ResultsDoNotDependOnThePlace) {
  std::vector<float> x;
  for (int i = 0; i < 67; ++i) {
    x.push_back(0.37F * static_cast<float>(i - 30));
  }
  const auto check = [&]<class Formula>(Formula) {
    std::vector<float> beside = x;
    beside.push_back(1e30F);
    const std::vector<float> all = run<Formula>(beside);
    for (std::size_t i = 0; i < x.size(); ++i) {
      expect_exact<Formula>(x[i], all[i]);
    }
  };
  check(Exp{});
  check(Log1p{});
  check(Tanh{});
  check(Gelu{});
  check(Sin{});
  check(Cos{});
}

}  // namespace
}  // namespace twingrad
