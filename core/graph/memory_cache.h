// Keeps freed device memory for reuse, and counts. Blocks are rounded up so that steps of nearly the same size share
// them; a block serves a request of at least half its size. When the device refuses, the cache is given back and the
// request tried again before it becomes an OutOfMemoryError.
#pragma once

#include <twingrad/backend.h>
#include <twingrad/pool.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace twingrad {

class MemoryCache {
 public:
  explicit MemoryCache(Backend& backend) : backend_(backend) {}

  /// `bytes` > 0. Takes the block `preferred` when it is free. Throws OutOfMemoryError with what was wanted, held and
  /// cached, and the largest blocks held.
  void* allocate(std::size_t bytes, std::string_view device_name, const void* preferred = nullptr);
  /// Whether allocate() for so many bytes would give this very block when it is preferred.
  bool has_free(const void* memory, std::size_t bytes) const;
  void release(void* memory) noexcept;
  void release_cached() noexcept;
  /// How often blocks were given back to the device: addresses from before may be nobody's.
  std::uint64_t returns() const { return returns_; }

  const MemoryStats& stats() const { return stats_; }
  void reset_peak() { stats_.peak = stats_.live; }

 private:
  template <class Key, class Value>
  using Entries = PoolAllocator<std::pair<const Key, Value>>;
  using FreeBlocks = std::multimap<std::size_t, void*, std::less<>, Entries<std::size_t, void*>>;
  FreeBlocks::const_iterator find_free(const void* memory, std::size_t wanted) const;
  [[noreturn]] void throw_out_of_memory(std::size_t bytes, std::string_view device_name) const;

  Backend& backend_;
  FreeBlocks free_;  ///< of one size, the one that was released last comes first: a loop finds the same blocks again
  std::unordered_map<void*, std::size_t, std::hash<void*>, std::equal_to<>, Entries<void*, std::size_t>> live_;
  MemoryStats stats_;
  std::uint64_t returns_ = 0;
};

}  // namespace twingrad
