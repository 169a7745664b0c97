// Brings strided operands of elementwise kernels side by side, run by run, and says which operands that is for.
// elementwise.cpp gathers into the type that is computed in, fused.cpp the elements as they are.
//
//   gather_run(in + offset, stride, n, out);   // out[i] = in[offset + i * stride]
#pragma once

#include <twingrad/dtype.h>

#include <algorithm>
#include <cstdint>
#include <type_traits>

namespace twingrad::cpu {

/// From this many elements on an operand that lies across memory is better copied first.
inline constexpr std::int64_t worth_a_copy = 4096;

/// Whether kernels compute in the dtype itself; in float32 for the others.
inline bool is_direct(Dtype dtype) {
  return dtype != Dtype::bf16 && dtype != Dtype::f16;
}

/// `n` elements that are `stride` (0: one for all; negative: backwards) apart.
template <class From, class To>
void gather_run(const From* in, std::int64_t stride, std::int64_t n, To* out) {
  if (stride == 0) {
    std::fill_n(out, n, static_cast<To>(*in));
  } else if (stride != 1) {
    for (std::int64_t i = 0; i < n; ++i) {
      out[i] = static_cast<To>(in[i * stride]);
    }
  } else if constexpr (std::is_same_v<From, To>) {
    std::copy_n(in, n, out);
  } else {
    for (std::int64_t i = 0; i < n; ++i) {
      out[i] = static_cast<To>(in[i]);
    }
  }
}

}  // namespace twingrad::cpu
