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

/// How many inputs a formula has, and which types it takes and gives.
template <int inputs, Takes types, Gives result = Gives::same>
struct Signature {
  static constexpr int arity = inputs;
  static constexpr Takes takes = types;
  static constexpr Gives gives = result;
};

/// -x
struct Neg : Signature<1, Takes::numbers> {
  static constexpr std::string_view name = "neg";
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters&) {
    return static_cast<T>(-x);
  }
};

/// |x|
struct Abs : Signature<1, Takes::numbers> {
  static constexpr std::string_view name = "abs";
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters&) {
    return x < T(0) ? static_cast<T>(-x) : (x == T(0) ? T(0) : x);
  }
};

/// -1, 0 or 1; NaN stays NaN
struct Sign : Signature<1, Takes::numbers> {
  static constexpr std::string_view name = "sign";
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters&) {
    return x > T(0) ? T(1) : (x < T(0) ? static_cast<T>(-T(1)) : (x == T(0) ? T(0) : x));
  }
};

/// e^x
struct Exp : Signature<1, Takes::floats> {
  static constexpr std::string_view name = "exp";
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters&) {
    return exp(x);
  }
};

/// e^x - 1, exact near 0
struct Expm1 : Signature<1, Takes::floats> {
  static constexpr std::string_view name = "expm1";
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters&) {
    return expm1(x);
  }
};

/// natural logarithm
struct Log : Signature<1, Takes::floats> {
  static constexpr std::string_view name = "log";
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters&) {
    return log(x);
  }
};

/// log(1 + x), exact near 0
struct Log1p : Signature<1, Takes::floats> {
  static constexpr std::string_view name = "log1p";
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters&) {
    return log1p(x);
  }
};

/// square root
struct Sqrt : Signature<1, Takes::floats> {
  static constexpr std::string_view name = "sqrt";
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters&) {
    return sqrt(x);
  }
};

/// 1 / sqrt(x)
struct Rsqrt : Signature<1, Takes::floats> {
  static constexpr std::string_view name = "rsqrt";
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters&) {
    return T(1) / sqrt(x);
  }
};

/// x^2
struct Square : Signature<1, Takes::numbers> {
  static constexpr std::string_view name = "square";
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters&) {
    return static_cast<T>(x * x);
  }
};

/// 1 / x
struct Reciprocal : Signature<1, Takes::floats> {
  static constexpr std::string_view name = "reciprocal";
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters&) {
    return T(1) / x;
  }
};

/// sine of radians
struct Sin : Signature<1, Takes::floats> {
  static constexpr std::string_view name = "sin";
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters&) {
    return sin(x);
  }
};

/// cosine of radians
struct Cos : Signature<1, Takes::floats> {
  static constexpr std::string_view name = "cos";
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters&) {
    return cos(x);
  }
};

/// hyperbolic tangent
struct Tanh : Signature<1, Takes::floats> {
  static constexpr std::string_view name = "tanh";
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters&) {
    return tanh(x);
  }
};

/// 1 / (1 + e^-x), without overflow
struct Sigmoid : Signature<1, Takes::floats> {
  static constexpr std::string_view name = "sigmoid";
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters&) {
    const T e = exp(x < T(0) ? x : -x);
    return (x < T(0) ? e : T(1)) / (T(1) + e);
  }
};

/// log(sigmoid(x)), without overflow
struct LogSigmoid : Signature<1, Takes::floats> {
  static constexpr std::string_view name = "log_sigmoid";
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters&) {
    return (x < T(0) ? x : T(0)) - log1p(exp(x < T(0) ? x : -x));
  }
};

/// max(x, 0); NaN stays NaN
struct Relu : Signature<1, Takes::numbers> {
  static constexpr std::string_view name = "relu";
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters&) {
    return x <= T(0) ? T(0) : x;
  }
};

/// x, or x * slope below 0; p[0] = slope
struct LeakyRelu : Signature<1, Takes::floats> {
  static constexpr std::string_view name = "leaky_relu";
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters& a) {
    return x > T(0) ? x : x * static_cast<T>(a.p[0]);
  }
};

/// x, or alpha * (e^x - 1) below 0; p[0] = alpha
struct Elu : Signature<1, Takes::floats> {
  static constexpr std::string_view name = "elu";
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters& a) {
    return x > T(0) ? x : static_cast<T>(a.p[0]) * expm1(x);
  }
};

/// x * Phi(x) (Hendrycks and Gimpel, 2016)
struct Gelu : Signature<1, Takes::floats> {
  static constexpr std::string_view name = "gelu";
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters&) {
    return T(0.5) * x * (T(1) + erf(x * T(0.70710678118654752440)));
  }
};

/// gelu's tanh approximation
struct GeluTanh : Signature<1, Takes::floats> {
  static constexpr std::string_view name = "gelu_tanh";
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters&) {
    const T u = T(0.79788456080286535588) * (x + T(0.044715) * x * x * x);
    return T(0.5) * x * (T(1) + tanh(u));
  }
};

/// x * sigmoid(x)
struct Silu : Signature<1, Takes::floats> {
  static constexpr std::string_view name = "silu";
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters& a) {
    return x * Sigmoid::apply(x, a);
  }
};

/// log(1 + e^x), without overflow
struct Softplus : Signature<1, Takes::floats> {
  static constexpr std::string_view name = "softplus";
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters&) {
    return (x > T(0) ? x : T(0)) + log1p(exp(x > T(0) ? -x : x));
  }
};

/// error function
struct Erf : Signature<1, Takes::floats> {
  static constexpr std::string_view name = "erf";
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters&) {
    return erf(x);
  }
};

/// min(max(x, p[0]), p[1]); NaN stays NaN
struct Clamp : Signature<1, Takes::floats> {
  static constexpr std::string_view name = "clamp";
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters& a) {
    const T low = static_cast<T>(a.p[0]);
    const T high = static_cast<T>(a.p[1]);
    return x < low ? low : (x > high ? high : x);
  }
};

/// x^p[0]
struct PowScalar : Signature<1, Takes::floats> {
  static constexpr std::string_view name = "pow_scalar";
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters& a) {
    return pow(x, static_cast<T>(a.p[0]));
  }
};

/// not x
struct LogicalNot : Signature<1, Takes::bools> {
  static constexpr std::string_view name = "logical_not";
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, const Parameters&) {
    return !x;
  }
};

/// x + y
struct Add : Signature<2, Takes::numbers> {
  static constexpr std::string_view name = "add";
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, T y, const Parameters&) {
    return static_cast<T>(x + y);
  }
};

/// x - y
struct Sub : Signature<2, Takes::numbers> {
  static constexpr std::string_view name = "sub";
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, T y, const Parameters&) {
    return static_cast<T>(x - y);
  }
};

/// x * y
struct Mul : Signature<2, Takes::numbers> {
  static constexpr std::string_view name = "mul";
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, T y, const Parameters&) {
    return static_cast<T>(x * y);
  }
};

/// x / y
struct Div : Signature<2, Takes::floats> {
  static constexpr std::string_view name = "div";
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, T y, const Parameters&) {
    return x / y;
  }
};

/// x^y
struct Pow : Signature<2, Takes::floats> {
  static constexpr std::string_view name = "pow";
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, T y, const Parameters&) {
    return pow(x, y);
  }
};

/// the larger one; NaN wins
struct Maximum : Signature<2, Takes::numbers> {
  static constexpr std::string_view name = "maximum";
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, T y, const Parameters&) {
    return x != x ? x : (y != y ? y : (x > y ? x : y));
  }
};

/// the smaller one; NaN wins
struct Minimum : Signature<2, Takes::numbers> {
  static constexpr std::string_view name = "minimum";
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, T y, const Parameters&) {
    return x != x ? x : (y != y ? y : (x < y ? x : y));
  }
};

/// x == y
struct Equal : Signature<2, Takes::any, Gives::boolean> {
  static constexpr std::string_view name = "equal";
  template <class T>
  TWINGRAD_HOST_DEVICE static bool apply(T x, T y, const Parameters&) {
    return x == y;
  }
};

/// x != y
struct NotEqual : Signature<2, Takes::any, Gives::boolean> {
  static constexpr std::string_view name = "not_equal";
  template <class T>
  TWINGRAD_HOST_DEVICE static bool apply(T x, T y, const Parameters&) {
    return x != y;
  }
};

/// x < y
struct Less : Signature<2, Takes::numbers, Gives::boolean> {
  static constexpr std::string_view name = "less";
  template <class T>
  TWINGRAD_HOST_DEVICE static bool apply(T x, T y, const Parameters&) {
    return x < y;
  }
};

/// x <= y
struct LessEqual : Signature<2, Takes::numbers, Gives::boolean> {
  static constexpr std::string_view name = "less_equal";
  template <class T>
  TWINGRAD_HOST_DEVICE static bool apply(T x, T y, const Parameters&) {
    return x <= y;
  }
};

/// x > y
struct Greater : Signature<2, Takes::numbers, Gives::boolean> {
  static constexpr std::string_view name = "greater";
  template <class T>
  TWINGRAD_HOST_DEVICE static bool apply(T x, T y, const Parameters&) {
    return x > y;
  }
};

/// x >= y
struct GreaterEqual : Signature<2, Takes::numbers, Gives::boolean> {
  static constexpr std::string_view name = "greater_equal";
  template <class T>
  TWINGRAD_HOST_DEVICE static bool apply(T x, T y, const Parameters&) {
    return x >= y;
  }
};

/// x and y
struct LogicalAnd : Signature<2, Takes::bools> {
  static constexpr std::string_view name = "logical_and";
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, T y, const Parameters&) {
    return x && y;
  }
};

/// x or y
struct LogicalOr : Signature<2, Takes::bools> {
  static constexpr std::string_view name = "logical_or";
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, T y, const Parameters&) {
    return x || y;
  }
};

/// y where x > 0 or NaN, else 0: relu's gradient in one pass
struct ReluGrad : Signature<2, Takes::floats> {
  static constexpr std::string_view name = "relu_grad";
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, T y, const Parameters&) {
    return x <= T(0) ? T(0) : y;
  }
};

/// -y log(p) - (1 - y) log(1 - p) with p = sigmoid(x), without overflow: softplus(-x) is softplus(x) - x
struct BceWithLogits : Signature<2, Takes::floats> {
  static constexpr std::string_view name = "bce_with_logits";
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, T y, const Parameters&) {
    return (x > T(0) ? T(1) - y : -y) * x + log1p(exp(x > T(0) ? -x : x));
  }
};

/// (1 - y) p - y (1 - p) with p = sigmoid(x): its gradient, which keeps its digits where p is near y
struct BceWithLogitsGrad : Signature<2, Takes::floats> {
  static constexpr std::string_view name = "bce_with_logits_grad";
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(T x, T y, const Parameters&) {
    const T e = exp(x > T(0) ? -x : x);
    return ((x > T(0) ? T(1) : e) * (T(1) - y) - (x > T(0) ? e : T(1)) * y) / (T(1) + e);
  }
};

/// x where the condition holds, else y. The first input is bool.
struct Where : Signature<3, Takes::any> {
  static constexpr std::string_view name = "where";
  template <class T>
  TWINGRAD_HOST_DEVICE static T apply(bool condition, T x, T y, const Parameters&) {
    return condition ? x : y;
  }
};

/// All elementwise formulas; an elementwise op's `kernel` is its index here.
using Formulas =
    std::tuple<Neg, Abs, Sign, Exp, Expm1, Log, Log1p, Sqrt, Rsqrt, Square, Reciprocal, Sin, Cos, Tanh, Sigmoid,
               LogSigmoid, Relu, LeakyRelu, Elu, Gelu, GeluTanh, Silu, Softplus, Erf, Clamp, PowScalar, LogicalNot, Add,
               Sub, Mul, Div, Pow, Maximum, Minimum, Equal, NotEqual, Less, LessEqual, Greater, GreaterEqual,
               LogicalAnd, LogicalOr, ReluGrad, BceWithLogits, BceWithLogitsGrad, Where>;

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
