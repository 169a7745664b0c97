// The first half of drawing a case: which shapes, attributes and dtypes an op is given. make_case() calls it, and then
// draws values and how they lie in memory. Private to the cross-check.
//
//   const std::int64_t index_limit = make_inputs(drawn, filter, draws);
#pragma once

#include <twingrad/check/draws.h>
#include <twingrad/check/op_cases.h>

#include <array>
#include <cstdint>

namespace twingrad::check {

inline constexpr std::array all_dtypes = {Dtype::f32, Dtype::f64, Dtype::bf16, Dtype::f16,
                                          Dtype::i32, Dtype::i64, Dtype::u8,   Dtype::boolean};

/// Draws attributes and inputs, without their values, for the op, number and dtype that `drawn` has. Returns the number
/// that its indices stay below, 1 where it has none. Throws ShapeError when the op does not take the filter's shape.
std::int64_t make_inputs(OpCase& drawn, const CaseFilter& filter, Draws& draws);

}  // namespace twingrad::check
