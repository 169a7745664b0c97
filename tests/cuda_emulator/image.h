// How a compiled kernel is kept between the emulated NVRTC and cudaLibraryLoadData(): a shared object behind a head
// that tells its size. Private to the emulator.
#pragma once

#include <cstdint>

namespace cuda_emulator {

struct ImageHead {
  char mark[8];
  std::uint64_t bytes;  ///< of the shared object behind
};
inline constexpr char image_mark[8] = {'e', 'm', 'u', 'l', 'a', 't', 'e', 'd'};

/// In front of a kernel's name: the function in the shared object that makes the kernel known and gives its address.
inline constexpr char entry_prefix[] = "cuda_emulator_kernel_";

}  // namespace cuda_emulator
