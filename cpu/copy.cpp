// Family::copy: casts, concatenation and placing, from and to any strides. Limited by memory: each element is read and
// written once; a transposed source is walked in tiles so that both sides stay within cache lines.
#include <twingrad/kernels.h>
#include <twingrad/op.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "cpu/contiguous.h"
#include "cpu/convert.h"
#include "cpu/families.h"
#include "cpu/parallel.h"
#include "cpu/strided.h"

namespace twingrad::cpu {
namespace {

constexpr std::int64_t tile = 32;
constexpr double nanoseconds = 0.3;

using Walk = StridedLoop<2>;  // operand 0: target, operand 1: source

template <class To, class From>
void convert_run(To* target, std::int64_t target_stride, const From* source, std::int64_t source_stride,
                 std::int64_t n) {
  if (target_stride == 1 && source_stride == 1) {
    for (std::int64_t i = 0; i < n; ++i) {
      target[i] = convert<To>(source[i]);
    }
  } else if (target_stride == 1 && source_stride == 0) {
    std::fill_n(target, n, convert<To>(*source));
  } else {
    for (std::int64_t i = 0; i < n; ++i) {
      target[i * target_stride] = convert<To>(source[i * source_stride]);
    }
  }
}

/// The axis, other than the innermost, along which the source lies densely; the walk's rank when there is none.
std::size_t transposed_axis(const Walk& walk) {
  const std::size_t inner = walk.rank() - 1;
  if (std::abs(walk.step(inner, 1)) <= 1) {
    return walk.rank();
  }
  for (std::size_t axis = 0; axis < inner; ++axis) {
    if (std::abs(walk.step(axis, 1)) == 1) {
      return axis;
    }
  }
  return walk.rank();
}

/// Tiles of (axis, innermost) for every position of the other axes.
template <class To, class From>
void convert_tiled(const Walk& walk, std::size_t axis, To* target, const From* source) {
  const std::size_t inner = walk.rank() - 1;
  const std::int64_t height = walk.length(axis);
  const std::int64_t width = walk.length(inner);
  const std::int64_t down = (height + tile - 1) / tile;
  const std::int64_t right = (width + tile - 1) / tile;
  const std::int64_t others = walk.numel() / (height * width);
  parallel_for(others * down * right, nanoseconds * tile * tile, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t item = begin; item < end; ++item) {
      To* to = target;
      const From* from = source;
      std::int64_t rest = item / (down * right);
      for (std::size_t other = inner; other-- > 0;) {
        if (other != axis) {
          to += rest % walk.length(other) * walk.step(other, 0);
          from += rest % walk.length(other) * walk.step(other, 1);
          rest /= walk.length(other);
        }
      }
      const std::int64_t row = item / right % down * tile;
      const std::int64_t column = item % right * tile;
      const std::int64_t rows = std::min(tile, height - row);
      const std::int64_t columns = std::min(tile, width - column);
      to += row * walk.step(axis, 0) + column * walk.step(inner, 0);
      from += row * walk.step(axis, 1) + column * walk.step(inner, 1);
      // Each cache line of the source is used up at once: lines a power of two apart evict each other.
      To buffer[tile * tile];
      for (std::int64_t j = 0; j < columns; ++j) {
        convert_run(buffer + j * tile, 1, from + j * walk.step(inner, 1), walk.step(axis, 1), rows);
      }
      for (std::int64_t i = 0; i < rows; ++i) {
        convert_run(to + i * walk.step(axis, 0), walk.step(inner, 0), buffer + i, tile, columns);
      }
    }
  });
}

template <class To, class From>
void convert_view(const Shape& shape, To* target, const Strides& target_strides, const From* source,
                  const Strides& source_strides) {
  const Walk walk(shape, {&target_strides, &source_strides});
  if (walk.numel() == 0) {
    return;
  }
  const std::size_t axis = transposed_axis(walk);
  if (axis < walk.rank()) {
    return convert_tiled(walk, axis, target, source);
  }
  parallel_for(walk.numel(), nanoseconds, [&](std::int64_t begin, std::int64_t end) {
    walk.for_each_run(begin, end, [&](std::int64_t, const auto& offsets, std::int64_t n) {
      convert_run(target + offsets[0], walk.inner_stride(0), source + offsets[1], walk.inner_stride(1), n);
    });
  });
}

/// Moves a view to `target`, elements of one size being all the same.
void move_view(const TensorView& source, std::byte* target, const Strides& target_strides) {
  const auto move = [&]<class T>(Type<T>) {
    convert_view(source.shape, reinterpret_cast<T*>(target), target_strides, source.as<const T>(), source.strides);
  };
  switch (size_of(source.dtype)) {
    case 1:
      return move(Type<std::uint8_t>{});
    case 2:
      return move(Type<std::uint16_t>{});
    case 4:
      return move(Type<std::uint32_t>{});
    default:
      return move(Type<std::uint64_t>{});
  }
}

std::byte* element(const TensorView& view, std::int64_t offset) {
  return view.as<std::byte>() + offset * static_cast<std::int64_t>(size_of(view.dtype));
}

void cast(const KernelCall& call) {
  const TensorView& input = call.inputs[0];
  const Strides strides = contiguous_strides(call.output.shape);
  if (input.dtype == call.output.dtype) {
    return move_view(input, call.output.as<std::byte>(), strides);
  }
  visit(input.dtype, [&]<class From>(Type<From>) {
    visit(call.output.dtype, [&]<class To>(Type<To>) {
      convert_view(input.shape, call.output.as<To>(), strides, input.as<const From>(), input.strides);
    });
  });
}

void cat(const KernelCall& call) {
  const auto axis = static_cast<int>(call.attributes.ints[0]);
  const Strides strides = contiguous_strides(call.output.shape);
  std::int64_t begin = 0;
  for (const TensorView& input : call.inputs) {
    move_view(input, element(call.output, begin * strides[axis]), strides);
    begin += input.shape[axis];
  }
}

void slice_embed(const KernelCall& call) {
  const auto axis = static_cast<int>(call.attributes.ints[0]);
  const std::int64_t start = call.attributes.ints[1];
  const std::int64_t step = call.attributes.ints[2];
  const auto bytes = static_cast<std::int64_t>(size_of(call.output.dtype));
  parallel_for(call.output.numel() * bytes, 0.05, [&](std::int64_t begin, std::int64_t end) {
    std::memset(call.output.as<std::byte>() + begin, 0, static_cast<std::size_t>(end - begin));
  });
  Strides strides = contiguous_strides(call.output.shape);
  std::byte* target = element(call.output, start * strides[axis]);
  strides[axis] *= step;
  move_view(call.inputs[0], target, strides);
}

void arange(const KernelCall& call) {
  const double start = call.attributes.reals[0];
  const double step = call.attributes.reals[1];
  visit(call.output.dtype, [&]<class T>(Type<T>) {
    T* out = call.output.as<T>();
    parallel_for(call.output.numel(), 1.0, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        out[i] = convert<T>(start + static_cast<double>(i) * step);
      }
    });
  });
}

}  // namespace

bool lies_across(const TensorView& view) {
  const Strides target = contiguous_strides(view.shape);
  const Walk walk(view.shape, {&target, &view.strides});
  return transposed_axis(walk) < walk.rank();
}

TensorView contiguous_copy(const TensorView& view, std::vector<std::byte>& memory) {
  TensorView result = view;
  memory.resize(static_cast<std::size_t>(view.numel()) * size_of(view.dtype));
  result.data = memory.data();
  result.strides = contiguous_strides(view.shape);
  move_view(view, memory.data(), result.strides);
  return result;
}

void copy(const KernelCall& call) {
  switch (static_cast<Copy>(call.op->kernel)) {
    case Copy::cast:
      return cast(call);
    case Copy::cat:
      return cat(call);
    case Copy::slice_embed:
      return slice_embed(call);
    case Copy::arange:
      return arange(call);
  }
}

}  // namespace twingrad::cpu
