// Number types that the formulas and the reference interpreter run on beside double: Dual carries a derivative, Tracked
// carries what rounding does. Both share their functions; each says only how a result follows from its operands.
//
//   Dual y = formulas::Tanh::apply(Dual{x, 1.0}, {});              // y.slope = tanh'(x)
//   RoundingScope scope(24, model);                                // float32
//   Tracked z = formulas::Gelu::apply(Tracked{x}, {});             // z.sigma(): predicted rounding error
#pragma once

#include <twingrad/error_model.h>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <limits>
#include <numbers>

namespace twingrad::check {

/// A value and its derivative along one direction (forward mode).
struct Dual {
  double value = 0;
  double slope = 0;

  Dual() = default;
  template <class Number>
  requires std::is_arithmetic_v<Number>
  explicit Dual(Number number) : value(static_cast<double>(number)) {}
  Dual(double v, double s) : value(v), slope(s) {}

  static Dual unary(const Dual& x, double value, double slope, double /*ulps*/) {
    // 0 * inf would turn a direction that does not move x into NaN.
    return {value, x.slope == 0 ? 0.0 : slope * x.slope};
  }
  static Dual binary(const Dual& x, const Dual& y, double value, double slope_x, double slope_y, double /*ulps*/) {
    return {value, (x.slope == 0 ? 0.0 : slope_x * x.slope) + (y.slope == 0 ? 0.0 : slope_y * y.slope)};
  }
  static Dual exact(const Dual& x, double value, double slope) { return unary(x, value, slope, 0); }
};

/// How results round: the accumulator's unit roundoff and the accuracy of functions. One per thread, set by a scope.
struct Rounding {
  double unit = 0;       ///< 2^-24 for float32: half a unit in the last place, relative
  double underflow = 0;  ///< half the smallest subnormal, or the smallest normal where subnormals are flushed
  double largest = std::numeric_limits<double>::infinity();
  FunctionUlps ulps;
  static Rounding& current() {
    thread_local Rounding rounding;
    return rounding;
  }
};

class RoundingScope {
 public:
  /// Arithmetic with `bits` significant bits (0: exact, as integers are).
  RoundingScope(int bits, const ErrorModel& model) : before_(Rounding::current()) {
    Rounding& now = Rounding::current();
    now = Rounding{};
    now.ulps = model.ulps;
    if (bits > 0) {
      now.unit = std::ldexp(1.0, -bits);
      const bool single = bits != 53;
      // float16 and bfloat16 are computed in float32, so the range is float32's.
      now.underflow = model.flushes_subnormals ? (single ? 0x1p-126 : 0x1p-1022) : (single ? 0x1p-150 : 0x1p-1074);
      now.largest =
          single ? static_cast<double>(std::numeric_limits<float>::max()) : std::numeric_limits<double>::max();
    }
  }
  RoundingScope(const RoundingScope&) = delete;
  RoundingScope& operator=(const RoundingScope&) = delete;
  ~RoundingScope() { Rounding::current() = before_; }

 private:
  Rounding before_;
};

/// A value computed in double, with first-order predictions of what a computation in fewer bits makes of it.
struct Tracked {
  double value = 0;
  double variance = 0;    ///< sum over roundings of (unit * |intermediate| * |derivative|)^2
  double library = 0;     ///< errors of mathematical functions, summed linearly
  double worst = 0;       ///< everything summed linearly: no error of this order is larger
  bool overflow = false;  ///< an intermediate left the range: nothing is predicted

  Tracked() = default;
  template <class Number>
  requires std::is_arithmetic_v<Number>
  explicit Tracked(Number number) : value(static_cast<double>(number)) {}

  double sigma() const { return std::sqrt(variance); }

  /// A result of one correctly rounded operation (ulps = 0.5) or of a function that is off by at most `ulps`.
  static Tracked unary(const Tracked& x, double value, double slope, double ulps) {
    return rounded(moved(x, slope), value, ulps, x.overflow);
  }
  static Tracked binary(const Tracked& x, const Tracked& y, double value, double slope_x, double slope_y, double ulps) {
    Tracked result = moved(x, slope_x);
    const Tracked other = moved(y, slope_y);
    result.variance += other.variance;
    result.library += other.library;
    result.worst += other.worst;
    return rounded(result, value, ulps, x.overflow || y.overflow);
  }
  /// A result without rounding of its own: a negation, a selection.
  static Tracked exact(const Tracked& x, double value, double slope) {
    Tracked result = moved(x, slope);
    result.value = value;
    result.overflow = x.overflow;
    return result;
  }

 private:
  static Tracked moved(const Tracked& x, double slope) {
    Tracked result;
    // An operand without error contributes none, however steep the function is.
    const double size = std::abs(slope);
    result.variance = x.variance == 0 ? 0 : size * size * x.variance;
    result.library = x.library == 0 ? 0 : size * x.library;
    result.worst = x.worst == 0 ? 0 : size * x.worst;
    return result;
  }
  static Tracked rounded(Tracked result, double value, double ulps, bool overflow) {
    const Rounding& rounding = Rounding::current();
    result.value = value;
    result.overflow = overflow || (std::isfinite(value) && std::abs(value) > rounding.largest);
    if (rounding.unit > 0 && std::isfinite(value)) {
      const double step = rounding.unit * std::abs(value);
      result.variance += step * step;
      // One rounding is half a unit in the last place, which is at most `unit` relative; a function adds the rest.
      if (ulps > 0.5) {
        result.library += (2 * ulps - 1) * step;
      }
      result.worst += std::max(2 * ulps, 1.0) * step + rounding.underflow;
    }
    return result;
  }
};

template <class N>
concept CheckNumber = std::same_as<N, Dual> || std::same_as<N, Tracked>;

template <CheckNumber N>
N operator+(const N& x, const N& y) {
  return N::binary(x, y, x.value + y.value, 1, 1, 0.5);
}
template <CheckNumber N>
N operator-(const N& x, const N& y) {
  return N::binary(x, y, x.value - y.value, 1, -1, 0.5);
}
template <CheckNumber N>
N operator*(const N& x, const N& y) {
  return N::binary(x, y, x.value * y.value, y.value, x.value, 0.5);
}
template <CheckNumber N>
N operator/(const N& x, const N& y) {
  const double quotient = x.value / y.value;
  return N::binary(x, y, quotient, 1 / y.value, -quotient / y.value, Rounding::current().ulps.divide);
}
template <CheckNumber N>
N operator-(const N& x) {
  return N::exact(x, -x.value, -1);
}
template <CheckNumber N>
N& operator+=(N& x, const N& y) {
  return x = x + y;
}

// Comparisons look at the value alone: which branch a formula takes does not depend on what is carried along.
template <CheckNumber N>
bool operator<(const N& x, const N& y) {
  return x.value < y.value;
}
template <CheckNumber N>
bool operator>(const N& x, const N& y) {
  return x.value > y.value;
}
template <CheckNumber N>
bool operator<=(const N& x, const N& y) {
  return x.value <= y.value;
}
template <CheckNumber N>
bool operator>=(const N& x, const N& y) {
  return x.value >= y.value;
}
template <CheckNumber N>
bool operator==(const N& x, const N& y) {
  return x.value == y.value;
}
template <CheckNumber N>
bool operator!=(const N& x, const N& y) {
  return x.value != y.value;
}

template <CheckNumber N>
N exp(const N& x) {
  const double y = std::exp(x.value);
  return N::unary(x, y, y, Rounding::current().ulps.exp);
}
template <CheckNumber N>
N expm1(const N& x) {
  return N::unary(x, std::expm1(x.value), std::exp(x.value), Rounding::current().ulps.expm1);
}
template <CheckNumber N>
N log(const N& x) {
  return N::unary(x, std::log(x.value), 1 / x.value, Rounding::current().ulps.log);
}
template <CheckNumber N>
N log1p(const N& x) {
  return N::unary(x, std::log1p(x.value), 1 / (1 + x.value), Rounding::current().ulps.log1p);
}
template <CheckNumber N>
N sqrt(const N& x) {
  const double y = std::sqrt(x.value);
  return N::unary(x, y, 0.5 / y, Rounding::current().ulps.sqrt);
}
template <CheckNumber N>
N sin(const N& x) {
  return N::unary(x, std::sin(x.value), std::cos(x.value), Rounding::current().ulps.sin);
}
template <CheckNumber N>
N cos(const N& x) {
  return N::unary(x, std::cos(x.value), -std::sin(x.value), Rounding::current().ulps.cos);
}
template <CheckNumber N>
N tanh(const N& x) {
  const double y = std::tanh(x.value);
  return N::unary(x, y, 1 - y * y, Rounding::current().ulps.tanh);
}
template <CheckNumber N>
N erf(const N& x) {
  const double slope = 2 * std::numbers::inv_sqrtpi * std::exp(-x.value * x.value);
  return N::unary(x, std::erf(x.value), slope, Rounding::current().ulps.erf);
}
template <CheckNumber N>
N pow(const N& x, const N& y) {
  const double power = std::pow(x.value, y.value);
  const double slope_x = y.value == 0 ? 0 : y.value * std::pow(x.value, y.value - 1);
  const double slope_y = x.value == 0 ? 0 : power * std::log(x.value);
  return N::binary(x, y, power, slope_x, slope_y, Rounding::current().ulps.pow);
}

}  // namespace twingrad::check
