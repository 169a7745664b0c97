// The one macro of the library: marks a function that both the host and the CUDA compiler build.
#pragma once

#if defined(__CUDACC__)
#define TWINGRAD_HOST_DEVICE __host__ __device__
#else
#define TWINGRAD_HOST_DEVICE
#endif
