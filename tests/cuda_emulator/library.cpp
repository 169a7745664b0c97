// Kernels from memory: shared objects that the emulated NVRTC made.
#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <set>
#include <string>

#include "tests/cuda_emulator/handles.h"
#include "tests/cuda_emulator/image.h"
#include "tests/cuda_emulator/stream.h"

struct CUlib_st {
  CUlib_st() = default;
  CUlib_st(const CUlib_st&) = delete;
  CUlib_st& operator=(const CUlib_st&) = delete;
  ~CUlib_st() {
    if (object != nullptr) {
      dlclose(object);
    }
    if (file >= 0) {
      close(file);
    }
  }

  int file = -1;  ///< in memory, open as long as the library is
  void* object = nullptr;
  std::set<const void*> kernels;
};

using namespace cuda_emulator;

namespace {

Handles<CUlib_st>& libraries() {
  static auto* const handles = new Handles<CUlib_st>(&Outstanding::other);
  return *handles;
}

bool write_all(int file, const char* bytes, std::size_t count) {
  while (count > 0) {
    const ssize_t written = write(file, bytes, count);
    if (written <= 0) {
      return false;
    }
    bytes += written;
    count -= static_cast<std::size_t>(written);
  }
  return true;
}

}  // namespace

cudaError_t cudaLibraryLoadData(cudaLibrary_t* library, const void* code, cudaJitOption*, void**, unsigned jit_count,
                                cudaLibraryOption*, void**, unsigned count) {
  const std::lock_guard lock(device_lock());
  if (device_status() != cudaSuccess) {
    return give(device_status());
  }
  if (library == nullptr || code == nullptr || jit_count != 0 || count != 0) {
    return give(cudaErrorInvalidValue);
  }
  ImageHead head{};
  std::memcpy(&head.mark, code, sizeof head.mark);
  if (std::memcmp(head.mark, image_mark, sizeof image_mark) != 0) {
    return give(cudaErrorInvalidKernelImage);
  }
  std::memcpy(&head, code, sizeof head);
  auto loaded = std::make_unique<CUlib_st>();
  loaded->file = memfd_create("emulated kernel", MFD_CLOEXEC);
  if (loaded->file >= 0 && write_all(loaded->file, static_cast<const char*>(code) + sizeof head, head.bytes)) {
    loaded->object = dlopen(("/proc/self/fd/" + std::to_string(loaded->file)).c_str(), RTLD_NOW | RTLD_LOCAL);
  }
  if (loaded->object == nullptr) {
    return give(cudaErrorInvalidKernelImage);
  }
  *library = libraries().add(loaded.release());
  return cudaSuccess;
}

cudaError_t cudaLibraryGetKernel(cudaKernel_t* kernel, cudaLibrary_t library, const char* name) {
  const std::lock_guard lock(device_lock());
  if (device_status() != cudaSuccess) {
    return give(device_status());
  }
  if (kernel == nullptr || name == nullptr || !libraries().contains(library)) {
    return give(cudaErrorInvalidValue);
  }
  void* entry = dlsym(library->object, (std::string(entry_prefix) + name).c_str());
  if (entry == nullptr) {
    return give(cudaErrorSymbolNotFound);
  }
  const void* function = reinterpret_cast<const void* (*)()>(entry)();
  library->kernels.insert(function);
  *kernel = reinterpret_cast<cudaKernel_t>(const_cast<void*>(function));
  return cudaSuccess;
}

cudaError_t cudaLibraryUnload(cudaLibrary_t library) {
  const std::lock_guard lock(device_lock());
  if (!libraries().contains(library)) {
    return give(cudaErrorInvalidValue);
  }
  const cudaError_t error = run_all_streams();  // its kernels may be queued
  for (const void* function : library->kernels) {
    forget_kernel(function);
  }
  libraries().destroy(library);
  return give(error);
}
