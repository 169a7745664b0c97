// Tracked for eight elements at a time: the same predictions to the bit, in vector registers. The reference computes
// elementwise formulas and optimizer updates on it, which is where most elements of a training step are.
//
//   LanePasses passes;                                           // formulas with branches take several passes
//   do {
//     passes.begin();
//     TrackedLanes z = formulas::Relu::apply(TrackedLanes(load(x)), {});
//     passes.keep(z, result);                                    // the lanes that went this way
//   } while (passes.more());
#pragma once

#include <twingrad/check/lanes.h>
#include <twingrad/check/numbers.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>
#include <type_traits>

namespace twingrad::check {

/// How lanes round: as the scope says.
struct AnyArithmetic {
  static constexpr bool plain_float = false;
  static double divide() { return Rounding::current().ulps.divide; }
  static double sqrt() { return Rounding::current().ulps.sqrt; }
};
/// As the scope says, too, but it is known while compiling that it says: float32 one by one, with subnormals, quotients
/// and roots correctly rounded. Lanes that leave the ordinary numbers are marked by `overflow`, to be computed again
/// with AnyArithmetic; all others come out the same.
struct FloatArithmetic {
  static constexpr bool plain_float = true;
  static constexpr double unit = 0x1p-24;
  static constexpr double underflow = 0x1p-150;
  static constexpr double largest = static_cast<double>(std::numeric_limits<float>::max());
  static constexpr double divide() { return 0.5; }
  static constexpr double sqrt() { return 0.5; }
  static bool current() {
    const Rounding& now = Rounding::current();
    return now.bits == 24 && now.order_known && now.unit == unit && now.underflow == underflow &&
           now.largest == largest && now.ulps.divide == divide() && now.ulps.sqrt == sqrt();
  }
};

/// Tracked, lane by lane.
template <class Arithmetic>
struct BasicTrackedLanes {
  using TrackedLanes = BasicTrackedLanes;

  Doubles value{};
  Doubles variance{};
  Doubles library{};
  Doubles worst{};
  Mask overflow{};
  /// No lane has an error or is lost. Known while compiling where it holds, so that nothing is computed for it.
  bool exact = true;

  BasicTrackedLanes() = default;
  [[gnu::always_inline]] explicit BasicTrackedLanes(Doubles values) : value(values) {}
  template <class Number>
  requires std::is_arithmetic_v<Number>
  [[gnu::always_inline]] explicit BasicTrackedLanes(Number number)
      : value(splat(Arithmetic::plain_float || Rounding::current().bits == 24
                        ? static_cast<double>(static_cast<float>(number))
                        : static_cast<double>(number))) {}

  [[gnu::always_inline]] static TrackedLanes unary(const TrackedLanes& x, Doubles value, Doubles slope, double ulps) {
    return rounded(moved(x, slope), value, ulps, x, x);
  }
  [[gnu::always_inline]] static TrackedLanes binary(const TrackedLanes& x, const TrackedLanes& y, Doubles value,
                                                    Doubles slope_x, Doubles slope_y, double ulps) {
    TrackedLanes result = moved(x, slope_x);
    add_errors(result, moved(y, slope_y));
    return rounded(result, value, ulps, x, y);
  }
  /// Of slopes 1 or -1, which move errors as they are.
  [[gnu::always_inline]] static TrackedLanes combined(const TrackedLanes& x, const TrackedLanes& y, Doubles value) {
    TrackedLanes result = x;
    add_errors(result, y);
    return rounded(result, value, 0.5, x, y);
  }
  [[gnu::always_inline]] static TrackedLanes widened(TrackedLanes result, Doubles extra) {
    const Doubles added =
        Arithmetic::plain_float ? extra : select((extra > 0.0) & is_finite(result.value), extra, Doubles{});
    result.library += added;
    result.worst += added;
    result.exact = false;
    return result;
  }
  /// Nothing can be said of these lanes.
  [[gnu::always_inline]] static TrackedLanes lost(TrackedLanes result, Mask lanes) {
    result.overflow |= lanes;
    result.exact = false;
    return result;
  }
  /// Whether some lane has to be computed again with AnyArithmetic.
  [[gnu::always_inline]] static bool left_out(const TrackedLanes& result) {
    return Arithmetic::plain_float && any(result.overflow);
  }
  [[gnu::always_inline]] static void compared(const TrackedLanes& x, const TrackedLanes& y) {
    if (&x == &y || (x.exact && y.exact)) {
      return;
    }
    const Doubles reach = x.worst + y.worst;
    Pass::current().ambiguous |= (reach > 0.0) & (magnitude(x.value - y.value) <= reach);
  }

 private:
  static constexpr double tiny = 1e-150;
  static constexpr double whole_limit = 0x1p24;

  [[gnu::always_inline]] static Mask whole(Doubles x) { return (magnitude(x) < whole_limit) & (x == truncated(x)); }
  /// An operand without error contributes none, however steep the function is.
  [[gnu::always_inline]] static Doubles times(Doubles size, Doubles error) {
    return Arithmetic::plain_float ? size * error : select(error == 0.0, Doubles{}, size * error);
  }
  [[gnu::always_inline]] static TrackedLanes moved(const TrackedLanes& x, Doubles slope) {
    TrackedLanes result;
    if (x.exact) {
      return result;
    }
    const Doubles size = magnitude(slope);
    result.variance = times(size * size, x.variance);
    result.library = times(size, x.library);
    result.worst = times(size, x.worst);
    result.overflow = x.overflow;
    result.exact = false;
    return result;
  }
  [[gnu::always_inline]] static void add_errors(TrackedLanes& to, const TrackedLanes& from) {
    if (!from.exact) {
      to.variance += from.variance;
      to.library += from.library;
      to.worst += from.worst;
      to.overflow |= from.overflow;
      to.exact = false;
    }
  }
  [[gnu::always_inline]] static Mask fits(Doubles value, const TrackedLanes& x, const TrackedLanes& y,
                                          const Rounding& rounding) {
    if (rounding.bits == 53) {
      Mask both = whole(x.value) & whole(y.value) & whole(value);
      if (!x.exact) {
        both &= x.worst == 0.0;
      }
      if (!y.exact) {
        both &= y.worst == 0.0;
      }
      return both;
    }
    const Doubles size = magnitude(value);
    const Mask in_range = (size <= rounding.largest) & ((value == 0.0) | (size >= rounding.smallest));
    if (rounding.bits == 24) {
      return in_range & (in_float(value) == value);
    }
    // The power of two at or below |x|, times two, is what frexp() measures in.
    constexpr std::int64_t exponent_bits = 0x7ff0000000000000;
    const Doubles power = reinterpret_cast<Doubles>(reinterpret_cast<Mask>(value) & exponent_bits);
    const Doubles unit = larger(power * std::ldexp(1.0, 1 - rounding.bits), splat(rounding.smallest));
    const Doubles scaled = value / unit;
    return in_range & (scaled == truncated(scaled));
  }
  /// Like Tracked's: `result` has the errors that come from x and y.
  [[gnu::always_inline]] static TrackedLanes rounded(TrackedLanes result, Doubles value, double ulps,
                                                     const TrackedLanes& x, const TrackedLanes& y) {
    if constexpr (!Arithmetic::plain_float) {
      return rounded_as_scope(result, value, ulps, x, y);
    } else {
      const Doubles size = magnitude(value);
      // Also false where something is NaN.
      result.overflow |= ~(size + result.worst <= Arithmetic::largest);
      Doubles step = larger(Arithmetic::unit * size, splat(Arithmetic::underflow));
      if (ulps <= 0.5) {
        Mask kept = in_float(value) == value;
        if (!result.exact) {
          kept &= result.worst == 0.0;
        }
        step = select(kept, Doubles{}, step);
      }
      result.value = value;
      result.variance += step * step;
      if (ulps > 0.5) {
        result.library += (2 * ulps - 1) * step;
      }
      result.worst += std::max(2 * ulps, 1.0) * step;
      result.exact = false;
      return result;
    }
  }
  [[gnu::always_inline]] static TrackedLanes rounded_as_scope(TrackedLanes result, Doubles value, double ulps,
                                                              const TrackedLanes& x, const TrackedLanes& y) {
    const Rounding& rounding = Rounding::current();
    result.value = value;
    const Doubles size = magnitude(value);
    Mask settled = ~(size <= std::numeric_limits<double>::max());
    if (rounding.bits == 0) {
      if (!result.exact) {
        settle(result, settled);
      }
      return result;
    }
    const bool inherits = !result.exact;
    Mask beyond = ~settled & (size + result.worst > rounding.largest);
    if (rounding.order_known) {
      const Mask infinite = beyond & (size - result.worst >= rounding.edge());
      const Doubles limit = splat(std::numeric_limits<double>::infinity());
      result.value = select(infinite, select(value < 0.0, -limit, limit), value);
      settled |= infinite;
      beyond &= ~infinite;
    }
    result.overflow |= beyond;
    Mask rounds = ~settled;
    if (ulps <= 0.5 && rounding.order_known) {
      Mask kept = fits(value, x, y, rounding);
      if (inherits) {
        kept &= result.worst == 0.0;
      }
      rounds &= ~kept;
    }
    const Doubles step = select(rounds, larger(rounding.unit * size, splat(rounding.underflow)), Doubles{});
    if (rounding.underflow > tiny) {
      result.variance += step * step;
    } else {
      const Mask squares = step > tiny;
      const Doubles squared = select(squares, step, Doubles{});
      result.variance += squared * squared;
      result.library += select(squares, Doubles{}, step);
    }
    if (ulps > 0.5) {
      result.library += (2 * ulps - 1) * step;
    }
    result.worst += std::max(2 * ulps, 1.0) * step;
    result.exact = false;
    if (inherits) {
      settle(result, settled);
    }
    return result;
  }
  [[gnu::always_inline]] static void settle(TrackedLanes& result, Mask lanes) {
    result.variance = select(lanes, Doubles{}, result.variance);
    result.library = select(lanes, Doubles{}, result.library);
    result.worst = select(lanes, Doubles{}, result.worst);
  }
};

using TrackedLanes = BasicTrackedLanes<AnyArithmetic>;
using FloatLanes = BasicTrackedLanes<FloatArithmetic>;

template <class A>
[[gnu::always_inline]] inline BasicTrackedLanes<A> operator+(const BasicTrackedLanes<A>& x,
                                                             const BasicTrackedLanes<A>& y) {
  return BasicTrackedLanes<A>::combined(x, y, x.value + y.value);
}
template <class A>
[[gnu::always_inline]] inline BasicTrackedLanes<A> operator-(const BasicTrackedLanes<A>& x,
                                                             const BasicTrackedLanes<A>& y) {
  return BasicTrackedLanes<A>::combined(x, y, x.value - y.value);
}
template <class A>
[[gnu::always_inline]] inline BasicTrackedLanes<A> operator-(const BasicTrackedLanes<A>& x) {
  BasicTrackedLanes<A> result = x;
  result.value = -x.value;
  return result;
}
template <class A>
[[gnu::always_inline]] inline Mask open_sign(const BasicTrackedLanes<A>& x) {
  return (x.worst > 0.0) & (x.worst >= magnitude(x.value));
}
[[gnu::always_inline]] inline Mask is_infinite(Doubles x) {
  return magnitude(x) == std::numeric_limits<double>::infinity();
}
template <class A>
[[gnu::always_inline]] inline BasicTrackedLanes<A> operator*(const BasicTrackedLanes<A>& x,
                                                             const BasicTrackedLanes<A>& y) {
  BasicTrackedLanes<A> result = BasicTrackedLanes<A>::binary(x, y, x.value * y.value, y.value, x.value, 0.5);
  if (!x.exact && !y.exact) {
    result = BasicTrackedLanes<A>::widened(result, x.worst * y.worst);
  }
  // Of plain floats an infinite factor makes the product one.
  if (!A::plain_float && !x.exact) {
    result = BasicTrackedLanes<A>::lost(result, is_infinite(y.value) & open_sign(x));
  }
  if (!A::plain_float && !y.exact) {
    result = BasicTrackedLanes<A>::lost(result, is_infinite(x.value) & open_sign(y));
  }
  return result;
}
template <class A>
[[gnu::always_inline]] inline BasicTrackedLanes<A> operator/(const BasicTrackedLanes<A>& x,
                                                             const BasicTrackedLanes<A>& y) {
  const Doubles quotient = x.value / y.value;
  const Doubles inverse = x.exact && y.exact ? Doubles{} : 1.0 / y.value;
  BasicTrackedLanes<A> result = BasicTrackedLanes<A>::binary(x, y, quotient, inverse, -quotient / y.value, A::divide());
  Mask open{};
  if (!A::plain_float && !x.exact) {
    open = (y.value == 0.0) & open_sign(x);
    result = BasicTrackedLanes<A>::lost(result, open);
  }
  if (!y.exact) {
    const Doubles steepness = magnitude(inverse);
    const Doubles relative = y.worst * steepness;
    const Mask spreads = ~open & (y.worst != 0.0);
    const Mask known = spreads & (relative < 0.5);
    result = BasicTrackedLanes<A>::lost(result, spreads & ~known);
    const Doubles second = relative / (1.0 - relative);
    Doubles extra = magnitude(quotient) * relative * second;
    extra += x.exact ? Doubles{} : x.worst * steepness * second;
    result = BasicTrackedLanes<A>::widened(result, select(known, extra, Doubles{}));
  }
  return result;
}

template <class A>
[[gnu::always_inline]] inline bool operator<(const BasicTrackedLanes<A>& x, const BasicTrackedLanes<A>& y) {
  BasicTrackedLanes<A>::compared(x, y);
  return Pass::decide(x.value < y.value);
}
template <class A>
[[gnu::always_inline]] inline bool operator>(const BasicTrackedLanes<A>& x, const BasicTrackedLanes<A>& y) {
  BasicTrackedLanes<A>::compared(x, y);
  return Pass::decide(x.value > y.value);
}
template <class A>
[[gnu::always_inline]] inline bool operator<=(const BasicTrackedLanes<A>& x, const BasicTrackedLanes<A>& y) {
  BasicTrackedLanes<A>::compared(x, y);
  return Pass::decide(x.value <= y.value);
}
template <class A>
[[gnu::always_inline]] inline bool operator>=(const BasicTrackedLanes<A>& x, const BasicTrackedLanes<A>& y) {
  BasicTrackedLanes<A>::compared(x, y);
  return Pass::decide(x.value >= y.value);
}
template <class A>
[[gnu::always_inline]] inline bool operator==(const BasicTrackedLanes<A>& x, const BasicTrackedLanes<A>& y) {
  BasicTrackedLanes<A>::compared(x, y);
  return Pass::decide(x.value == y.value);
}
template <class A>
[[gnu::always_inline]] inline bool operator!=(const BasicTrackedLanes<A>& x, const BasicTrackedLanes<A>& y) {
  BasicTrackedLanes<A>::compared(x, y);
  return Pass::decide(x.value != y.value);
}

template <class A>
[[gnu::always_inline]] inline BasicTrackedLanes<A> curved(const BasicTrackedLanes<A>& result,
                                                          const BasicTrackedLanes<A>& x, Doubles curvature) {
  return x.exact ? result
                 : BasicTrackedLanes<A>::widened(
                       result, select(x.worst == 0.0, Doubles{}, 0.5 * curvature * x.worst * x.worst));
}
template <class A>
[[gnu::always_inline]] inline BasicTrackedLanes<A> exponential(const BasicTrackedLanes<A>& x, Doubles value,
                                                               Doubles slope, double ulps) {
  BasicTrackedLanes<A> result = BasicTrackedLanes<A>::unary(x, value, slope, ulps);
  if (!x.exact) {
    const Mask known = x.worst < 1.0;
    const Doubles extra = select((x.worst != 0.0) & known, slope * x.worst * x.worst, Doubles{});
    result = BasicTrackedLanes<A>::lost(BasicTrackedLanes<A>::widened(result, extra), ~known);
  }
  return result;
}
template <class A>
[[gnu::always_inline]] inline BasicTrackedLanes<A> logarithm(const BasicTrackedLanes<A>& x, Doubles value,
                                                             Doubles distance, double ulps) {
  BasicTrackedLanes<A> result = BasicTrackedLanes<A>::unary(x, value, 1.0 / distance, ulps);
  if (!x.exact) {
    const Doubles relative = x.worst / magnitude(distance);
    const Mask spreads = x.worst != 0.0;
    const Mask known = spreads & (relative < 0.5);
    result = BasicTrackedLanes<A>::widened(result, select(known, relative * relative, Doubles{}));
    result = BasicTrackedLanes<A>::lost(result, spreads & ~known);
  }
  return result;
}

/// A function of the C library, in the lanes of this pass.
template <class Function>
[[gnu::always_inline]] inline Doubles called(Doubles x, const Function& function) {
  return for_lanes(Pass::current().active, x, function);
}
template <class A>
[[gnu::always_inline]] inline BasicTrackedLanes<A> exp(const BasicTrackedLanes<A>& x) {
  const Doubles y = called(x.value, [](double v) { return std::exp(v); });
  return exponential(x, y, y, Rounding::current().ulps.exp);
}
template <class A>
[[gnu::always_inline]] inline BasicTrackedLanes<A> expm1(const BasicTrackedLanes<A>& x) {
  const Doubles y = called(x.value, [](double v) { return std::expm1(v); });
  const Doubles slope = x.exact ? Doubles{} : called(x.value, [](double v) { return std::exp(v); });
  return exponential(x, y, slope, Rounding::current().ulps.expm1);
}
template <class A>
[[gnu::always_inline]] inline BasicTrackedLanes<A> log(const BasicTrackedLanes<A>& x) {
  const Doubles y = called(x.value, [](double v) { return std::log(v); });
  return logarithm(x, y, x.value, Rounding::current().ulps.log);
}
template <class A>
[[gnu::always_inline]] inline BasicTrackedLanes<A> log1p(const BasicTrackedLanes<A>& x) {
  const Doubles y = called(x.value, [](double v) { return std::log1p(v); });
  return logarithm(x, y, 1.0 + x.value, Rounding::current().ulps.log1p);
}
template <class A>
[[gnu::always_inline]] inline BasicTrackedLanes<A> sqrt(const BasicTrackedLanes<A>& x) {
  const double ulps = A::sqrt();
  const Doubles y = rooted(x.value);
  if (x.exact) {
    return BasicTrackedLanes<A>::unary(x, y, Doubles{}, ulps);
  }
  const Mask spreads = x.worst != 0.0;
  const Mask far = ~spreads | (x.worst < 0.01 * x.value);
  const BasicTrackedLanes<A> result = BasicTrackedLanes<A>::unary(x, y, select(far, 0.5 / y, Doubles{}), ulps);
  // Near 0 the slope says nothing: the ends of what x may be do.
  const Doubles above = rooted(x.value + x.worst) - y;
  const Doubles below = y - rooted(larger(x.value - x.worst, Doubles{}));
  const Mask negative = ~far & ~(x.value >= 0.0);
  const Doubles near_extra = select(negative, Doubles{}, larger(above, below));
  const Doubles far_extra = select(spreads, 0.5 * (0.26 / (x.value * y)) * x.worst * x.worst, Doubles{});
  return BasicTrackedLanes<A>::lost(BasicTrackedLanes<A>::widened(result, select(far, far_extra, near_extra)),
                                    negative);
}
template <class A>
[[gnu::always_inline]] inline BasicTrackedLanes<A> sin(const BasicTrackedLanes<A>& x) {
  const Doubles y = called(x.value, [](double v) { return std::sin(v); });
  const Doubles slope = x.exact ? Doubles{} : called(x.value, [](double v) { return std::cos(v); });
  return curved(BasicTrackedLanes<A>::unary(x, y, slope, Rounding::current().ulps.sin), x, splat(1));
}
template <class A>
[[gnu::always_inline]] inline BasicTrackedLanes<A> cos(const BasicTrackedLanes<A>& x) {
  const Doubles y = called(x.value, [](double v) { return std::cos(v); });
  const Doubles slope = x.exact ? Doubles{} : called(x.value, [](double v) { return std::sin(v); });
  return curved(BasicTrackedLanes<A>::unary(x, y, slope, Rounding::current().ulps.cos), x, splat(1));
}
template <class A>
[[gnu::always_inline]] inline BasicTrackedLanes<A> tanh(const BasicTrackedLanes<A>& x) {
  const Doubles y = called(x.value, [](double v) { return std::tanh(v); });
  return curved(BasicTrackedLanes<A>::unary(x, y, 1.0 - y * y, Rounding::current().ulps.tanh), x, splat(1));
}
template <class A>
[[gnu::always_inline]] inline BasicTrackedLanes<A> erf(const BasicTrackedLanes<A>& x) {
  const Doubles y = called(x.value, [](double v) { return std::erf(v); });
  const Doubles slope = x.exact ? Doubles{}
                                : 2 * std::numbers::inv_sqrtpi_v<double> *
                                      called(-x.value * x.value, [](double v) { return std::exp(v); });
  return curved(BasicTrackedLanes<A>::unary(x, y, slope, Rounding::current().ulps.erf), x, splat(1));
}
template <class A>
[[gnu::always_inline]] inline BasicTrackedLanes<A> pow(const BasicTrackedLanes<A>& x, const BasicTrackedLanes<A>& y) {
  Doubles power{};
  Doubles slope_x{};
  Doubles slope_y{};
  const Mask active = Pass::current().active;
  for (int i = 0; i < lane_count; ++i) {
    if (active[i] != 0) {
      power[i] = std::pow(x.value[i], y.value[i]);
      if (!x.exact) {
        slope_x[i] = y.value[i] == 0 ? 0 : y.value[i] * std::pow(x.value[i], y.value[i] - 1);
      }
      if (!y.exact) {
        slope_y[i] = x.value[i] == 0 ? 0 : power[i] * std::log(x.value[i]);
      }
    }
  }
  return BasicTrackedLanes<A>::binary(x, y, power, slope_x, slope_y, Rounding::current().ulps.pow);
}

/// Passes through a formula until every lane has taken its way.
class LanePasses {
 public:
  [[gnu::always_inline]] void begin() const {
    Pass& pass = Pass::current();
    pass.active = remaining_;
    pass.ambiguous = Mask{};
  }
  /// Takes the lanes that went the way of `result`.
  template <class A>
  [[gnu::always_inline]] void keep(const BasicTrackedLanes<A>& result, BasicTrackedLanes<A>& into) {
    const Pass& pass = Pass::current();
    into.value = select(pass.active, result.value, into.value);
    into.variance = select(pass.active, result.variance, into.variance);
    into.library = select(pass.active, result.library, into.library);
    into.worst = select(pass.active, result.worst, into.worst);
    into.overflow |= pass.active & (result.overflow | pass.ambiguous);
    into.exact = false;
    remaining_ &= ~pass.active;
  }
  [[gnu::always_inline]] bool more() const { return any(remaining_); }

 private:
  Mask remaining_ = all_lanes();
};

}  // namespace twingrad::check
