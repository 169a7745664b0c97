#include <twingrad/graph/memory_cache.h>

#include <algorithm>
#include <string>

namespace twingrad {
namespace {

// 512 bytes for the small ones; an eighth of the size's power of two for the large ones.
std::size_t rounded(std::size_t bytes) {
  std::size_t step = 512;
  while (step * 16 <= bytes) {
    step *= 2;
  }
  return (bytes + step - 1) / step * step;
}

std::string in_words(std::uint64_t bytes) {
  if (bytes < 10 * 1024) {
    return std::to_string(bytes) + " bytes";
  }
  if (bytes < 10 * 1024 * 1024) {
    return std::to_string(bytes / 1024) + " KiB";
  }
  return std::to_string(bytes / (1024 * 1024)) + " MiB";
}

}  // namespace

MemoryCache::FreeBlocks::const_iterator MemoryCache::find_free(const void* memory, std::size_t wanted) const {
  for (auto it = free_.lower_bound(wanted); it != free_.end() && it->first <= 2 * wanted; ++it) {
    if (it->second == memory) {
      return it;
    }
  }
  return free_.end();
}

bool MemoryCache::has_free(const void* memory, std::size_t bytes) const {
  return find_free(memory, rounded(bytes)) != free_.end();
}

void* MemoryCache::allocate(std::size_t bytes, std::string_view device_name, const void* preferred) {
  // A count that wrapped around, or one whose rounding would, can never be served.
  if (bytes > (std::size_t{1} << 62)) {
    throw_out_of_memory(bytes, device_name);
  }
  const std::size_t wanted = rounded(bytes);
  void* memory = nullptr;
  std::size_t size = wanted;
  FreeBlocks::const_iterator found = preferred == nullptr ? free_.end() : find_free(preferred, wanted);
  if (found == free_.end()) {
    found = free_.lower_bound(wanted);
  }
  if (found != free_.end() && found->first <= 2 * wanted) {
    size = found->first;
    memory = found->second;
    free_.erase(found);
    stats_.cached -= size;
  } else {
    memory = backend_.allocate(wanted);
    if (memory == nullptr && !free_.empty()) {
      backend_.synchronize();
      release_cached();
      memory = backend_.allocate(wanted);
    }
    if (memory == nullptr) {
      throw_out_of_memory(bytes, device_name);
    }
    ++stats_.allocations;
  }
  live_.emplace(memory, size);
  stats_.live += size;
  stats_.peak = std::max(stats_.peak, stats_.live);
  return memory;
}

void MemoryCache::release(void* memory) noexcept {
  const auto found = live_.find(memory);
  if (found == live_.end()) {
    return;
  }
  stats_.live -= found->second;
  stats_.cached += found->second;
  free_.emplace_hint(free_.lower_bound(found->second), found->second, memory);
  live_.erase(found);
}

void MemoryCache::release_cached() noexcept {
  returns_ += free_.empty() ? 0U : 1U;
  for (const auto& [size, memory] : free_) {
    backend_.deallocate(memory, size);
  }
  free_.clear();
  stats_.cached = 0;
}

void MemoryCache::throw_out_of_memory(std::size_t bytes, std::string_view device_name) const {
  std::vector<std::size_t> sizes;
  for (const auto& entry : live_) {
    sizes.push_back(entry.second);
  }
  std::sort(sizes.rbegin(), sizes.rend());
  std::string message = "out of memory on " + std::string(device_name) + ": wanted " + in_words(bytes) + ", held " +
                        in_words(stats_.live) + " in " + std::to_string(live_.size()) + " blocks, cached " +
                        in_words(stats_.cached);
  if (!sizes.empty()) {
    message += "; the largest held:";
    for (std::size_t i = 0; i < std::min<std::size_t>(sizes.size(), 5); ++i) {
      message += (i == 0 ? " " : ", ") + in_words(sizes[i]);
    }
  }
  throw OutOfMemoryError(message + ". Use a smaller batch, or let go of tensors that are not needed");
}

}  // namespace twingrad
