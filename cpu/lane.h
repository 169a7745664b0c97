// A float32 on which the formulas (core/formulas.h) run the functions of lane_math.h and lane_wide.h in place of the C
// library's: they call exp, tanh, ... without a namespace, so that the number type brings its own. A loop over Lanes is
// vectorised like one over floats.
//
//   y[i] = formulas::Gelu::apply(Lane(x[i]), parameters).value;
#pragma once

#include <type_traits>

#include "cpu/lane_math.h"
#include "cpu/lane_wide.h"

namespace twingrad::cpu {

/// Any: sine and cosine take all numbers; otherwise those below lane_math::near_limit.
template <bool Any = true>
struct LaneOf {
  float value;

  LaneOf() = default;
  template <class Number>
  requires std::is_arithmetic_v<Number> TWINGRAD_LANE explicit LaneOf(Number number)
      : value(static_cast<float>(number)) {}

  TWINGRAD_LANE friend LaneOf operator+(LaneOf x, LaneOf y) { return LaneOf(x.value + y.value); }
  TWINGRAD_LANE friend LaneOf operator-(LaneOf x, LaneOf y) { return LaneOf(x.value - y.value); }
  TWINGRAD_LANE friend LaneOf operator*(LaneOf x, LaneOf y) { return LaneOf(x.value * y.value); }
  TWINGRAD_LANE friend LaneOf operator/(LaneOf x, LaneOf y) { return LaneOf(x.value / y.value); }
  TWINGRAD_LANE friend LaneOf operator-(LaneOf x) { return LaneOf(-x.value); }
  TWINGRAD_LANE friend bool operator<(LaneOf x, LaneOf y) { return x.value < y.value; }
  TWINGRAD_LANE friend bool operator>(LaneOf x, LaneOf y) { return x.value > y.value; }

  TWINGRAD_LANE friend LaneOf exp(LaneOf x) { return LaneOf(lane_math::exp(x.value)); }
  TWINGRAD_LANE friend LaneOf expm1(LaneOf x) { return LaneOf(lane_math::expm1(x.value)); }
  TWINGRAD_LANE friend LaneOf log(LaneOf x) { return LaneOf(lane_math::log(x.value)); }
  TWINGRAD_LANE friend LaneOf log1p(LaneOf x) { return LaneOf(lane_math::log1p(x.value)); }
  TWINGRAD_LANE friend LaneOf tanh(LaneOf x) { return LaneOf(lane_math::tanh(x.value)); }
  TWINGRAD_LANE friend LaneOf erf(LaneOf x) { return LaneOf(lane_math::erf(x.value)); }
  TWINGRAD_LANE friend LaneOf sin(LaneOf x) { return LaneOf(lane_math::sin<Any>(x.value)); }
  TWINGRAD_LANE friend LaneOf cos(LaneOf x) { return LaneOf(lane_math::cos<Any>(x.value)); }
  TWINGRAD_LANE friend LaneOf pow(LaneOf x, LaneOf y) { return LaneOf(lane_math::pow(x.value, y.value)); }
};
using Lane = LaneOf<>;

}  // namespace twingrad::cpu
