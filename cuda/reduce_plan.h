// How one reduction is cut: which axes are walked by which threads, and how long the chunks are. Pure arithmetic on
// shapes and strides, so the order of every sum is a function of them alone, and the tests check it without a GPU.
#pragma once

#include "cuda/strided.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdlib>

namespace twingrad::cuda {

/// Threads of a block of reduce_columns.
inline constexpr unsigned column_threads = 512;

struct ReducePlan {
  Box<1> kept;     ///< row-major in the output's order
  Box<1> reduced;  ///< largest stride first
  std::int64_t outputs = 1;
  std::int64_t length = 1;  ///< reduced elements per output
  std::int64_t chunk = 1;   ///< reduced elements per group of threads
  std::int64_t chunks = 1;  ///< groups per output; above 1 a second pass combines them
  bool columns = false;     ///< neighbouring threads take neighbouring outputs, else neighbouring reduced elements
  std::uint32_t group = 1;  ///< rows: threads per output; columns: outputs per block
};

namespace detail {

inline std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

/// The smallest power of two >= n, at most `most`.
inline std::uint32_t power_of_two(std::int64_t n, std::uint32_t most) {
  return n >= most ? most : std::bit_ceil(static_cast<std::uint32_t>(std::max<std::int64_t>(n, 1)));
}

inline std::int64_t inner_stride(const Box<1>& box) {
  return box.rank == 0 ? 0 : std::abs(box.stride[0][box.rank - 1]);
}

/// Group and chunk by length: chunks of at least 1024 rows (columns) or 8192 elements (rows), at most 1024 or 4096 of
/// them.
inline void cut(ReducePlan& plan) {
  const std::int64_t least = plan.columns ? 1024 : 8192;
  const std::int64_t most_chunks = plan.columns ? 1024 : 4096;
  plan.chunk = std::max(least, ceil_div(plan.length, most_chunks));
  plan.chunks = std::max<std::int64_t>(1, ceil_div(plan.length, plan.chunk));
  if (plan.columns) {
    plan.group = power_of_two(plan.outputs, 32);
  } else {
    plan.group = plan.length > 1024 ? 256 : power_of_two(plan.length, 32);
  }
}

}  // namespace detail

/// The reduction of a strided tensor over `axes`.
inline ReducePlan plan_reduction(const Shape& shape, const Strides& strides, const Axes& axes) {
  Box<1> kept;
  Box<1> reduced;
  for (int axis = 0; axis < shape.size(); ++axis) {
    Box<1>& box = axes.contains(axis) ? reduced : kept;
    box.push_back(shape[axis], {{strides[axis]}});
  }
  // Insertion sort: at most eight axes, and equal strides keep their order.
  for (int i = 1; i < reduced.rank; ++i) {
    for (int j = i; j > 0 && std::abs(reduced.stride[0][j]) > std::abs(reduced.stride[0][j - 1]); --j) {
      std::swap(reduced.stride[0][j], reduced.stride[0][j - 1]);
      std::swap(reduced.size[j], reduced.size[j - 1]);
    }
  }
  ReducePlan plan;
  plan.outputs = kept.numel();
  plan.length = reduced.numel();
  plan.kept = collapse(kept);
  plan.reduced = collapse(reduced);
  const std::int64_t across = detail::inner_stride(plan.kept);
  const std::int64_t along = detail::inner_stride(plan.reduced);
  plan.columns = plan.outputs > 1 && plan.length > 1 && (along == 0 || (across != 0 && across < along));
  detail::cut(plan);
  return plan;
}

/// The combination of the chunks' results, as the first pass left them.
inline ReducePlan plan_second_pass(const ReducePlan& first) {
  ReducePlan plan;
  plan.columns = first.columns;
  plan.outputs = first.outputs;
  plan.length = first.chunks;
  plan.kept.push_back(first.outputs, {{first.columns ? 1 : first.chunks}});
  plan.reduced.push_back(first.chunks, {{first.columns ? first.outputs : 1}});
  detail::cut(plan);
  return plan;
}

}  // namespace twingrad::cuda
