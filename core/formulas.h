// Every elementwise formula, written once for both compilers. A backend decides how to loop, this file decides what
// one element is. An op's row (ops/elementwise.cpp) gives it a gradient.
//
// A formula is a struct with a name, an arity, the element types it takes, and apply(). For the 16-bit floats the
// backend converts to float before and rounds after. Its parameters come from Attributes::reals.
#pragma once

#include <twingrad/annotations.h>
#include <twingrad/dtype.h>

#include <cmath>
#include <cstddef>
#include <string_view>
#include <tuple>
#include <type_traits>

namespace twingrad::formulas {

// Called without std::, so that the number types of the cross-check (check/numbers.h) bring functions of their own.
using std::cos;
using std::erf;
using std::exp;
using std::expm1;
using std::log;
using std::log1p;
using std::pow;
using std::sin;
using std::sqrt;
using std::tanh;

/// Element types a formula takes (of its last input) and gives.
enum class Takes : std::uint8_t { floats, numbers, bools, any };
enum class Gives : std::uint8_t { same, boolean };

struct Parameters {
  double p[4];
};

/// -x
struct Neg {
  static constexpr std::string_view name = "neg";
  static constexpr int arity = 1;
  static constexpr Takes takes = Takes::numbers;
  static constexpr Gives gives = Gives::same;
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters&) {
    return static_cast<T>(-x);
  }
};

/// |x|
struct Abs {
  static constexpr std::string_view name = "abs";
  static constexpr int arity = 1;
  static constexpr Takes takes = Takes::numbers;
  static constexpr Gives gives = Gives::same;
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters&) {
    return x < T(0) ? static_cast<T>(-x) : (x == T(0) ? T(0) : x);
  }
};

/// -1, 0 or 1; NaN stays NaN
struct Sign {
  static constexpr std::string_view name = "sign";
  static constexpr int arity = 1;
  static constexpr Takes takes = Takes::numbers;
  static constexpr Gives gives = Gives::same;
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters&) {
    return x > T(0) ? T(1) : (x < T(0) ? static_cast<T>(-T(1)) : (x == T(0) ? T(0) : x));
  }
};

/// e^x
struct Exp {
  static constexpr std::string_view name = "exp";
  static constexpr int arity = 1;
  static constexpr Takes takes = Takes::floats;
  static constexpr Gives gives = Gives::same;
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters&) {
    return exp(x);
  }
};

/// e^x - 1, exact near 0
struct Expm1 {
  static constexpr std::string_view name = "expm1";
  static constexpr int arity = 1;
  static constexpr Takes takes = Takes::floats;
  static constexpr Gives gives = Gives::same;
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters&) {
    return expm1(x);
  }
};

/// natural logarithm
struct Log {
  static constexpr std::string_view name = "log";
  static constexpr int arity = 1;
  static constexpr Takes takes = Takes::floats;
  static constexpr Gives gives = Gives::same;
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters&) {
    return log(x);
  }
};

/// log(1 + x), exact near 0
struct Log1p {
  static constexpr std::string_view name = "log1p";
  static constexpr int arity = 1;
  static constexpr Takes takes = Takes::floats;
  static constexpr Gives gives = Gives::same;
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters&) {
    return log1p(x);
  }
};

/// square root
struct Sqrt {
  static constexpr std::string_view name = "sqrt";
  static constexpr int arity = 1;
  static constexpr Takes takes = Takes::floats;
  static constexpr Gives gives = Gives::same;
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters&) {
    return sqrt(x);
  }
};

/// 1 / sqrt(x)
struct Rsqrt {
  static constexpr std::string_view name = "rsqrt";
  static constexpr int arity = 1;
  static constexpr Takes takes = Takes::floats;
  static constexpr Gives gives = Gives::same;
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters&) {
    return T(1) / sqrt(x);
  }
};

/// x^2
struct Square {
  static constexpr std::string_view name = "square";
  static constexpr int arity = 1;
  static constexpr Takes takes = Takes::numbers;
  static constexpr Gives gives = Gives::same;
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters&) {
    return static_cast<T>(x * x);
  }
};

/// 1 / x
struct Reciprocal {
  static constexpr std::string_view name = "reciprocal";
  static constexpr int arity = 1;
  static constexpr Takes takes = Takes::floats;
  static constexpr Gives gives = Gives::same;
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters&) {
    return T(1) / x;
  }
};

/// sine of radians
struct Sin {
  static constexpr std::string_view name = "sin";
  static constexpr int arity = 1;
  static constexpr Takes takes = Takes::floats;
  static constexpr Gives gives = Gives::same;
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters&) {
    return sin(x);
  }
};

/// cosine of radians
struct Cos {
  static constexpr std::string_view name = "cos";
  static constexpr int arity = 1;
  static constexpr Takes takes = Takes::floats;
  static constexpr Gives gives = Gives::same;
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters&) {
    return cos(x);
  }
};

/// hyperbolic tangent
struct Tanh {
  static constexpr std::string_view name = "tanh";
  static constexpr int arity = 1;
  static constexpr Takes takes = Takes::floats;
  static constexpr Gives gives = Gives::same;
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters&) {
    return tanh(x);
  }
};

/// 1 / (1 + e^-x), without overflow
struct Sigmoid {
  static constexpr std::string_view name = "sigmoid";
  static constexpr int arity = 1;
  static constexpr Takes takes = Takes::floats;
  static constexpr Gives gives = Gives::same;
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters&) {
    const T e = exp(x < T(0) ? x : -x);
    return (x < T(0) ? e : T(1)) / (T(1) + e);
  }
};

/// log(sigmoid(x)), without overflow
struct LogSigmoid {
  static constexpr std::string_view name = "log_sigmoid";
  static constexpr int arity = 1;
  static constexpr Takes takes = Takes::floats;
  static constexpr Gives gives = Gives::same;
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters&) {
    return (x < T(0) ? x : T(0)) - log1p(exp(x < T(0) ? x : -x));
  }
};

/// max(x, 0); NaN stays NaN
struct Relu {
  static constexpr std::string_view name = "relu";
  static constexpr int arity = 1;
  static constexpr Takes takes = Takes::numbers;
  static constexpr Gives gives = Gives::same;
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters&) {
    return x <= T(0) ? T(0) : x;
  }
};

/// x, or x * slope below 0; p[0] = slope
struct LeakyRelu {
  static constexpr std::string_view name = "leaky_relu";
  static constexpr int arity = 1;
  static constexpr Takes takes = Takes::floats;
  static constexpr Gives gives = Gives::same;
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters& a) {
    return x > T(0) ? x : x * static_cast<T>(a.p[0]);
  }
};

/// x, or alpha * (e^x - 1) below 0; p[0] = alpha
struct Elu {
  static constexpr std::string_view name = "elu";
  static constexpr int arity = 1;
  static constexpr Takes takes = Takes::floats;
  static constexpr Gives gives = Gives::same;
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters& a) {
    return x > T(0) ? x : static_cast<T>(a.p[0]) * expm1(x);
  }
};

/// x * Phi(x) (Hendrycks and Gimpel, 2016)
struct Gelu {
  static constexpr std::string_view name = "gelu";
  static constexpr int arity = 1;
  static constexpr Takes takes = Takes::floats;
  static constexpr Gives gives = Gives::same;
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters&) {
    return T(0.5) * x * (T(1) + erf(x * T(0.70710678118654752440)));
  }
};

/// gelu's tanh approximation
struct GeluTanh {
  static constexpr std::string_view name = "gelu_tanh";
  static constexpr int arity = 1;
  static constexpr Takes takes = Takes::floats;
  static constexpr Gives gives = Gives::same;
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters&) {
    const T u = T(0.79788456080286535588) * (x + T(0.044715) * x * x * x);
    return T(0.5) * x * (T(1) + tanh(u));
  }
};

/// x * sigmoid(x)
struct Silu {
  static constexpr std::string_view name = "silu";
  static constexpr int arity = 1;
  static constexpr Takes takes = Takes::floats;
  static constexpr Gives gives = Gives::same;
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters& a) {
    return x * Sigmoid::apply(x, a);
  }
};

/// log(1 + e^x), without overflow
struct Softplus {
  static constexpr std::string_view name = "softplus";
  static constexpr int arity = 1;
  static constexpr Takes takes = Takes::floats;
  static constexpr Gives gives = Gives::same;
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters&) {
    return (x > T(0) ? x : T(0)) + log1p(exp(x > T(0) ? -x : x));
  }
};

/// error function
struct Erf {
  static constexpr std::string_view name = "erf";
  static constexpr int arity = 1;
  static constexpr Takes takes = Takes::floats;
  static constexpr Gives gives = Gives::same;
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters&) {
    return erf(x);
  }
};

/// min(max(x, p[0]), p[1]); NaN stays NaN
struct Clamp {
  static constexpr std::string_view name = "clamp";
  static constexpr int arity = 1;
  static constexpr Takes takes = Takes::floats;
  static constexpr Gives gives = Gives::same;
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters& a) {
    const T low = static_cast<T>(a.p[0]);
    const T high = static_cast<T>(a.p[1]);
    return x < low ? low : (x > high ? high : x);
  }
};

/// x^p[0]
struct PowScalar {
  static constexpr std::string_view name = "pow_scalar";
  static constexpr int arity = 1;
  static constexpr Takes takes = Takes::floats;
  static constexpr Gives gives = Gives::same;
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters& a) {
    return pow(x, static_cast<T>(a.p[0]));
  }
};

/// not x
struct LogicalNot {
  static constexpr std::string_view name = "logical_not";
  static constexpr int arity = 1;
  static constexpr Takes takes = Takes::bools;
  static constexpr Gives gives = Gives::same;
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters&) {
    return !x;
  }
};

/// x + y
struct Add {
  static constexpr std::string_view name = "add";
  static constexpr int arity = 2;
  static constexpr Takes takes = Takes::numbers;
  static constexpr Gives gives = Gives::same;
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, T y, const Parameters&) {
    return static_cast<T>(x + y);
  }
};

/// x - y
struct Sub {
  static constexpr std::string_view name = "sub";
  static constexpr int arity = 2;
  static constexpr Takes takes = Takes::numbers;
  static constexpr Gives gives = Gives::same;
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, T y, const Parameters&) {
    return static_cast<T>(x - y);
  }
};

/// x * y
struct Mul {
  static constexpr std::string_view name = "mul";
  static constexpr int arity = 2;
  static constexpr Takes takes = Takes::numbers;
  static constexpr Gives gives = Gives::same;
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, T y, const Parameters&) {
    return static_cast<T>(x * y);
  }
};

/// x / y
struct Div {
  static constexpr std::string_view name = "div";
  static constexpr int arity = 2;
  static constexpr Takes takes = Takes::floats;
  static constexpr Gives gives = Gives::same;
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, T y, const Parameters&) {
    return x / y;
  }
};

/// x^y
struct Pow {
  static constexpr std::string_view name = "pow";
  static constexpr int arity = 2;
  static constexpr Takes takes = Takes::floats;
  static constexpr Gives gives = Gives::same;
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, T y, const Parameters&) {
    return pow(x, y);
  }
};

/// the larger one; NaN wins
struct Maximum {
  static constexpr std::string_view name = "maximum";
  static constexpr int arity = 2;
  static constexpr Takes takes = Takes::numbers;
  static constexpr Gives gives = Gives::same;
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, T y, const Parameters&) {
    return x != x ? x : (y != y ? y : (x > y ? x : y));
  }
};

/// the smaller one; NaN wins
struct Minimum {
  static constexpr std::string_view name = "minimum";
  static constexpr int arity = 2;
  static constexpr Takes takes = Takes::numbers;
  static constexpr Gives gives = Gives::same;
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, T y, const Parameters&) {
    return x != x ? x : (y != y ? y : (x < y ? x : y));
  }
};

/// x == y
struct Equal {
  static constexpr std::string_view name = "equal";
  static constexpr int arity = 2;
  static constexpr Takes takes = Takes::any;
  static constexpr Gives gives = Gives::boolean;
  template <class T>
  TWINGRAD_HOST_DEVICE static bool apply(T x, T y, const Parameters&) {
    return x == y;
  }
};

/// x != y
struct NotEqual {
  static constexpr std::string_view name = "not_equal";
  static constexpr int arity = 2;
  static constexpr Takes takes = Takes::any;
  static constexpr Gives gives = Gives::boolean;
  template <class T>
  TWINGRAD_HOST_DEVICE static bool apply(T x, T y, const Parameters&) {
    return x != y;
  }
};

/// x < y
struct Less {
  static constexpr std::string_view name = "less";
  static constexpr int arity = 2;
  static constexpr Takes takes = Takes::numbers;
  static constexpr Gives gives = Gives::boolean;
  template <class T>
  TWINGRAD_HOST_DEVICE static bool apply(T x, T y, const Parameters&) {
    return x < y;
  }
};

/// x <= y
struct LessEqual {
  static constexpr std::string_view name = "less_equal";
  static constexpr int arity = 2;
  static constexpr Takes takes = Takes::numbers;
  static constexpr Gives gives = Gives::boolean;
  template <class T>
  TWINGRAD_HOST_DEVICE static bool apply(T x, T y, const Parameters&) {
    return x <= y;
  }
};

/// x > y
struct Greater {
  static constexpr std::string_view name = "greater";
  static constexpr int arity = 2;
  static constexpr Takes takes = Takes::numbers;
  static constexpr Gives gives = Gives::boolean;
  template <class T>
  TWINGRAD_HOST_DEVICE static bool apply(T x, T y, const Parameters&) {
    return x > y;
  }
};

/// x >= y
struct GreaterEqual {
  static constexpr std::string_view name = "greater_equal";
  static constexpr int arity = 2;
  static constexpr Takes takes = Takes::numbers;
  static constexpr Gives gives = Gives::boolean;
  template <class T>
  TWINGRAD_HOST_DEVICE static bool apply(T x, T y, const Parameters&) {
    return x >= y;
  }
};

/// x and y
struct LogicalAnd {
  static constexpr std::string_view name = "logical_and";
  static constexpr int arity = 2;
  static constexpr Takes takes = Takes::bools;
  static constexpr Gives gives = Gives::same;
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, T y, const Parameters&) {
    return x && y;
  }
};

/// x or y
struct LogicalOr {
  static constexpr std::string_view name = "logical_or";
  static constexpr int arity = 2;
  static constexpr Takes takes = Takes::bools;
  static constexpr Gives gives = Gives::same;
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, T y, const Parameters&) {
    return x || y;
  }
};

/// y where x > 0 or NaN, else 0: relu's gradient in one pass
struct ReluGrad {
  static constexpr std::string_view name = "relu_grad";
  static constexpr int arity = 2;
  static constexpr Takes takes = Takes::floats;
  static constexpr Gives gives = Gives::same;
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, T y, const Parameters&) {
    return x <= T(0) ? T(0) : y;
  }
};

/// x where the condition holds, else y. The first input is bool.
struct Where {
  static constexpr std::string_view name = "where";
  static constexpr int arity = 3;
  static constexpr Takes takes = Takes::any;
  static constexpr Gives gives = Gives::same;
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(bool condition, T x, T y, const Parameters&) {
    return condition ? x : y;
  }
};

/// All elementwise formulas; an elementwise op's `kernel` is its index here.
using Formulas = std::tuple<Neg, Abs, Sign, Exp, Expm1, Log, Log1p, Sqrt, Rsqrt, Square, Reciprocal, Sin, Cos, Tanh,
                            Sigmoid, LogSigmoid, Relu, LeakyRelu, Elu, Gelu, GeluTanh, Silu, Softplus, Erf, Clamp,
                            PowScalar, LogicalNot, Add, Sub, Mul, Div, Pow, Maximum, Minimum, Equal, NotEqual, Less,
                            LessEqual, Greater, GreaterEqual, LogicalAnd, LogicalOr, ReluGrad, Where>;

template <class Formula, class List>
struct index_in;
template <class Formula, class... Rest>
struct index_in<Formula, std::tuple<Formula, Rest...>> {
  static constexpr int value = 0;
};
template <class Formula, class First, class... Rest>
struct index_in<Formula, std::tuple<First, Rest...>> {
  static constexpr int value = 1 + index_in<Formula, std::tuple<Rest...>>::value;
};

/// Whether `formula` takes elements of type T.
template <class T>
constexpr bool accepts(Takes takes) {
  constexpr bool is_bool = std::is_same_v<T, bool>;
  constexpr bool is_float = std::is_floating_point_v<compute_t<T>>;
  switch (takes) {
    case Takes::floats:
      return is_float;
    case Takes::numbers:
      return !is_bool;
    case Takes::bools:
      return is_bool;
    case Takes::any:
      return true;
  }
  return false;
}

}  // namespace twingrad::formulas
