#include "tests/cuda_emulator/memory.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>

#include "tests/cuda_emulator/state.h"
#include "tests/cuda_emulator/stream.h"

namespace cuda_emulator {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr std::size_t guard = 0;  // the sanitizer's own zones begin at the first byte behind
#else
constexpr std::size_t guard = 256;
#endif
constexpr std::size_t alignment = 256;
constexpr unsigned char guard_byte = 0xa5;
/// Fresh memory reads as NaN in every floating type, as -1, and as no valid bool.
constexpr unsigned char fresh_byte = 0xff;

struct Allocation {
  std::size_t bytes;
  Memory kind;
};

/// By address. Never destroyed, see state().
std::map<std::uintptr_t, Allocation>& allocations() {
  static auto* const map = new std::map<std::uintptr_t, Allocation>;
  return *map;
}
std::size_t device_bytes = 0;

std::uintptr_t address_of(const void* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer);
}

/// The allocation that holds the address; its end counts only for empty ranges.
const std::pair<const std::uintptr_t, Allocation>* find(std::uintptr_t address, std::size_t bytes) {
  auto entry = allocations().upper_bound(address);
  if (entry == allocations().begin()) {
    return nullptr;
  }
  --entry;
  const std::size_t offset = address - entry->first;
  const bool inside = offset < entry->second.bytes || (bytes == 0 && offset == entry->second.bytes);
  return inside ? &*entry : nullptr;
}

void* allocate(std::size_t bytes, Memory kind) {
  // std::aligned_alloc wants a multiple of the alignment, which would hide a few bytes behind from the sanitizer.
  void* base = nullptr;
  if (posix_memalign(&base, alignment, bytes + 2 * guard) != 0) {
    return nullptr;
  }
  auto* bytes_at = static_cast<unsigned char*>(base);
  std::memset(bytes_at, guard_byte, guard);
  std::memset(bytes_at + guard, fresh_byte, bytes);
  std::memset(bytes_at + guard + bytes, guard_byte, guard);
  void* memory = bytes_at + guard;
  allocations().emplace(address_of(memory), Allocation{bytes, kind});
  device_bytes += kind == Memory::device ? bytes : 0;
  return memory;
}

bool release(void* memory, Memory kind) {
  const auto entry = allocations().find(address_of(memory));
  if (entry == allocations().end() || entry->second.kind != kind) {
    return false;
  }
  device_bytes -= kind == Memory::device ? entry->second.bytes : 0;
  allocations().erase(entry);
  std::free(static_cast<unsigned char*>(memory) - guard);
  return true;
}

bool intact(const unsigned char* zone) {
  for (std::size_t i = 0; i < guard; ++i) {
    if (zone[i] != guard_byte) {
      return false;
    }
  }
  return true;
}

cudaError_t allocate_for(void** memory, std::size_t bytes, Memory kind) {
  const std::lock_guard lock(device_lock());
  if (const cudaError_t error = unsafe_call_status(); error != cudaSuccess) {
    return give(error);
  }
  if (memory == nullptr) {
    return give(cudaErrorInvalidValue);
  }
  *memory = nullptr;
  if (bytes == 0) {
    return cudaSuccess;
  }
  const std::size_t limit = settings().memory;
  if (bytes > limit || (kind == Memory::device && device_bytes > limit - bytes)) {
    return give(cudaErrorMemoryAllocation);
  }
  *memory = allocate(bytes, kind);
  return give(*memory == nullptr ? cudaErrorMemoryAllocation : cudaSuccess);
}

cudaError_t free_as(void* memory, Memory kind) {
  const std::lock_guard lock(device_lock());
  if (memory == nullptr) {
    return give(device_status());
  }
  if (const cudaError_t error = unsafe_call_status(); error != cudaSuccess) {
    return give(error);
  }
  if (const cudaError_t error = run_all_streams(); error != cudaSuccess) {
    return give(error);
  }
  return give(release(memory, kind) ? cudaSuccess : cudaErrorInvalidValue);
}

}  // namespace

Memory kind_of(const void* pointer) {
  const auto* entry = find(address_of(pointer), 0);
  return entry == nullptr ? Memory::pageable : entry->second.kind;
}

bool within_allocation(const void* pointer, std::size_t bytes) {
  const std::uintptr_t address = address_of(pointer);
  const auto* entry = find(address, bytes);
  return entry != nullptr && bytes <= entry->second.bytes - (address - entry->first);
}

std::string damaged_guard() {
  if (guard == 0) {
    return {};
  }
  for (const auto& [address, allocation] : allocations()) {
    const auto* memory = reinterpret_cast<const unsigned char*>(address);
    const bool before = !intact(memory - guard);
    if (before || !intact(memory + allocation.bytes)) {
      return "something was written " + std::string(before ? "in front of" : "behind") + " an allocation of " +
             std::to_string(allocation.bytes) + " bytes";
    }
  }
  return {};
}

void free_device_memory() {
  for (auto entry = allocations().begin(); entry != allocations().end();) {
    const auto next = std::next(entry);
    if (entry->second.kind == Memory::device) {
      release(reinterpret_cast<void*>(entry->first), Memory::device);
    }
    entry = next;
  }
}

namespace {

/// When the library goes, which is after the program's own destructors. Only where asked for: twingrad keeps its
/// devices until the process ends.
[[gnu::destructor]] void report_leaks() {
  const char* wish = std::getenv("TWINGRAD_EMULATOR_LEAKS");
  if (wish == nullptr || std::string(wish) != "report") {
    return;
  }
  const Outstanding left = outstanding();
  if (left.device_allocations > 0 || left.host_allocations > 0) {
    std::fprintf(stderr, "cuda emulator: never freed: %zu bytes of device memory in %zu allocations, %zu of the host\n",
                 left.device_bytes, left.device_allocations, left.host_allocations);
  }
}

}  // namespace

Outstanding outstanding() {
  const std::lock_guard lock(device_lock());
  Outstanding result = handle_counts();
  for (const auto& [address, allocation] : allocations()) {
    if (allocation.kind == Memory::device) {
      ++result.device_allocations;
      result.device_bytes += allocation.bytes;
    } else {
      ++result.host_allocations;
    }
  }
  return result;
}

}  // namespace cuda_emulator

using namespace cuda_emulator;

cudaError_t cudaMalloc(void** memory, std::size_t bytes) {
  return allocate_for(memory, bytes, Memory::device);
}
cudaError_t cudaFree(void* memory) {
  return free_as(memory, Memory::device);
}
cudaError_t cudaMallocHost(void** memory, std::size_t bytes) {
  return allocate_for(memory, bytes, Memory::pinned);
}
cudaError_t cudaFreeHost(void* memory) {
  return free_as(memory, Memory::pinned);
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  const std::lock_guard lock(device_lock());
  *total = settings().memory;
  *free = settings().memory - device_bytes;
  return give(device_status());
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  const std::lock_guard lock(device_lock());
  const Memory kind = kind_of(pointer);
  auto* as_given = const_cast<void*>(pointer);
  attributes->type = kind == Memory::device
                         ? cudaMemoryTypeDevice
                         : (kind == Memory::pinned ? cudaMemoryTypeHost : cudaMemoryTypeUnregistered);
  attributes->device = kind == Memory::pageable ? -2 : 0;
  attributes->devicePointer = kind == Memory::pageable ? nullptr : as_given;
  attributes->hostPointer = kind == Memory::device ? nullptr : as_given;
  return give(device_status());
}
