// Copies whose addresses stand in device memory, so that a captured graph reads and writes elsewhere at each launch.
#include "cuda/families.h"
#include "cuda/launch.h"

#include <algorithm>
#include <cstdint>

namespace twingrad::cuda {
namespace {

/// Blocks along x share entry blockIdx.y, 16 bytes per access where both sides are so aligned, else one. Reads and
/// writes once; limit: memory bandwidth, for the few bytes of a small batch the launch.
__global__ void __launch_bounds__(default_threads) copy_entries(const ListedCopy* list) {
  const ListedCopy entry = list[blockIdx.y];
  const std::uint64_t first = std::uint64_t{blockIdx.x} * default_threads + threadIdx.x;
  const std::uint64_t step = std::uint64_t{gridDim.x} * default_threads;
  const auto starts = reinterpret_cast<std::uintptr_t>(entry.target) | reinterpret_cast<std::uintptr_t>(entry.source);
  std::uint64_t done = 0;
  if (starts % sizeof(uint4) == 0) {
    const std::uint64_t words = entry.bytes / sizeof(uint4);
    for (std::uint64_t i = first; i < words; i += step) {
      static_cast<uint4*>(entry.target)[i] = static_cast<const uint4*>(entry.source)[i];
    }
    done = words * sizeof(uint4);
  }
  for (std::uint64_t i = done + first; i < entry.bytes; i += step) {
    static_cast<unsigned char*>(entry.target)[i] = static_cast<const unsigned char*>(entry.source)[i];
  }
}

}  // namespace

void run_listed_copies(const ListedCopy* list, std::size_t count, std::size_t longest, Context& context) {
  constexpr std::size_t most_blocks = 1024;
  constexpr std::size_t most_entries = 65535;  // of a grid's second dimension
  const std::size_t bytes_per_block = default_threads * sizeof(uint4);
  const auto blocks =
      static_cast<unsigned>(std::clamp((longest + bytes_per_block - 1) / bytes_per_block, std::size_t{1}, most_blocks));
  for (std::size_t first = 0; first < count; first += most_entries) {
    const auto entries = static_cast<unsigned>(std::min(count - first, most_entries));
    launch(context, "listed copies", copy_entries, dim3(blocks, entries), default_threads, list + first);
  }
}

}  // namespace twingrad::cuda
