// index_add and scatter_add: sums by index without atomics. The elements of one destination are added by one thread,
// in the order of the index, in compute_t and rounded once; so the result does not depend on the GPU or the launch.
//
// Who adds? The element whose index is named there for the first time (the head) adds its followers. For short lists
// each element looks through the list itself; for long ones the list is sorted by destination first, and stays in
// order within a destination because the radix sort is stable.
#include "cuda/element.cuh"
#include "cuda/index.h"
#include "cuda/index_check.cuh"
#include "cuda/launch.h"
#include "cuda/strided.h"

#include <cub/device/device_radix_sort.cuh>

#include <algorithm>
#include <bit>
#include <cstdint>

namespace twingrad::cuda {
namespace {

/// Up to this many indices along the axis are looked through, which costs their square in cached reads.
constexpr std::int64_t longest_search = 128;

void check_cub(cudaError_t status, std::string_view op) {
  check(status, "cub::DeviceRadixSort", op);
}

/// Integers wrap around; bool adds by or.
template <class C>
__device__ __forceinline__ C add(C a, C b) {
  if constexpr (std::is_same_v<C, bool>) {
    return a || b;
  } else if constexpr (std::is_integral_v<C>) {
    return static_cast<C>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
  } else {
    return a + b;
  }
}

/// The sums of both ops seen as one. Source element e lies on a line along the axis, at position j of `count`.
struct Sums {
  Offsets64<2> line;        ///< of e: where its line starts in the output, and in the index
  Divisor64 inner;          ///< source elements between neighbours of a line
  Divisor64 count;          ///< length of a line
  std::int64_t step;        ///< output elements between neighbours along the axis
  std::int64_t index_step;  ///< index elements between neighbours along the axis
  std::int64_t total;       ///< source elements
};

/// Out holds the start of the sums. Reads each source element once and up to `count` indices per thread from the
/// cache; limit: those reads.
template <class T, class I>
__global__ void __launch_bounds__(default_threads)
    add_by_search(const __grid_constant__ Sums sums, const I* index, const T* source, T* out,
                  const __grid_constant__ IndexCheck check) {
  const std::int64_t e = std::int64_t{blockIdx.x} * default_threads + threadIdx.x;
  if (e >= sums.total) {
    return;
  }
  std::int64_t start[2];
  sums.line.locate(e, start);
  const std::int64_t slice = sums.inner.quotient(e);
  const std::int64_t j = slice - sums.count.quotient(slice) * sums.count.size();
  const std::int64_t mine = checked_index(index, start[1] + j * sums.index_step, check);
  if (mine < 0) {
    return;
  }
  for (std::int64_t before = 0; before < j; ++before) {
    if (index[start[1] + before * sums.index_step] == mine) {
      return;  // not the head
    }
  }
  T& target = out[start[0] + mine * sums.step];
  compute_t<T> sum = add(to_compute(target), to_compute(source[e]));
  for (std::int64_t after = j + 1; after < sums.count.size(); ++after) {
    if (index[start[1] + after * sums.index_step] == mine) {
      sum = add(sum, to_compute(source[e + (after - j) * sums.inner.size()]));
    }
  }
  target = from_compute<T>(sum);
}

/// Sort keys: where in the output each index element points; `destinations`, one past the end, where it is bad.
template <class Key, class I>
__global__ void __launch_bounds__(default_threads)
    make_keys(const I* index, std::int64_t total, const __grid_constant__ Offsets64<1> line, std::int64_t step,
              Key destinations, Key* keys, Key* positions, const __grid_constant__ IndexCheck check) {
  const std::int64_t e = std::int64_t{blockIdx.x} * default_threads + threadIdx.x;
  if (e >= total) {
    return;
  }
  const std::int64_t chosen = checked_index(index, e, check);
  keys[e] = chosen < 0 ? destinations : static_cast<Key>(line.offset(e) + chosen * step);
  positions[e] = static_cast<Key>(e);
}

/// Source (outer, count, inner) into out (outer, destinations, inner), which holds the start of the sums: one thread
/// per source element, heads add. Reads the source once; limit: memory bandwidth where inner is long and few elements
/// share a destination, the chain of additions where many do.
template <class T, class Key>
__global__ void __launch_bounds__(default_threads)
    add_sorted(const Key* keys, const Key* positions, const T* source, T* out, std::int64_t total, Divisor64 inner,
               Divisor64 count, Key destinations) {
  const std::int64_t e = std::int64_t{blockIdx.x} * default_threads + threadIdx.x;
  if (e >= total) {
    return;
  }
  const std::int64_t slice = inner.quotient(e);
  const std::int64_t outer = count.quotient(slice);
  const std::int64_t i = e - slice * inner.size();
  std::int64_t entry = slice - outer * count.size();
  const Key key = keys[entry];
  if (key == destinations || (entry > 0 && keys[entry - 1] == key)) {
    return;
  }
  const T* base = source + outer * count.size() * inner.size() + i;
  T& target =
      out[(outer * static_cast<std::int64_t>(destinations) + static_cast<std::int64_t>(key)) * inner.size() + i];
  compute_t<T> sum = to_compute(target);
  do {
    sum = add(sum, to_compute(base[static_cast<std::int64_t>(positions[entry]) * inner.size()]));
    ++entry;
  } while (entry < count.size() && keys[entry] == key);
  target = from_compute<T>(sum);
}

/// Sorts where the index elements point, and adds. `line` and `step` say where element e of the index points in an
/// output of `destinations` slices.
template <class T, class I, class Key>
void sort_and_add(const KernelCall& call, Context& context, const TensorView& index, const T* source,
                  const Around& around, const Offsets64<1>& line, std::int64_t step, const IndexCheck& check) {
  const std::string_view op = call.op->name;
  const std::int64_t count = index.numel();
  const auto destinations = static_cast<Key>(around.length);
  const int bits = std::max(1, static_cast<int>(std::bit_width(destinations)));
  std::size_t sort_bytes = 0;
  check_cub(cub::DeviceRadixSort::SortPairs(nullptr, sort_bytes, static_cast<const Key*>(nullptr),
                                            static_cast<Key*>(nullptr), static_cast<const Key*>(nullptr),
                                            static_cast<Key*>(nullptr), count, 0, bits, context.stream),
            op);
  Carver parts;
  const auto array_bytes = static_cast<std::size_t>(count) * sizeof(Key);
  const std::size_t starts[] = {parts.add(array_bytes), parts.add(array_bytes), parts.add(array_bytes),
                                parts.add(array_bytes), parts.add(sort_bytes)};
  std::byte* memory = context.workspace.take(parts.size(), op);
  auto* keys = reinterpret_cast<Key*>(memory + starts[0]);
  auto* positions = reinterpret_cast<Key*>(memory + starts[1]);
  auto* sorted_keys = reinterpret_cast<Key*>(memory + starts[2]);
  auto* sorted_positions = reinterpret_cast<Key*>(memory + starts[3]);
  launch(context, op, make_keys<Key, I>, blocks_for(count), default_threads, static_cast<const I*>(index.data), count,
         line, step, destinations, keys, positions, check);
  check_cub(cub::DeviceRadixSort::SortPairs(memory + starts[4], sort_bytes, static_cast<const Key*>(keys), sorted_keys,
                                            static_cast<const Key*>(positions), sorted_positions, count, 0, bits,
                                            context.stream),
            op);
  const std::int64_t total = around.outer * count * around.inner;
  launch(context, op, add_sorted<T, Key>, blocks_for(total), default_threads, static_cast<const Key*>(sorted_keys),
         static_cast<const Key*>(sorted_positions), source, call.output.as<T>(), total, Divisor64(around.inner),
         Divisor64(count), destinations);
}

/// 32-bit keys where they hold every destination (and the one past the end) and every position.
template <class T, class I>
void add_long(const KernelCall& call, Context& context, const TensorView& index, const T* source, const Around& around,
              const Offsets64<1>& line, std::int64_t step, const IndexCheck& check) {
  constexpr std::int64_t limit = std::int64_t{1} << 32;
  if (around.length < limit && index.numel() < limit) {
    sort_and_add<T, I, std::uint32_t>(call, context, index, source, around, line, step, check);
  } else {
    sort_and_add<T, I, std::uint64_t>(call, context, index, source, around, line, step, check);
  }
}

template <class T, class I>
void index_add(const KernelCall& call, Context& context) {
  const TensorView& index = call.inputs[0];
  const auto* source = static_cast<const T*>(call.inputs[1].data);
  const Around around(call.output.shape, static_cast<int>(call.attributes.ints[0]));
  const std::int64_t count = index.numel();
  const auto bytes = static_cast<std::size_t>(call.output.numel()) * sizeof(T);
  check(cudaMemsetAsync(call.output.data, 0, bytes, context.stream), "cudaMemsetAsync", call.op->name);
  const std::int64_t total = around.outer * count * around.inner;
  if (total == 0) {
    return;
  }
  const IndexCheck range = make_index_check(call, index, around.length, context);
  if (count > longest_search) {
    const Box<1> one_line;  // every index element points along the same axis, from its start
    return add_long<T, I>(call, context, index, source, around, Offsets64<1>(one_line), 1, range);
  }
  const Shape shape{around.outer, count, around.inner};
  const Box<2> lines = make_box<2>(shape, {Strides{around.length * around.inner, 0, 1}, Strides{0, 0, 0}});
  const Sums sums{Offsets64<2>(lines), Divisor64(around.inner), Divisor64(count), around.inner, 1, total};
  launch(context, call.op->name, add_by_search<T, I>, blocks_for(total), default_threads, sums,
         static_cast<const I*>(index.data), source, call.output.as<T>(), range);
}

template <class T, class I>
void scatter_add(const KernelCall& call, Context& context) {
  const TensorView& x = call.inputs[0];
  const TensorView& index = call.inputs[1];
  const auto* source = static_cast<const T*>(call.inputs[2].data);
  const auto axis = static_cast<int>(call.attributes.ints[0]);
  const auto bytes = static_cast<std::size_t>(call.output.numel()) * sizeof(T);
  if (call.output.data != x.data) {
    check(cudaMemcpyAsync(call.output.data, x.data, bytes, cudaMemcpyDeviceToDevice, context.stream),
          "cudaMemcpyAsync on the device", call.op->name);
  }
  const std::int64_t total = index.numel();
  if (total == 0) {
    return;
  }
  const IndexCheck range = make_index_check(call, index, x.shape[axis], context);
  const Strides x_strides = contiguous_strides(x.shape);
  Strides of_line = x_strides;
  of_line[axis] = 0;
  if (index.shape[axis] > longest_search) {
    // Every element of the output is a destination of its own.
    const Around all(Shape{call.output.numel()}, 0);
    return add_long<T, I>(call, context, index, source, all, Offsets64<1>(make_box<1>(index.shape, {of_line})),
                          x_strides[axis], range);
  }
  Strides index_strides = contiguous_strides(index.shape);
  const std::int64_t index_step = index_strides[axis];
  index_strides[axis] = 0;
  const Sums sums{Offsets64<2>(make_box<2>(index.shape, {of_line, index_strides})),
                  Divisor64(index_step),
                  Divisor64(index.shape[axis]),
                  x_strides[axis],
                  index_step,
                  total};
  launch(context, call.op->name, add_by_search<T, I>, blocks_for(total), default_threads, sums,
         static_cast<const I*>(index.data), source, call.output.as<T>(), range);
}

}  // namespace

void run_index_add(const KernelCall& call, Context& context) {
  visit(call.output.dtype, [&]<class T>(Type<T>) {
    if (call.inputs[0].dtype == Dtype::i64) {
      index_add<T, std::int64_t>(call, context);
    } else {
      index_add<T, std::int32_t>(call, context);
    }
  });
}

void run_scatter_add(const KernelCall& call, Context& context) {
  visit(call.output.dtype, [&]<class T>(Type<T>) {
    if (call.inputs[1].dtype == Dtype::i64) {
      scatter_add<T, std::int64_t>(call, context);
    } else {
      scatter_add<T, std::int32_t>(call, context);
    }
  });
}

}  // namespace twingrad::cuda
