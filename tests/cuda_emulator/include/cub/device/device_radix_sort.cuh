// Stands in for CUB's header: a stable sort of pairs by key, queued on a stream as CUB's own kernels are.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <type_traits>
#include <vector>

namespace cub {

namespace detail {

/// One thread sorts. It runs through the temporary memory, as whatever lies there is lost.
template <class Key, class Value>
__global__ void sort_pairs(const Key* keys_in, Key* keys_out, const Value* values_in, Value* values_out,
                           std::int64_t count, Key mask, std::byte* temporary, std::size_t temporary_bytes) {
  std::fill(temporary, temporary + temporary_bytes, std::byte{0xff});
  std::vector<std::int64_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  const std::vector<Key> keys(keys_in, keys_in + count);
  const std::vector<Value> values(values_in, values_in + count);
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    return (keys[static_cast<std::size_t>(a)] & mask) < (keys[static_cast<std::size_t>(b)] & mask);
  });
  for (std::int64_t i = 0; i < count; ++i) {
    const auto from = static_cast<std::size_t>(order[static_cast<std::size_t>(i)]);
    keys_out[i] = keys[from];
    values_out[i] = values[from];
  }
}

}  // namespace detail

struct DeviceRadixSort {
  /// Sorts by bits [begin_bit, end_bit) of unsigned keys. With `temporary` nullptr: only says how many bytes it needs.
  template <class Key, class Value, class Count>
  static cudaError_t SortPairs(void* temporary, std::size_t& temporary_bytes, const Key* keys_in, Key* keys_out,
                               const Value* values_in, Value* values_out, Count count, int begin_bit, int end_bit,
                               cudaStream_t stream) {
    static_assert(std::is_unsigned_v<Key>);
    const std::size_t needed = static_cast<std::size_t>(count) * (sizeof(Key) + sizeof(Value)) + 1024;
    if (temporary == nullptr) {
      temporary_bytes = needed;
      return cudaSuccess;
    }
    constexpr int width = 8 * static_cast<int>(sizeof(Key));
    if (temporary_bytes < needed || begin_bit < 0 || begin_bit >= end_bit || end_bit > width) {
      return cudaErrorInvalidValue;
    }
    const Key low = end_bit == width ? static_cast<Key>(~Key{0}) : static_cast<Key>((Key{1} << end_bit) - 1);
    const Key mask = static_cast<Key>(low & ~static_cast<Key>((Key{1} << begin_bit) - 1));
    cudaLaunchConfig_t config{};
    config.stream = stream;
    return cudaLaunchKernelEx(&config, detail::sort_pairs<Key, Value>, keys_in, keys_out, values_in, values_out,
                              static_cast<std::int64_t>(count), mask, static_cast<std::byte*>(temporary), needed);
  }
};

}  // namespace cub
