// Philox random numbers; compiled without contraction, so that they are the CPU's bit by bit (core/philox.h).
#include "cuda/element.cuh"
#include "cuda/families.h"
#include "cuda/launch.h"

#include <twingrad/kernels.h>
#include <twingrad/philox.h>

#include <cub/device/device_radix_sort.cuh>

#include <cstdint>

namespace twingrad::cuda {
namespace {

/// {seed, stream}, on the device: a captured step draws new numbers when they change.
struct Source {
  const std::int64_t* seed;

  __device__ Philox4 block(std::int64_t index) const { return random_block(seed[0], seed[1], index); }
};

template <class T>
struct Uniform {
  static constexpr int lanes = uniform_lanes<T>;
  using Element = T;
  __device__ static T lane(const Philox4& block, int lane) { return uniform_lane<T>(block, lane); }
};
template <class T>
struct Normal {
  static constexpr int lanes = normal_lanes;
  using Element = T;
  __device__ static T lane(const Philox4& block, int lane) { return normal_lane<T>(block, lane); }
};
struct PermutationKey {
  static constexpr int lanes = permutation_lanes;
  using Element = std::uint64_t;
  __device__ static std::uint64_t lane(const Philox4& block, int lane) { return permutation_key(block, lane); }
};

/// One Philox block per thread, its elements in one store where `aligned` to their size. Writes once; limit: about 60
/// integer operations per block (uniform), float64 arithmetic of the inverse distribution (normal).
template <class Draw>
__global__ void __launch_bounds__(default_threads)
    fill(Source source, typename Draw::Element* out, std::int64_t count, bool aligned) {
  const std::int64_t index = std::int64_t{blockIdx.x} * default_threads + threadIdx.x;
  const std::int64_t first = index * Draw::lanes;
  if (first >= count) {
    return;
  }
  const Philox4 block = source.block(index);
  Vector<typename Draw::Element, Draw::lanes> values;
#pragma unroll
  for (int lane = 0; lane < Draw::lanes; ++lane) {
    values.lane[lane] = Draw::lane(block, lane);
  }
  if (aligned && count - first >= Draw::lanes) {
    *reinterpret_cast<decltype(values)*>(out + first) = values;
    return;
  }
#pragma unroll
  for (int lane = 0; lane < Draw::lanes; ++lane) {
    if (first + lane < count) {
      out[first + lane] = values.lane[lane];
    }
  }
}

__global__ void __launch_bounds__(default_threads) count_up(std::int64_t* out, std::int64_t count) {
  const std::int64_t i = std::int64_t{blockIdx.x} * default_threads + threadIdx.x;
  if (i < count) {
    out[i] = i;
  }
}

template <class Draw>
void run_fill(const KernelCall& call, Context& context, Source source, typename Draw::Element* out,
              std::int64_t count) {
  constexpr std::size_t access = sizeof(typename Draw::Element) * Draw::lanes;
  launch(context, call.op->name, fill<Draw>, blocks_for(count, default_threads * Draw::lanes), default_threads, source,
         out, count, reinterpret_cast<std::uintptr_t>(out) % access == 0);
}

/// 0..n-1 sorted by key; the sort is stable, so equal keys stay in the order of the index.
void run_permutation(const KernelCall& call, Context& context, Source source) {
  const std::string_view op = call.op->name;
  const std::int64_t count = call.output.numel();
  auto* out = call.output.as<std::int64_t>();
  std::size_t sort_bytes = 0;
  check(cub::DeviceRadixSort::SortPairs(nullptr, sort_bytes, static_cast<const std::uint64_t*>(nullptr),
                                        static_cast<std::uint64_t*>(nullptr), static_cast<const std::int64_t*>(nullptr),
                                        out, count, 0, 64, context.stream),
        "cub::DeviceRadixSort", op);
  Carver parts;
  const auto array_bytes = static_cast<std::size_t>(count) * 8;
  const std::size_t keys = parts.add(array_bytes);
  const std::size_t sorted_keys = parts.add(array_bytes);
  const std::size_t indices = parts.add(array_bytes);
  const std::size_t sort = parts.add(sort_bytes);
  std::byte* memory = context.workspace.take(parts.size(), op);
  auto* key = reinterpret_cast<std::uint64_t*>(memory + keys);
  auto* index = reinterpret_cast<std::int64_t*>(memory + indices);
  run_fill<PermutationKey>(call, context, source, key, count);
  launch(context, op, count_up, blocks_for(count), default_threads, index, count);
  check(cub::DeviceRadixSort::SortPairs(memory + sort, sort_bytes, static_cast<const std::uint64_t*>(key),
                                        reinterpret_cast<std::uint64_t*>(memory + sorted_keys),
                                        static_cast<const std::int64_t*>(index), out, count, 0, 64, context.stream),
        "cub::DeviceRadixSort", op);
}

template <template <class> class Draw>
void run_floats(const KernelCall& call, Context& context, Source source) {
  const std::int64_t count = call.output.numel();
  visit(call.output.dtype, [&]<class T>(Type<T>) {
    if constexpr (std::is_floating_point_v<compute_t<T>>) {
      run_fill<Draw<T>>(call, context, source, call.output.as<T>(), count);
    } else {
      throw DtypeError(std::string(call.op->name) + ": draws floating dtypes, not " +
                       std::string(name(call.output.dtype)));
    }
  });
}

}  // namespace

void run_random(const KernelCall& call, Context& context) {
  const Source source{static_cast<const std::int64_t*>(call.inputs[0].data)};
  switch (static_cast<Random>(call.op->kernel)) {
    case Random::uniform:
      return run_floats<Uniform>(call, context, source);
    case Random::normal:
      return run_floats<Normal>(call, context, source);
    case Random::permutation:
      return run_permutation(call, context, source);
  }
}

}  // namespace twingrad::cuda
