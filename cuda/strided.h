// Where element i of a strided tensor lies: axes merged where memory allows, divisions done by multiply and shift.
// Kernels take the Offsets structs as parameters; the host makes them. Plain C++, so that the tests need no GPU.
//
//   Box<2> box = make_box<2>(call.output.shape, {call.output.strides, call.inputs[0].strides});
//   for_each_part(box, [&](const Box<2>& part, const Elements<2>& start) { ... Offsets32<2>(part) ... });
#pragma once

#include <twingrad/annotations.h>
#include <twingrad/shape.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

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

/// An element offset or start for each of N operands.
template <std::size_t N>
struct Elements {
  std::int64_t value[N] = {};

  std::int64_t operator[](std::size_t n) const { return value[n]; }
  std::int64_t& operator[](std::size_t n) { return value[n]; }
};

/// N operands walked together in row-major order of one shape. Rank 0 is one element.
template <std::size_t N>
struct Box {
  int rank = 0;
  std::int64_t size[max_rank] = {};
  std::int64_t stride[N][max_rank] = {};

  std::int64_t numel() const {
    std::int64_t product = 1;
    for (int axis = 0; axis < rank; ++axis) {
      product *= size[axis];
    }
    return product;
  }
  void push_back(std::int64_t axis_size, const Elements<N>& strides) {
    size[rank] = axis_size;
    for (std::size_t n = 0; n < N; ++n) {
      stride[n][rank] = strides[n];
    }
    ++rank;
  }
};

/// Drops axes of length 1 and merges neighbours that every operand walks as one.
template <std::size_t N>
Box<N> collapse(const Box<N>& box) {
  Box<N> out;
  for (int axis = 0; axis < box.rank; ++axis) {
    if (box.size[axis] == 1) {
      continue;
    }
    bool merges = out.rank > 0;
    for (std::size_t n = 0; merges && n < N; ++n) {
      merges = out.stride[n][out.rank - 1] == box.stride[n][axis] * box.size[axis];
    }
    if (!merges) {
      Elements<N> strides;
      for (std::size_t n = 0; n < N; ++n) {
        strides[n] = box.stride[n][axis];
      }
      out.push_back(box.size[axis], strides);
      continue;
    }
    out.size[out.rank - 1] *= box.size[axis];
    for (std::size_t n = 0; n < N; ++n) {
      out.stride[n][out.rank - 1] = box.stride[n][axis];
    }
  }
  return out;
}

/// The collapsed box of `shape` with one list of strides per operand.
template <std::size_t N>
Box<N> make_box(const Shape& shape, const std::array<Strides, N>& strides) {
  Box<N> box;
  for (int axis = 0; axis < shape.size(); ++axis) {
    Elements<N> steps;
    for (std::size_t n = 0; n < N; ++n) {
      steps[n] = strides[n][axis];
    }
    box.push_back(shape[axis], steps);
  }
  return collapse(box);
}

/// How far operand n's axis reaches, in elements.
template <std::size_t N>
std::int64_t reach(const Box<N>& box, std::size_t n, int axis) {
  return std::abs(box.stride[n][axis]) * (box.size[axis] - 1);
}

/// Whether 32-bit arithmetic holds every index and offset below `limit`.
template <std::size_t N>
bool fits(const Box<N>& box, std::int64_t limit) {
  if (box.numel() >= limit) {
    return false;
  }
  for (std::size_t n = 0; n < N; ++n) {
    std::int64_t total = 0;
    for (int axis = 0; axis < box.rank; ++axis) {
      total += reach(box, n, axis);
    }
    if (total >= limit) {
      return false;
    }
  }
  return true;
}

inline constexpr std::int64_t limit32 = std::int64_t{1} << 31;

/// Calls function(part, start) for parts of the box that each fit 32-bit arithmetic: one part almost always. Cuts the
/// axis that reaches farthest, at a multiple of 16 where it can so that vectors stay whole and aligned.
template <std::size_t N, class Function>
void for_each_part(const Box<N>& box, const Function& function, const Elements<N>& start = {},
                   std::int64_t limit = limit32) {
  if (fits(box, limit)) {
    function(box, start);
    return;
  }
  int cut = 0;
  std::int64_t farthest = -1;
  for (int axis = 0; axis < box.rank; ++axis) {
    std::int64_t far = box.size[axis] - 1;
    for (std::size_t n = 0; n < N; ++n) {
      far = std::max(far, reach(box, n, axis));
    }
    if (box.size[axis] > 1 && far > farthest) {
      farthest = far;
      cut = axis;
    }
  }
  const std::int64_t half = box.size[cut] >= 32 ? box.size[cut] / 32 * 16 : box.size[cut] / 2;
  Box<N> part = box;
  part.size[cut] = half;
  for_each_part(part, function, start, limit);
  part.size[cut] = box.size[cut] - half;
  Elements<N> moved = start;
  for (std::size_t n = 0; n < N; ++n) {
    moved[n] += half * box.stride[n][cut];
  }
  for_each_part(part, function, moved, limit);
}

/// Kernel parameter: offsets of N operands by 32-bit arithmetic. The box must pass fits(box, limit32).
template <std::size_t N>
struct Offsets32 {
  int rank = 1;
  Divisor32 size[max_rank];
  std::int32_t stride[N][max_rank] = {};

  explicit Offsets32(const Box<N>& box) : rank(box.rank > 0 ? box.rank : 1) {
    for (int axis = 0; axis < box.rank; ++axis) {
      size[axis] = Divisor32(static_cast<std::uint32_t>(std::max<std::int64_t>(box.size[axis], 1)));
      for (std::size_t n = 0; n < N; ++n) {
        stride[n][axis] = static_cast<std::int32_t>(box.stride[n][axis]);
      }
    }
  }
  TWINGRAD_HOST_DEVICE void locate(std::uint32_t index, std::int32_t (&offset)[N]) const {
    for (std::size_t n = 0; n < N; ++n) {
      offset[n] = 0;
    }
    for (int axis = rank - 1; axis > 0; --axis) {
      const std::uint32_t rest = size[axis].quotient(index);
      const auto coordinate = static_cast<std::int32_t>(index - rest * size[axis].divisor);
      for (std::size_t n = 0; n < N; ++n) {
        offset[n] += coordinate * stride[n][axis];
      }
      index = rest;
    }
    for (std::size_t n = 0; n < N; ++n) {
      offset[n] += static_cast<std::int32_t>(index) * stride[n][0];
    }
  }
};

/// Kernel parameter: offsets of N operands by 64-bit arithmetic, for any box without empty axes.
template <std::size_t N>
struct Offsets64 {
  int rank = 1;
  Divisor64 size[max_rank];
  std::int64_t stride[N][max_rank] = {};

  explicit Offsets64(const Box<N>& box) : rank(box.rank > 0 ? box.rank : 1) {
    for (int axis = 0; axis < box.rank; ++axis) {
      size[axis] = Divisor64(std::max<std::int64_t>(box.size[axis], 1));
      for (std::size_t n = 0; n < N; ++n) {
        stride[n][axis] = box.stride[n][axis];
      }
    }
  }
  TWINGRAD_HOST_DEVICE void locate(std::int64_t index, std::int64_t (&offset)[N]) const {
    for (std::size_t n = 0; n < N; ++n) {
      offset[n] = 0;
    }
    for (int axis = rank - 1; axis > 0; --axis) {
      const std::int64_t rest = size[axis].quotient(index);
      const std::int64_t coordinate = index - rest * size[axis].size();
      for (std::size_t n = 0; n < N; ++n) {
        offset[n] += coordinate * stride[n][axis];
      }
      index = rest;
    }
    for (std::size_t n = 0; n < N; ++n) {
      offset[n] += index * stride[n][0];
    }
  }
  /// The first operand's offset.
  TWINGRAD_HOST_DEVICE std::int64_t offset(std::int64_t index) const {
    std::int64_t all[N];
    locate(index, all);
    return all[0];
  }
};

}  // namespace twingrad::cuda
