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

/// A value and its derivative along one direction (forward mode). In long double, so that beside float64 kernels its
/// own roundings need no bound.
struct Dual {
  long double value = 0;
  long double slope = 0;

  Dual() = default;
  template <class Number>
  requires std::is_arithmetic_v<Number>
  explicit Dual(Number number) : value(static_cast<long double>(number)) {}
  Dual(long double v, long double s) : value(v), slope(s) {}

  static Dual unary(const Dual& x, long double value, long double slope, double /*ulps*/) {
    // 0 * inf would turn a direction that does not move x into NaN.
    return {value, x.slope == 0 ? 0 : slope * x.slope};
  }
  static Dual binary(const Dual& x, const Dual& y, long double value, long double slope_x, long double slope_y,
                     double /*ulps*/) {
    return {value, (x.slope == 0 ? 0 : slope_x * x.slope) + (y.slope == 0 ? 0 : slope_y * y.slope)};
  }
  static Dual exact(const Dual& x, long double value, long double slope) { return unary(x, value, slope, 0); }

  static double spread(const Dual&) { return 0; }
  static Dual widened(const Dual& result, double /*extra*/) { return result; }
  static Dual lost(const Dual& result) { return result; }
  static void compared(const Dual&, const Dual&) {}
};

/// How results round: the accumulator's unit roundoff and the accuracy of functions. One per thread, set by a scope.
struct Rounding {
  int bits = 0;          ///< significant bits; 0: exact, as integers are
  double unit = 0;       ///< 2^-24 for float32: half a unit in the last place, relative
  double underflow = 0;  ///< half the smallest subnormal, or the smallest normal where subnormals are flushed
  double smallest = 0;   ///< the smallest number that is kept: a multiple of it fits
  double largest = std::numeric_limits<double>::infinity();
  /// Partial results are those that the kernel has. Where a library decides the order they are only of their size.
  bool order_known = true;
  /// A comparison came out as it did because of a rounding: what follows from it cannot be predicted.
  bool ambiguous = false;
  FunctionUlps ulps;
  static Rounding& current() {
    thread_local Rounding rounding;
    return rounding;
  }
  /// Where |x| begins to round to infinity.
  double edge() const { return largest * (1 + unit); }
};

class RoundingScope {
 public:
  /// Arithmetic with `bits` significant bits (0: exact, as integers are) and the range of float32, or float64 for 53.
  RoundingScope(int bits, const ErrorModel& model) : before_(Rounding::current()) {
    const bool single = bits != 53;
    set(bits, model, single ? 0x1p-149 : 0x1p-1074, single ? 0x1p-126 : 0x1p-1022,
        single ? static_cast<double>(std::numeric_limits<float>::max()) : std::numeric_limits<double>::max());
  }
  /// Storage in `dtype`, with its own range.
  RoundingScope(Dtype dtype, const ErrorModel& model) : before_(Rounding::current()) {
    if (dtype == Dtype::f16) {
      set(11, model, 0x1p-24, 0x1p-14, 65504);
    } else if (dtype == Dtype::bf16) {
      set(8, model, 0x1p-133, 0x1p-126, 0x1.fep127);
    } else if (dtype == Dtype::f64) {
      set(53, model, 0x1p-1074, 0x1p-1022, std::numeric_limits<double>::max());
    } else {
      set(significant_bits(dtype), model, 0x1p-149, 0x1p-126, std::numeric_limits<float>::max());
    }
  }
  RoundingScope(const RoundingScope&) = delete;
  RoundingScope& operator=(const RoundingScope&) = delete;
  ~RoundingScope() { Rounding::current() = before_; }

 private:
  void set(int bits, const ErrorModel& model, double subnormal, double normal, double largest) {
    Rounding& now = Rounding::current();
    now = Rounding{};
    now.ulps = model.ulps;
    now.order_known = model.order.known;
    if (bits > 0) {
      now.bits = bits;
      now.unit = std::ldexp(1.0, -bits);
      now.underflow = model.flushes_subnormals ? normal : subnormal / 2;
      now.smallest = model.flushes_subnormals ? normal : subnormal;
      now.largest = largest;
    }
  }
  Rounding before_;
};

/// A value computed in double, with predictions of what a computation in fewer bits makes of it. Errors are followed to
/// the first order; what the second order may add is summed into `library` and `worst`.
struct Tracked {
  double value = 0;
  double variance = 0;    ///< sum over roundings of (unit * |intermediate| * |derivative|)^2
  double library = 0;     ///< errors of mathematical functions, summed linearly
  double worst = 0;       ///< everything summed linearly: no error is larger
  bool overflow = false;  ///< nothing is predicted: an intermediate is at the edge of the range, or a branch hangs on a
                          ///< rounding

  Tracked() = default;
  /// A constant: the kernel has it in the type it computes in.
  template <class Number>
  requires std::is_arithmetic_v<Number>
  explicit Tracked(Number number)
      : value(Rounding::current().bits == 24 ? static_cast<double>(static_cast<float>(number))
                                             : static_cast<double>(number)) {}

  double sigma() const { return std::sqrt(variance); }

  /// A result of one correctly rounded operation (ulps = 0.5) or of a function that is off by at most `ulps`.
  static Tracked unary(const Tracked& x, double value, double slope, double ulps) {
    return rounded(moved(x, slope), value, ulps, x.overflow, x.worst == 0 && whole(x.value));
  }
  static Tracked binary(const Tracked& x, const Tracked& y, double value, double slope_x, double slope_y, double ulps) {
    Tracked result = moved(x, slope_x);
    const Tracked other = moved(y, slope_y);
    result.variance += other.variance;
    result.library += other.library;
    result.worst += other.worst;
    return rounded(result, value, ulps, x.overflow || y.overflow,
                   x.worst == 0 && y.worst == 0 && whole(x.value) && whole(y.value));
  }
  /// A result without rounding of its own: a negation, a selection.
  static Tracked exact(const Tracked& x, double value, double slope) {
    Tracked result = moved(x, slope);
    result.value = value;
    result.overflow = x.overflow;
    return result;
  }

  /// How far the operand may be off.
  static double spread(const Tracked& x) { return x.worst; }
  /// `result` may be off by `extra` more, beyond the first order.
  static Tracked widened(Tracked result, double extra) {
    if (extra > 0 && std::isfinite(result.value)) {
      result.library += extra;
      result.worst += extra;
    }
    return result;
  }
  /// Nothing can be said of `result`.
  static Tracked lost(Tracked result) {
    result.overflow = true;
    return result;
  }
  static void compared(const Tracked& x, const Tracked& y) {
    const double reach = x.worst + y.worst;
    if (reach > 0 && &x != &y && std::abs(x.value - y.value) <= reach) {
      Rounding::current().ambiguous = true;
    }
  }

 private:
  static constexpr double tiny = 1e-150;  ///< its square is still a normal number
  static constexpr double whole_limit = 0x1p24;

  static bool whole(double x) { return std::abs(x) < whole_limit && x == std::trunc(x); }

  static Tracked moved(const Tracked& x, double slope) {
    Tracked result;
    // An operand without error contributes none, however steep the function is.
    const double size = std::abs(slope);
    result.variance = x.variance == 0 ? 0 : size * size * x.variance;
    result.library = x.library == 0 ? 0 : size * x.library;
    result.worst = x.worst == 0 ? 0 : size * x.worst;
    return result;
  }

  /// Whether `value`, correctly rounded from exact operands, needed no rounding. In fewer bits than double has that is
  /// seen from the double itself; in double only where whole numbers stay small.
  static bool fits(double value, bool whole_operands, const Rounding& rounding) {
    if (rounding.bits == 53) {
      return whole_operands && whole(value);
    }
    if (std::abs(value) > rounding.largest || (value != 0 && std::abs(value) < rounding.smallest)) {
      return false;
    }
    if (rounding.bits == 24) {
      return static_cast<double>(static_cast<float>(value)) == value;
    }
    int exponent = 0;
    std::frexp(value, &exponent);
    const double scaled = value / std::max(std::ldexp(1.0, exponent - rounding.bits), rounding.smallest);
    return scaled == std::trunc(scaled);
  }

  static Tracked rounded(Tracked result, double value, double ulps, bool overflow, bool whole_operands) {
    const Rounding& rounding = Rounding::current();
    result.value = value;
    result.overflow = overflow;
    if (!std::isfinite(value)) {
      return settled(result);
    }
    if (rounding.bits == 0) {
      return result;
    }
    if (std::abs(value) + result.worst > rounding.largest) {
      if (rounding.order_known && std::abs(value) - result.worst >= rounding.edge()) {
        result.value = std::copysign(std::numeric_limits<double>::infinity(), value);
        return settled(result);
      }
      result.overflow = true;
    }
    if (ulps <= 0.5 && result.worst == 0 && rounding.order_known && fits(value, whole_operands, rounding)) {
      return result;
    }
    // One rounding is half a unit in the last place, which is at most `unit` relative; a function adds the rest.
    const double step = std::max(rounding.unit * std::abs(value), rounding.underflow);
    if (step > tiny) {
      result.variance += step * step;
    } else {
      result.library += step;
    }
    if (ulps > 0.5) {
      result.library += (2 * ulps - 1) * step;
    }
    result.worst += std::max(2 * ulps, 1.0) * step;
    return result;
  }

  /// Infinity and NaN are what they are.
  static Tracked settled(Tracked result) {
    result.variance = 0;
    result.library = 0;
    result.worst = 0;
    return result;
  }
};

template <class N>
concept CheckNumber = std::same_as<N, Dual> || std::same_as<N, Tracked>;

/// What its values are: double, or long double.
template <CheckNumber N>
using value_t = decltype(N::value);

template <CheckNumber N>
N operator+(const N& x, const N& y) {
  return N::binary(x, y, x.value + y.value, 1, 1, 0.5);
}
template <CheckNumber N>
N operator-(const N& x, const N& y) {
  return N::binary(x, y, x.value - y.value, 1, -1, 0.5);
}
/// Whether x may be 0 or of either sign, which decides what x * infinity and x / 0 are.
template <CheckNumber N>
bool open_sign(const N& x) {
  return N::spread(x) > 0 && N::spread(x) >= std::abs(x.value);
}

template <CheckNumber N>
N operator*(const N& x, const N& y) {
  const N result = N::widened(N::binary(x, y, x.value * y.value, y.value, x.value, 0.5), N::spread(x) * N::spread(y));
  const bool open = (std::isinf(y.value) && open_sign(x)) || (std::isinf(x.value) && open_sign(y));
  return open ? N::lost(result) : result;
}
template <CheckNumber N>
N operator/(const N& x, const N& y) {
  const value_t<N> quotient = x.value / y.value;
  const value_t<N> inverse = 1 / y.value;
  const N result = N::binary(x, y, quotient, inverse, -quotient / y.value, Rounding::current().ulps.divide);
  const double spread = N::spread(y);
  if (y.value == 0 && open_sign(x)) {
    return N::lost(result);
  }
  if (spread == 0) {
    return result;
  }
  const auto steepness = static_cast<double>(std::abs(inverse));
  const double relative = spread * steepness;
  if (!(relative < 0.5)) {
    return N::lost(result);  // the divisor may be 0
  }
  const double second = relative / (1 - relative);
  return N::widened(result,
                    static_cast<double>(std::abs(quotient)) * relative * second + N::spread(x) * steepness * second);
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
  N::compared(x, y);
  return x.value < y.value;
}
template <CheckNumber N>
bool operator>(const N& x, const N& y) {
  N::compared(x, y);
  return x.value > y.value;
}
template <CheckNumber N>
bool operator<=(const N& x, const N& y) {
  N::compared(x, y);
  return x.value <= y.value;
}
template <CheckNumber N>
bool operator>=(const N& x, const N& y) {
  N::compared(x, y);
  return x.value >= y.value;
}
template <CheckNumber N>
bool operator==(const N& x, const N& y) {
  N::compared(x, y);
  return x.value == y.value;
}
template <CheckNumber N>
bool operator!=(const N& x, const N& y) {
  N::compared(x, y);
  return x.value != y.value;
}

/// What |f''| <= `curvature` adds beyond the first order.
template <CheckNumber N>
N curved(const N& result, const N& x, double curvature) {
  const double spread = N::spread(x);
  return spread == 0 ? result : N::widened(result, 0.5 * curvature * spread * spread);
}

template <CheckNumber N>
N exponential(const N& x, value_t<N> value, value_t<N> slope, double ulps) {
  const N result = N::unary(x, value, slope, ulps);
  const double spread = N::spread(x);
  if (spread == 0) {
    return result;
  }
  // e^w - 1 - w <= w^2 up to 1; beyond it nothing is worth predicting.
  return spread < 1 ? N::widened(result, static_cast<double>(slope) * spread * spread) : N::lost(result);
}

/// `distance`: of x from where the logarithm ends.
template <CheckNumber N>
N logarithm(const N& x, value_t<N> value, value_t<N> distance, double ulps) {
  const N result = N::unary(x, value, 1 / distance, ulps);
  const double spread = N::spread(x);
  if (spread == 0) {
    return result;
  }
  const double relative = spread / static_cast<double>(std::abs(distance));
  return relative < 0.5 ? N::widened(result, relative * relative) : N::lost(result);
}

template <CheckNumber N>
N exp(const N& x) {
  const value_t<N> y = std::exp(x.value);
  return exponential(x, y, y, Rounding::current().ulps.exp);
}
template <CheckNumber N>
N expm1(const N& x) {
  return exponential(x, std::expm1(x.value), std::exp(x.value), Rounding::current().ulps.expm1);
}
template <CheckNumber N>
N log(const N& x) {
  return logarithm(x, std::log(x.value), x.value, Rounding::current().ulps.log);
}
template <CheckNumber N>
N log1p(const N& x) {
  return logarithm(x, std::log1p(x.value), 1 + x.value, Rounding::current().ulps.log1p);
}
template <CheckNumber N>
N sqrt(const N& x) {
  const value_t<N> y = std::sqrt(x.value);
  const double spread = N::spread(x);
  if (spread == 0 || spread < 0.01 * static_cast<double>(x.value)) {
    const N result = N::unary(x, y, value_t<N>(0.5) / y, Rounding::current().ulps.sqrt);
    // |f''| = 1 / (4 x^1.5), at most a hundredth more within the spread
    return spread == 0 ? result : curved(result, x, 0.26 / static_cast<double>(x.value * y));
  }
  // Near 0 the slope says nothing: the ends of what x may be do.
  const auto x_value = static_cast<double>(x.value);
  const auto y_value = static_cast<double>(y);
  const N result = N::unary(x, y, 0, Rounding::current().ulps.sqrt);
  if (!(x_value >= 0)) {
    return N::lost(result);
  }
  const double above = std::sqrt(x_value + spread) - y_value;
  const double below = y_value - std::sqrt(std::max(x_value - spread, 0.0));
  return N::widened(result, std::max(above, below));
}
template <CheckNumber N>
N sin(const N& x) {
  return curved(N::unary(x, std::sin(x.value), std::cos(x.value), Rounding::current().ulps.sin), x, 1);
}
template <CheckNumber N>
N cos(const N& x) {
  return curved(N::unary(x, std::cos(x.value), -std::sin(x.value), Rounding::current().ulps.cos), x, 1);
}
template <CheckNumber N>
N tanh(const N& x) {
  const value_t<N> y = std::tanh(x.value);
  return curved(N::unary(x, y, 1 - y * y, Rounding::current().ulps.tanh), x, 1);
}
template <CheckNumber N>
N erf(const N& x) {
  const value_t<N> slope = 2 * std::numbers::inv_sqrtpi_v<value_t<N>> * std::exp(-x.value * x.value);
  return curved(N::unary(x, std::erf(x.value), slope, Rounding::current().ulps.erf), x, 1);
}
template <CheckNumber N>
N pow(const N& x, const N& y) {
  const value_t<N> power = std::pow(x.value, y.value);
  const value_t<N> slope_x = y.value == 0 ? 0 : y.value * std::pow(x.value, y.value - 1);
  const value_t<N> slope_y = x.value == 0 ? 0 : power * std::log(x.value);
  return N::binary(x, y, power, slope_x, slope_y, Rounding::current().ulps.pow);
}

}  // namespace twingrad::check
