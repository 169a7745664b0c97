// NVRTC, the compiler that comes as a library with the CUDA runtime. Found when the program runs, so that a machine
// without it runs all the same, op by op. fused.cpp compiles the chains with it that were not compiled with the
// library.
#pragma once

#include <memory>
#include <string>
#include <vector>

namespace twingrad::cuda {

/// A file that the compiled text may include.
struct Header {
  const char* name;
  const char* text;
};

class RuntimeCompiler {
 public:
  /// Loads NVRTC: the library at $TWINGRAD_NVRTC, or none where that is "off", else the one of the CUDA version this
  /// library was built with, or another one that the system has. `capability`: 10 * major + minor of the GPU. A system
  /// without the library is no error: see is_there() and description(). Throws DeviceError when $TWINGRAD_NVRTC names
  /// what is none.
  explicit RuntimeCompiler(int capability);
  RuntimeCompiler(const RuntimeCompiler&) = delete;
  RuntimeCompiler& operator=(const RuntimeCompiler&) = delete;
  ~RuntimeCompiler();

  bool is_there() const { return library_ != nullptr; }
  /// Whether it is of the version that compiled this library, and so rounds exp() and its like to the same bits.
  bool is_twin() const;
  /// "NVRTC 13.0 for sm_90", or why there is none.
  std::string description() const { return description_; }
  /// All that the outcome depends on beside the text: version, target, options.
  std::string key() const;

  /// Machine code of the GPU, or PTX where NVRTC does not know the GPU yet, for cudaLibraryLoadData. Throws DeviceError
  /// with the compiler's words.
  std::string compile(const std::string& text, const std::vector<Header>& headers) const;

 private:
  struct Library;
  std::vector<std::string> options() const;

  std::unique_ptr<Library> library_;
  std::string description_;
  std::string target_;
  int major_ = 0;
  int minor_ = 0;
};

}  // namespace twingrad::cuda
