// Stands in for the CUDA runtime's header of the same name in an emulated build: what nvcc adds to C++ for kernels, and
// typed launches. Every kernel source gets it first, as from nvcc.
#pragma once

#include "cuda_runtime_api.h"

#include <math.h>  // NOLINT: kernels call isfinite and its like without std::, as they may in CUDA

#include "cuda_emulator/launch.h"
#include "cuda_emulator/qualifiers.h"

/// Launches a kernel whose arguments are converted to its parameters.
template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  static_assert(sizeof...(Parameters) == sizeof...(Arguments), "as many arguments as parameters");
  return [&](Parameters... converted) {
    void* places[] = {static_cast<void*>(&converted)..., nullptr};
    return cudaLaunchKernelExC(config, cuda_emulator::know_kernel(kernel), places);
  }(static_cast<Arguments&&>(arguments)...);
}

template <class... Parameters>
cudaError_t cudaLaunchKernel(void (*kernel)(Parameters...), dim3 grid, dim3 block, void** arguments,
                             std::size_t shared_bytes, cudaStream_t stream) {
  return cudaLaunchKernel(cuda_emulator::know_kernel(kernel), grid, block, arguments, shared_bytes, stream);
}
