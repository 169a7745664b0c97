#include "tests/cuda_emulator/stream.h"

#include "tests/cuda_emulator/handles.h"
#include "tests/cuda_emulator/memory.h"
#include "tests/cuda_emulator/state.h"
#include "tests/cuda_emulator/stream_queue.h"

namespace cuda_emulator {
namespace {

/// A GPU's queue is about this long, too: whoever queues more waits.
constexpr std::size_t most_queued = 1024;

Handles<CUstream_st>& streams() {
  static auto* const handles = new Handles<CUstream_st>(&Outstanding::streams);
  return *handles;
}
cudaStream_t legacy_stream() {
  static auto* const stream = new CUstream_st{true, {}, {}};
  return stream;
}

thread_local cudaStreamCaptureMode thread_mode = cudaStreamCaptureModeGlobal;

void run_one(CUstream_st& stream) {
  const Work work = std::move(stream.queue.front());
  stream.queue.pop_front();
  perform(work);
}

void run_whole(CUstream_st& stream) {
  while (!stream.queue.empty()) {
    run_one(stream);
  }
}

/// Whether a capture forbids calls that might wait or allocate, on this thread.
bool forbids(const Capture& capture) {
  if (capture.status != cudaStreamCaptureStatusActive || thread_mode == cudaStreamCaptureModeRelaxed) {
    return false;
  }
  const bool mine = capture.thread == std::this_thread::get_id();
  switch (capture.mode) {
    case cudaStreamCaptureModeGlobal:
      return mine || thread_mode == cudaStreamCaptureModeGlobal;
    case cudaStreamCaptureModeThreadLocal:
      return mine;
    case cudaStreamCaptureModeRelaxed:
      return false;
  }
  return false;
}

/// The legacy stream and blocking ones wait for each other.
void settle_before(CUstream_st& stream) {
  if (&stream == legacy_stream()) {
    for (CUstream_st* other : streams()) {
      if (other->blocking) {
        run_whole(*other);
      }
    }
  } else if (stream.blocking) {
    run_whole(*legacy_stream());
  }
}

}  // namespace

CUstream_st* find_stream(cudaStream_t stream) {
  if (stream == nullptr) {
    return legacy_stream();
  }
  return streams().contains(stream) ? stream : nullptr;
}

cudaError_t submit(cudaStream_t handle, Work work) {
  if (device_status() != cudaSuccess) {
    return device_status();
  }
  CUstream_st* stream = find_stream(handle);
  if (stream == nullptr) {
    return cudaErrorInvalidResourceHandle;
  }
  if (stream->capture.status == cudaStreamCaptureStatusInvalidated) {
    return cudaErrorStreamCaptureInvalidated;
  }
  if (stream->capture.status == cudaStreamCaptureStatusActive) {
    stream->capture.nodes.push_back(std::move(work));
    return cudaSuccess;
  }
  if (stream == legacy_stream() || stream->blocking) {
    for (CUstream_st* other : streams()) {
      const bool conflicts = stream == legacy_stream() && other->blocking;
      if (conflicts && other->capture.status != cudaStreamCaptureStatusNone) {
        other->capture.status = cudaStreamCaptureStatusInvalidated;
        return cudaErrorStreamCaptureImplicit;
      }
    }
    settle_before(*stream);
  }
  stream->queue.push_back(std::move(work));
  if (settings().streams == Streams::immediate) {
    run_whole(*stream);
    return device_status();
  }
  while (stream->queue.size() > most_queued) {
    run_one(*stream);
  }
  return cudaSuccess;
}

cudaError_t run_all_streams() {
  run_whole(*legacy_stream());
  for (CUstream_st* stream : streams()) {
    run_whole(*stream);
  }
  return device_status();
}

void run_stream_until(cudaStream_t handle, const std::function<bool()>& reached) {
  CUstream_st* stream = find_stream(handle);
  while (stream != nullptr && !stream->queue.empty() && !reached()) {
    run_one(*stream);
  }
}

void run_stream_step(cudaStream_t handle) {
  CUstream_st* stream = find_stream(handle);
  if (stream != nullptr && !stream->queue.empty()) {
    run_one(*stream);
  }
}

cudaError_t unsafe_call_status() {
  if (device_status() != cudaSuccess) {
    return device_status();
  }
  cudaError_t result = cudaSuccess;
  for (CUstream_st* stream : streams()) {
    if (forbids(stream->capture)) {
      stream->capture.status = cudaStreamCaptureStatusInvalidated;
      result = cudaErrorStreamCaptureUnsupported;
    }
  }
  return result;
}

cudaStreamCaptureStatus capture_status(cudaStream_t handle) {
  const CUstream_st* stream = find_stream(handle);
  return stream == nullptr ? cudaStreamCaptureStatusNone : stream->capture.status;
}

void invalidate_capture(cudaStream_t handle) {
  CUstream_st* stream = find_stream(handle);
  if (stream != nullptr && stream->capture.status == cudaStreamCaptureStatusActive) {
    stream->capture.status = cudaStreamCaptureStatusInvalidated;
  }
}

namespace {

/// A wait for a stream that is captured ends the capture.
cudaError_t waitable(cudaStream_t handle) {
  if (device_status() != cudaSuccess) {
    return device_status();
  }
  if (find_stream(handle) == nullptr) {
    return cudaErrorInvalidResourceHandle;
  }
  if (capture_status(handle) == cudaStreamCaptureStatusInvalidated) {
    return cudaErrorStreamCaptureInvalidated;
  }
  if (capture_status(handle) == cudaStreamCaptureStatusActive) {
    invalidate_capture(handle);
    return cudaErrorStreamCaptureUnsupported;
  }
  return cudaSuccess;
}

}  // namespace
}  // namespace cuda_emulator

using namespace cuda_emulator;

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  const std::lock_guard lock(device_lock());
  if (stream == nullptr || (flags != cudaStreamDefault && flags != cudaStreamNonBlocking)) {
    return give(cudaErrorInvalidValue);
  }
  if (device_status() != cudaSuccess) {
    return give(device_status());
  }
  *stream = streams().add(new CUstream_st{flags == cudaStreamDefault, {}, {}});
  return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const std::lock_guard lock(device_lock());
  if (!streams().contains(stream)) {
    return give(cudaErrorInvalidResourceHandle);
  }
  run_whole(*stream);  // work goes on after its stream is gone
  streams().destroy(stream);
  return give(device_status());
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const std::lock_guard lock(device_lock());
  if (const cudaError_t error = waitable(stream); error != cudaSuccess) {
    return give(error);
  }
  settle_before(*find_stream(stream));
  run_whole(*find_stream(stream));
  return give(device_status());
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  const std::lock_guard lock(device_lock());
  if (const cudaError_t error = waitable(stream); error != cudaSuccess) {
    return give(error);
  }
  if (find_stream(stream)->queue.empty()) {
    return cudaSuccess;
  }
  run_stream_step(stream);  // whoever asks again and again waits
  return give(device_status() != cudaSuccess ? device_status() : cudaErrorNotReady);
}

cudaError_t cudaDeviceSynchronize() {
  const std::lock_guard lock(device_lock());
  for (CUstream_st* stream : streams()) {
    if (stream->capture.status == cudaStreamCaptureStatusActive) {
      stream->capture.status = cudaStreamCaptureStatusInvalidated;
      return give(cudaErrorStreamCaptureUnsupported);
    }
  }
  return give(run_all_streams());
}

cudaError_t cudaDeviceReset() {
  const std::lock_guard lock(device_lock());
  legacy_stream()->queue.clear();
  for (CUstream_st* stream : streams()) {
    stream->queue.clear();
    stream->capture = {};
  }
  free_device_memory();
  forget_fault();
  (void)cudaGetLastError();
  return cudaSuccess;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* user_data) {
  const std::lock_guard lock(device_lock());
  return give(function == nullptr ? cudaErrorInvalidValue : submit(stream, HostWork{function, user_data}));
}

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  std::swap(*mode, thread_mode);
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  const std::lock_guard lock(device_lock());
  if (device_status() != cudaSuccess || find_stream(stream) == nullptr) {
    return give(device_status() != cudaSuccess ? device_status() : cudaErrorInvalidResourceHandle);
  }
  *status = capture_status(stream);
  return cudaSuccess;
}
