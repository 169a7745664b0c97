// Copies and fills: both sides are looked at, whether they are what the kind of copy says and long enough.
#include <cstring>

#include "tests/cuda_emulator/memory.h"
#include "tests/cuda_emulator/state.h"
#include "tests/cuda_emulator/stream.h"
#include "tests/cuda_emulator/stream_queue.h"

namespace cuda_emulator {
namespace {

bool fits(Memory kind, const void* pointer, std::size_t bytes) {
  return kind == Memory::pageable || within_allocation(pointer, bytes);
}

cudaError_t check_copy(const void* target, const void* source, std::size_t bytes, cudaMemcpyKind kind) {
  const Memory to = kind_of(target);
  const Memory from = kind_of(source);
  if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault) {
    return cudaErrorInvalidMemcpyDirection;
  }
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (kind != cudaMemcpyDefault && ((to == Memory::device) != to_device || (from == Memory::device) != from_device)) {
    return cudaErrorInvalidValue;
  }
  return fits(to, target, bytes) && fits(from, source, bytes) ? cudaSuccess : cudaErrorInvalidValue;
}

}  // namespace
}  // namespace cuda_emulator

using namespace cuda_emulator;

cudaError_t cudaMemcpyAsync(void* target, const void* source, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  const std::lock_guard lock(device_lock());
  if (device_status() != cudaSuccess) {
    return give(device_status());
  }
  if (bytes == 0) {
    return cudaSuccess;
  }
  if (const cudaError_t error = check_copy(target, source, bytes, kind); error != cudaSuccess) {
    return give(error);
  }
  const bool pageable = kind_of(target) == Memory::pageable || kind_of(source) == Memory::pageable;
  if (!pageable) {
    return give(submit(stream, CopyWork{target, source, bytes, nullptr}));
  }
  // The driver moves pageable memory through buffers of its own: the source is free when the call returns, and bytes
  // that go to a pageable target have arrived. Neither can be recorded.
  if (capture_status(stream) != cudaStreamCaptureStatusNone) {
    invalidate_capture(stream);
    return give(cudaErrorStreamCaptureUnsupported);
  }
  CopyWork copy{target, source, bytes, nullptr};
  if (kind_of(source) == Memory::pageable) {
    copy.staged = std::shared_ptr<std::byte[]>(new std::byte[bytes]);
    std::memcpy(copy.staged.get(), source, bytes);
  }
  const cudaError_t error = submit(stream, copy);
  if (error == cudaSuccess && kind_of(target) == Memory::pageable) {
    return cudaStreamSynchronize(stream);
  }
  return give(error);
}

cudaError_t cudaMemcpy(void* target, const void* source, std::size_t bytes, cudaMemcpyKind kind) {
  const std::lock_guard lock(device_lock());
  const cudaError_t error = cudaMemcpyAsync(target, source, bytes, kind, nullptr);
  return error == cudaSuccess ? cudaStreamSynchronize(nullptr) : error;
}

cudaError_t cudaMemsetAsync(void* target, int value, std::size_t bytes, cudaStream_t stream) {
  const std::lock_guard lock(device_lock());
  if (device_status() != cudaSuccess) {
    return give(device_status());
  }
  if (bytes == 0) {
    return cudaSuccess;
  }
  if (kind_of(target) == Memory::pageable || !within_allocation(target, bytes)) {
    return give(cudaErrorInvalidValue);
  }
  return give(submit(stream, SetWork{target, value, bytes}));
}

cudaError_t cudaMemset(void* target, int value, std::size_t bytes) {
  return cudaMemsetAsync(target, value, bytes, nullptr);
}
