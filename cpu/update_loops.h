// The loops of Family::update, one per formula and element type, over contiguous operands. fused.cpp runs them in
// plans, alone or several block by block; update.cpp runs one over whole tensors: a single call, and 16-bit floats in
// plans.
#pragma once

#include <twingrad/dtype.h>

#include <cstdint>

namespace twingrad::cpu {

/// output[i] = formula(operands[0][i], ..., hyper) for i < n. `hyper`: the hyperparameters, in the elements' dtype.
/// The output may be an operand, but not lie across one.
using UpdateLoop = void (*)(std::int64_t n, void* output, const void* const* operands, const void* hyper);

/// The loop of an update op's `kernel` (index in formulas::UpdateFormulas); nullptr where `dtype` is no float.
UpdateLoop update_loop(int kernel, Dtype dtype);

/// Of one element, about.
inline constexpr double update_nanoseconds = 0.4;

}  // namespace twingrad::cpu
