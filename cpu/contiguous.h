// Makes strided views contiguous, in tiles (copy.cpp). For kernels that would otherwise read a transposed operand one
// cache line per element.
#pragma once

#include <twingrad/kernel_call.h>

#include <cstddef>
#include <vector>

namespace twingrad::cpu {

/// Whether the view's elements lie densely along another axis than the innermost one, as in a transpose.
bool lies_across(const TensorView& view);

/// A contiguous view with the same elements, in `memory`.
TensorView contiguous_copy(const TensorView& view, std::vector<std::byte>& memory);

}  // namespace twingrad::cpu
