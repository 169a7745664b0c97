// Compiles a program of the emulated NVRTC with the compiler that built the emulator, and keeps what came out in the
// build folder, so that tests compile each kernel once. Private to the emulator.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace cuda_emulator {

struct Source {
  std::string name;
  std::string text;
  std::vector<std::pair<std::string, std::string>> headers;  ///< name by which they are included, and text
};

struct Compiled {
  std::string image;  ///< for cudaLibraryLoadData(); empty: it did not compile
  std::string log;
};

/// `flags` are the host compiler's.
Compiled compile(const Source& source, const std::vector<std::string>& flags);

}  // namespace cuda_emulator
