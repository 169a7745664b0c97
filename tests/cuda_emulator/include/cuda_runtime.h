// Stands in for the CUDA runtime's header of the same name in an emulated build: what nvcc adds to C++ for kernels, and
// typed launches. Every kernel source gets it first, as from nvcc.
#pragma once

#include "cuda_runtime_api.h"

#include <math.h>  // NOLINT: kernels call isfinite and its like without std::, as they may in CUDA

#include "cuda_emulator/device_functions.h"
#include "cuda_emulator/launch.h"

// One compilation makes the code of host and device, so these say nothing. A kernel's static variable is one per
// process, which is right for __shared__ since blocks run one after the other.
#define __global__
#define __device__
#define __host__
#define __shared__ static
#define __constant__ static
#define __grid_constant__
#define __forceinline__ inline
#define __launch_bounds__(...)
// Empty, because the standard library writes __attribute__((__noinline__)).
#define __noinline__

using cuda_emulator::blockDim;
using cuda_emulator::blockIdx;
using cuda_emulator::gridDim;
using cuda_emulator::threadIdx;
inline constexpr int warpSize = 32;

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
