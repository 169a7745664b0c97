// Family::copy: casts, concatenation and placing. Elements of one dtype are moved as words, bit by bit.
#include "cuda/convert.h"
#include "cuda/copy_plan.h"
#include "cuda/element.cuh"
#include "cuda/families.h"
#include "cuda/launch.h"
#include "cuda/strided.h"

#include <twingrad/kernels.h>

#include <array>
#include <cstdint>

namespace twingrad::cuda {
namespace {

template <class To, class From>
__device__ __forceinline__ To convert(From value) {
  return from_compute<To>(convert_number<compute_t<To>>(to_compute(value)));
}

/// Float pairs, both contiguous and aligned, `Lanes` elements per thread: reads and writes once; limit: memory
/// bandwidth.
template <class To, class From, int Lanes>
__global__ void __launch_bounds__(default_threads) cast_vectors(const From* source, To* target, std::int64_t count) {
  const std::int64_t first = (std::int64_t{blockIdx.x} * default_threads + threadIdx.x) * Lanes;
  if (first >= count) {
    return;
  }
  if (count - first < Lanes) {
    for (std::int64_t i = first; i < count; ++i) {
      target[i] = convert<To>(source[i]);
    }
    return;
  }
  const auto in = *reinterpret_cast<const Vector<From, Lanes>*>(source + first);
  Vector<To, Lanes> out;
#pragma unroll
  for (int lane = 0; lane < Lanes; ++lane) {
    out.lane[lane] = convert<To>(in.lane[lane]);
  }
  *reinterpret_cast<Vector<To, Lanes>*>(target + first) = out;
}

/// Any pair at any strides, one element per thread; limit: partly used sectors where an inner stride is not 1.
template <class To, class From>
__global__ void __launch_bounds__(default_threads)
    cast_elements(const __grid_constant__ Offsets32<2> offsets, const From* source, To* target, std::uint32_t count) {
  const std::uint32_t index = blockIdx.x * default_threads + threadIdx.x;
  if (index >= count) {
    return;
  }
  std::int32_t offset[2];
  offsets.locate(index, offset);
  target[offset[0]] = convert<To>(source[offset[1]]);
}

/// One word per thread; limit: memory bandwidth with words of 16 bytes, else index arithmetic and sectors.
template <class Word>
__global__ void __launch_bounds__(default_threads)
    move_words(const __grid_constant__ Offsets32<2> offsets, const Word* source, Word* target, std::uint32_t count) {
  const std::uint32_t index = blockIdx.x * default_threads + threadIdx.x;
  if (index >= count) {
    return;
  }
  std::int32_t offset[2];
  offsets.locate(index, offset);
  target[offset[0]] = source[offset[1]];
}

constexpr int tile = 32;
constexpr int tile_rows = 8;

/// The two axes of a transposed copy.
struct TileAxes {
  std::uint32_t height;        ///< of the axis along which the source is dense
  std::uint32_t width;         ///< of the last axis, along which the target is dense
  std::int32_t target_stride;  ///< of the first
  std::int32_t source_stride;  ///< of the last
  Divisor32 down, right;       ///< tiles along each
};

/// One 32 x 32 tile per block through shared memory (a row of 33, so that columns fall into different banks): reads
/// and writes once, both coalesced; limit: memory bandwidth.
template <class Word>
__global__ void __launch_bounds__(tile* tile_rows)
    move_tiles(const __grid_constant__ Offsets32<2> others, TileAxes axes, const Word* source, Word* target) {
  __shared__ Word shared[tile][tile + 1];
  const std::uint32_t rest = axes.right.quotient(blockIdx.x);
  const std::uint32_t other = axes.down.quotient(rest);
  const std::uint32_t row = (rest - other * axes.down.divisor) * tile;
  const std::uint32_t column = (blockIdx.x - rest * axes.right.divisor) * tile;
  const std::uint32_t across = threadIdx.x % tile;
  const std::uint32_t along = threadIdx.x / tile;
  std::int32_t offset[2];
  others.locate(other, offset);
#pragma unroll
  for (std::uint32_t i = along; i < tile; i += tile_rows) {
    if (row + across < axes.height && column + i < axes.width) {
      shared[i][across] = source[offset[1] + static_cast<std::int32_t>(row + across) +
                                 static_cast<std::int32_t>(column + i) * axes.source_stride];
    }
  }
  __syncthreads();
#pragma unroll
  for (std::uint32_t i = along; i < tile; i += tile_rows) {
    if (row + i < axes.height && column + across < axes.width) {
      target[offset[0] + static_cast<std::int32_t>(row + i) * axes.target_stride +
             static_cast<std::int32_t>(column + across)] = shared[across][i];
    }
  }
}

template <class Word>
void move_by_tiles(const Box<2>& box, int axis, const Word* source, Word* target, std::string_view op,
                   Context& context) {
  const int inner = box.rank - 1;
  Box<2> others;
  for (int i = 0; i < inner; ++i) {
    if (i != axis) {
      others.push_back(box.size[i], {{box.stride[0][i], box.stride[1][i]}});
    }
  }
  TileAxes axes;
  axes.height = static_cast<std::uint32_t>(box.size[axis]);
  axes.width = static_cast<std::uint32_t>(box.size[inner]);
  axes.target_stride = static_cast<std::int32_t>(box.stride[0][axis]);
  axes.source_stride = static_cast<std::int32_t>(box.stride[1][inner]);
  axes.down = Divisor32((axes.height + tile - 1) / tile);
  axes.right = Divisor32((axes.width + tile - 1) / tile);
  const std::int64_t blocks = others.numel() * axes.down.divisor * axes.right.divisor;
  launch(context, op, move_tiles<Word>, blocks_for(blocks, 1), static_cast<unsigned>(tile * tile_rows),
         Offsets32<2>(others), axes, source, target);
}

template <class Word>
void move_part(const Box<2>& box, const std::byte* source, std::byte* target, std::string_view op, Context& context) {
  const auto* from = reinterpret_cast<const Word*>(source);
  auto* to = reinterpret_cast<Word*>(target);
  if constexpr (sizeof(Word) < 16) {
    const int axis = transposed_axis(box);
    if (axis >= 0) {
      return move_by_tiles(box, axis, from, to, op, context);
    }
  }
  const std::int64_t count = box.numel();
  launch(context, op, move_words<Word>, blocks_for(count), default_threads, Offsets32<2>(box), from, to,
         static_cast<std::uint32_t>(count));
}

/// Moves `source` to memory at `target` with the given strides.
void move(const TensorView& source, std::byte* target, const Strides& target_strides, std::string_view op,
          Context& context) {
  const auto bytes = static_cast<std::int64_t>(size_of(source.dtype));
  const Box<2> box = make_box<2>(source.shape, {target_strides, source.strides});
  if (box.numel() == 0) {
    return;
  }
  const auto* from = static_cast<const std::byte*>(source.data);
  if (box.rank == 0 || (box.rank == 1 && box.stride[0][0] == 1 && box.stride[1][0] == 1)) {
    check(cudaMemcpyAsync(target, from, static_cast<std::size_t>(box.numel() * bytes), cudaMemcpyDeviceToDevice,
                          context.stream),
          "cudaMemcpyAsync on the device", op);
    return;
  }
  for_each_part<2>(box, [&](const Box<2>& part, const Elements<2>& start) {
    std::byte* to_part = target + start[0] * bytes;
    const std::byte* from_part = from + start[1] * bytes;
    const std::int64_t word = widest_word(part, reinterpret_cast<std::uintptr_t>(to_part),
                                          reinterpret_cast<std::uintptr_t>(from_part), bytes);
    const Box<2> words = in_words(part, word / bytes);
    switch (word) {
      case 1:
        return move_part<std::uint8_t>(words, from_part, to_part, op, context);
      case 2:
        return move_part<std::uint16_t>(words, from_part, to_part, op, context);
      case 4:
        return move_part<std::uint32_t>(words, from_part, to_part, op, context);
      case 8:
        return move_part<std::uint64_t>(words, from_part, to_part, op, context);
      default:
        return move_part<uint4>(words, from_part, to_part, op, context);
    }
  });
}

template <class To, class From>
void cast_to(const KernelCall& call, Context& context) {
  const TensorView& input = call.inputs[0];
  const auto* source = static_cast<const From*>(input.data);
  To* target = call.output.as<To>();
  const std::string_view op = call.op->name;
  const Box<2> box = make_box<2>(input.shape, {contiguous_strides(call.output.shape), input.strides});
  if constexpr (std::is_floating_point_v<compute_t<To>> && std::is_floating_point_v<compute_t<From>>) {
    constexpr int lanes = lanes_of<To> < lanes_of<From> ? lanes_of<To> : lanes_of<From>;
    const bool aligned = reinterpret_cast<std::uintptr_t>(source) % (sizeof(From) * lanes) == 0 &&
                         reinterpret_cast<std::uintptr_t>(target) % (sizeof(To) * lanes) == 0;
    if (aligned && box.rank == 1 && box.stride[1][0] == 1) {
      const std::int64_t count = box.numel();
      launch(context, op, cast_vectors<To, From, lanes>, blocks_for(count, default_threads * lanes), default_threads,
             source, target, count);
      return;
    }
  }
  for_each_part<2>(box, [&](const Box<2>& part, const Elements<2>& start) {
    const std::int64_t count = part.numel();
    launch(context, op, cast_elements<To, From>, blocks_for(count), default_threads, Offsets32<2>(part),
           source + start[1], target + start[0], static_cast<std::uint32_t>(count));
  });
}

void cast(const KernelCall& call, Context& context) {
  const TensorView& input = call.inputs[0];
  if (input.dtype == call.output.dtype) {
    return move(input, call.output.as<std::byte>(), contiguous_strides(call.output.shape), call.op->name, context);
  }
  visit(input.dtype, [&]<class From>(Type<From>) {
    visit(call.output.dtype, [&]<class To>(Type<To>) {
      if constexpr (!std::is_same_v<From, To>) {
        cast_to<To, From>(call, context);
      }
    });
  });
}

/// Element `offset` of the output.
std::byte* place(const TensorView& output, std::int64_t offset) {
  return output.as<std::byte>() + offset * static_cast<std::int64_t>(size_of(output.dtype));
}

void cat(const KernelCall& call, Context& context) {
  const auto axis = static_cast<int>(call.attributes.ints[0]);
  const Strides strides = contiguous_strides(call.output.shape);
  std::int64_t begin = 0;
  for (const TensorView& input : call.inputs) {
    move(input, place(call.output, begin * strides[axis]), strides, call.op->name, context);
    begin += input.shape[axis];
  }
}

void slice_embed(const KernelCall& call, Context& context) {
  const auto axis = static_cast<int>(call.attributes.ints[0]);
  const std::int64_t start = call.attributes.ints[1];
  const std::int64_t step = call.attributes.ints[2];
  const std::size_t bytes = static_cast<std::size_t>(call.output.numel()) * size_of(call.output.dtype);
  check(cudaMemsetAsync(call.output.data, 0, bytes, context.stream), "cudaMemsetAsync", call.op->name);
  Strides strides = contiguous_strides(call.output.shape);
  std::byte* target = place(call.output, start * strides[axis]);
  strides[axis] *= step;
  move(call.inputs[0], target, strides, call.op->name, context);
}

/// Writes once; limit: memory bandwidth, float64 arithmetic on GPUs with little of it.
template <class T>
__global__ void __launch_bounds__(default_threads)
    arange_kernel(T* out, double start, double step, std::int64_t count) {
  const std::int64_t i = std::int64_t{blockIdx.x} * default_threads + threadIdx.x;
  if (i < count) {
    out[i] = convert<T>(start + static_cast<double>(i) * step);
  }
}

void arange(const KernelCall& call, Context& context) {
  const std::int64_t count = call.output.numel();
  visit(call.output.dtype, [&]<class T>(Type<T>) {
    launch(context, call.op->name, arange_kernel<T>, blocks_for(count), default_threads, call.output.as<T>(),
           call.attributes.reals[0], call.attributes.reals[1], count);
  });
}

}  // namespace

void run_copy(const KernelCall& call, Context& context) {
  switch (static_cast<Copy>(call.op->kernel)) {
    case Copy::cast:
      return cast(call, context);
    case Copy::cat:
      return cat(call, context);
    case Copy::slice_embed:
      return slice_embed(call, context);
    case Copy::arange:
      return arange(call, context);
  }
}

}  // namespace twingrad::cuda
