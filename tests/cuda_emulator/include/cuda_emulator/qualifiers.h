// What CUDA adds to C++ around kernels, as macros, and the variables that a kernel finds. Included by cuda_runtime.h,
// and by kernels that are compiled at run time.
#pragma once

#include "device_functions.h"

// One compilation makes the code of host and device, so most of these say nothing. A kernel's static variable is one
// per process, which is right for __shared__ since blocks run one after the other; by the attribute the emulator finds
// it, and fills it anew for each block.
#define __global__
#define __device__
#define __host__
#define __shared__ static __attribute__((noinit))
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
