// The device itself: one, that says what it is.
#include <cstring>

#include "tests/cuda_emulator/state.h"

using namespace cuda_emulator;

namespace {

// What the numbers stand for does not matter to correctness; compute capability 9.0 has all that the kernels use.
constexpr int capability_major = 9;
constexpr int capability_minor = 0;
constexpr int processors = 4;
constexpr int most_threads = 1024;
constexpr int threads_per_processor = 2048;
constexpr int shared_bytes = 48 << 10;
constexpr int l2_bytes = 1 << 20;

}  // namespace

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  const std::lock_guard lock(device_lock());
  return give(device != 0 ? cudaErrorInvalidDevice : device_status());
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device != 0) {
    return give(cudaErrorInvalidDevice);
  }
  *properties = {};
  std::strcpy(properties->name, "emulated GPU (host code, no hardware)");
  properties->totalGlobalMem = settings().memory;
  properties->sharedMemPerBlock = shared_bytes;
  properties->warpSize = 32;
  properties->maxThreadsPerBlock = most_threads;
  properties->maxThreadsDim[0] = properties->maxThreadsDim[1] = most_threads;
  properties->maxThreadsDim[2] = 64;
  properties->maxGridSize[0] = 0x7fffffff;
  properties->maxGridSize[1] = properties->maxGridSize[2] = 65535;
  properties->major = capability_major;
  properties->minor = capability_minor;
  properties->multiProcessorCount = processors;
  properties->l2CacheSize = l2_bytes;
  properties->maxThreadsPerMultiProcessor = threads_per_processor;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  if (device != 0) {
    return give(cudaErrorInvalidDevice);
  }
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      *value = most_threads;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = shared_bytes;
      return cudaSuccess;
    case cudaDevAttrWarpSize:
      *value = 32;
      return cudaSuccess;
    case cudaDevAttrMultiProcessorCount:
      *value = processors;
      return cudaSuccess;
    case cudaDevAttrL2CacheSize:
      *value = l2_bytes;
      return cudaSuccess;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      *value = threads_per_processor;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor:
      *value = capability_major;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
      *value = capability_minor;
      return cudaSuccess;
  }
  return give(cudaErrorInvalidValue);
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
