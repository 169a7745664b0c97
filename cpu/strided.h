// Walks several strided windows of one shape together. Axes that no operand needs apart are merged first, so that most
// walks become one long run; within a run each operand has one constant stride, and kernels specialise on 1 and 0.
//
//   const StridedLoop<2> loop(shape, {&a.strides, &b.strides});
//   loop.for_each_run(0, loop.numel(), [&](std::int64_t flat, const auto& offsets, std::int64_t n) {
//     // elements flat .. flat + n - 1 in row-major order; operand i is at offsets[i] + j * loop.inner_stride(i)
//   });
#pragma once

#include <twingrad/shape.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace twingrad::cpu {

template <std::size_t N>
class StridedLoop {
 public:
  using Offsets = std::array<std::int64_t, N>;

  /// A null pointer among `strides` is an operand that is not there; its offset stays 0.
  StridedLoop(const Shape& shape, const std::array<const Strides*, N>& strides) {
    for (int axis = 0; axis < shape.size(); ++axis) {
      numel_ *= shape[axis];
      if (shape[axis] == 1) {
        continue;
      }
      Offsets step{};
      for (std::size_t i = 0; i < N; ++i) {
        step[i] = strides[i] != nullptr ? (*strides[i])[axis] : 0;
      }
      if (rank_ > 0 && merges(step, shape[axis])) {
        axes_[rank_ - 1].length *= shape[axis];
        axes_[rank_ - 1].step = step;
      } else {
        axes_[rank_++] = {shape[axis], step};
      }
    }
    if (rank_ == 0) {
      axes_[rank_++] = {1, Offsets{}};
    }
  }

  std::int64_t numel() const { return numel_; }
  std::int64_t inner_stride(std::size_t operand) const { return axes_[rank_ - 1].step[operand]; }

  // The merged axes, outermost first.
  std::size_t rank() const { return rank_; }
  std::int64_t length(std::size_t axis) const { return axes_[axis].length; }
  std::int64_t step(std::size_t axis, std::size_t operand) const { return axes_[axis].step[operand]; }

  /// Calls body(flat, offsets, n) for the runs along the innermost axis that cover elements begin .. end - 1.
  template <class Body>
  void for_each_run(std::int64_t begin, std::int64_t end, const Body& body) const {
    if (begin >= end) {
      return;
    }
    std::array<std::int64_t, max_rank> position{};
    Offsets offsets{};
    std::int64_t rest = begin;
    for (std::size_t axis = rank_; axis-- > 0;) {
      position[axis] = rest % axes_[axis].length;
      rest /= axes_[axis].length;
      advance(offsets, axis, position[axis]);
    }
    std::int64_t flat = begin;
    while (flat < end) {
      const std::int64_t n = std::min(axes_[rank_ - 1].length - position[rank_ - 1], end - flat);
      body(flat, offsets, n);
      flat += n;
      // The next run starts at the innermost axis' beginning, one step further out.
      advance(offsets, rank_ - 1, -position[rank_ - 1]);
      position[rank_ - 1] = 0;
      for (std::size_t axis = rank_ - 1; axis-- > 0;) {
        if (++position[axis] < axes_[axis].length) {
          advance(offsets, axis, 1);
          break;
        }
        advance(offsets, axis, 1 - position[axis]);
        position[axis] = 0;
      }
    }
  }

 private:
  struct Axis {
    std::int64_t length = 1;
    Offsets step{};
  };

  bool merges(const Offsets& step, std::int64_t length) const {
    for (std::size_t i = 0; i < N; ++i) {
      if (axes_[rank_ - 1].step[i] != step[i] * length) {
        return false;
      }
    }
    return true;
  }
  void advance(Offsets& offsets, std::size_t axis, std::int64_t count) const {
    for (std::size_t i = 0; i < N; ++i) {
      offsets[i] += axes_[axis].step[i] * count;
    }
  }

  std::array<Axis, max_rank> axes_{};
  std::size_t rank_ = 0;
  std::int64_t numel_ = 1;
};

}  // namespace twingrad::cpu
