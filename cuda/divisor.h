// Divisions by multiply and shift, for kernels that find an element's place by its coordinates. The host makes a
// divisor, kernels use it; kernels that are compiled at run time include this file as it is.
#pragma once

#include <twingrad/annotations.h>

#include <bit>
#include <cstdint>

namespace twingrad::cuda {

/// n / d for 0 <= n < 2^31 and 1 <= d <= 2^31, exact (Granlund and Montgomery, "Division by invariant integers using
/// multiplication", 1994): n + (n * magic >> 32) stays below 2^32.
struct Divisor32 {
  std::uint32_t divisor = 1;
  std::uint32_t magic = 1;
  std::uint32_t shift = 0;

  Divisor32() = default;
  explicit Divisor32(std::uint32_t d) : divisor(d), shift(static_cast<std::uint32_t>(std::bit_width(d - 1))) {
    const std::uint64_t rest = (std::uint64_t{1} << shift) - d;
    magic = static_cast<std::uint32_t>((rest << 32) / d + 1);
  }
  TWINGRAD_HOST_DEVICE std::uint32_t quotient(std::uint32_t n) const {
    const auto high = static_cast<std::uint32_t>((std::uint64_t{n} * magic) >> 32);
    return (high + n) >> shift;
  }
};

/// The same for 0 <= n < 2^63 and 1 <= d < 2^63.
struct Divisor64 {
  __extension__ using Wide = unsigned __int128;

  std::uint64_t divisor = 1;
  std::uint64_t magic = 1;
  std::uint32_t shift = 0;

  Divisor64() = default;
  explicit Divisor64(std::int64_t value)
      : divisor(static_cast<std::uint64_t>(value)), shift(static_cast<std::uint32_t>(std::bit_width(divisor - 1))) {
    const Wide rest = (Wide{1} << shift) - divisor;
    magic = static_cast<std::uint64_t>((rest << 64) / divisor + 1);
  }
  TWINGRAD_HOST_DEVICE std::int64_t quotient(std::int64_t value) const {
    const auto n = static_cast<std::uint64_t>(value);
#if defined(__CUDA_ARCH__)
    const std::uint64_t high = __umul64hi(n, magic);
#else
    const auto high = static_cast<std::uint64_t>((Wide{n} * magic) >> 64);
#endif
    return static_cast<std::int64_t>((high + n) >> shift);
  }
  TWINGRAD_HOST_DEVICE std::int64_t size() const {
    return static_cast<std::int64_t>(divisor);
  }
};

}  // namespace twingrad::cuda
