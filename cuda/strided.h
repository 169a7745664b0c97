// Where element i of a strided tensor lies: axes merged where memory allows, divisions done by multiply and shift.
// Kernels take the Offsets structs as parameters; the host makes them. Plain C++, so that the tests need no GPU.
//
//   Box<2> box = make_box<2>(call.output.shape, {call.output.strides, call.inputs[0].strides});
//   for_each_part(box, [&](const Box<2>& part, const Elements<2>& start) { ... Offsets32<2>(part) ... });
#pragma once

#include "cuda/divisor.h"

#include <twingrad/annotations.h>
#include <twingrad/shape.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace twingrad::cuda {

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
