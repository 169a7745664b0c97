// Checks one gradient rule at one use. Called for every op of a step, and by the check of all ops.
#pragma once

#include <twingrad/check/check.h>
#include <twingrad/check/reference.h>

#include <cstdint>
#include <source_location>
#include <vector>

namespace twingrad::check {

/// Op, attributes and types of one use; the values of integer and bool inputs are taken, floating ones are drawn in the
/// op's domain.
struct RuleUse {
  const Op& op;
  const Attributes& attributes;
  TensorType type;
  std::vector<Array<double>> inputs;
};

/// The rule of `use` against the derivative of the forward formula, with everything random drawn from `seed`.
/// `false_alarm` is the probability that a right rule is accused.
RuleResult check_rule(const RuleUse& use, std::uint64_t seed, double false_alarm, const std::source_location& where);

/// The second derivative of `use`: the gradient of sum(gradient * weights) with respect to the inputs and the cotangent
/// against forward mode through the gradient's own graph. Throws ArgumentError for a custom op.
RuleResult check_second_derivative(const RuleUse& use, std::uint64_t seed, double false_alarm,
                                   const std::source_location& where);

}  // namespace twingrad::check
