#include "tests/cuda_emulator/event.h"

#include <algorithm>

#include "tests/cuda_emulator/handles.h"
#include "tests/cuda_emulator/stream.h"
#include "tests/cuda_emulator/stream_queue.h"

namespace cuda_emulator {
namespace {

Handles<CUevent_st>& events() {
  static auto* const handles = new Handles<CUevent_st>(&Outstanding::events);
  return *handles;
}

cudaError_t event_status(cudaEvent_t event) {
  if (device_status() != cudaSuccess) {
    return device_status();
  }
  return events().contains(event) ? cudaSuccess : cudaErrorInvalidResourceHandle;
}

/// A question about an event that was recorded into a graph has no answer, and ends the capture.
cudaError_t waitable(cudaEvent_t event) {
  if (const cudaError_t error = event_status(event); error != cudaSuccess) {
    return error;
  }
  if (event->captured) {
    invalidate_capture(event->stream);
    return cudaErrorCapturedEvent;
  }
  return unsafe_call_status();
}

}  // namespace

void event_reached(cudaEvent_t event, std::uint64_t number) {
  if (events().contains(event) && number > event->reached) {
    event->reached = number;
    event->time = std::chrono::steady_clock::now();
  }
}

void run_until_event(cudaEvent_t event, std::uint64_t number) {
  if (events().contains(event)) {
    run_stream_until(event->stream, [event, number] { return event->reached >= number; });
  }
}

}  // namespace cuda_emulator

using namespace cuda_emulator;

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  const std::lock_guard lock(device_lock());
  if (event == nullptr || (flags & ~(cudaEventBlockingSync | cudaEventDisableTiming)) != 0) {
    return give(cudaErrorInvalidValue);
  }
  if (device_status() != cudaSuccess) {
    return give(device_status());
  }
  *event = events().add(new CUevent_st);
  (*event)->timed = (flags & cudaEventDisableTiming) == 0;
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  const std::lock_guard lock(device_lock());
  return give(events().destroy(event) ? device_status() : cudaErrorInvalidResourceHandle);
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const std::lock_guard lock(device_lock());
  if (const cudaError_t error = event_status(event); error != cudaSuccess) {
    return give(error);
  }
  static std::uint64_t recordings = 0;
  const bool captured = capture_status(stream) != cudaStreamCaptureStatusNone;
  const std::uint64_t number = ++recordings;
  const cudaError_t error = submit(stream, RecordWork{event, number});
  if (error == cudaSuccess) {
    event->stream = stream;
    event->captured = captured;
    event->recorded = number;
  }
  return give(error);
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const std::lock_guard lock(device_lock());
  if (const cudaError_t error = waitable(event); error != cudaSuccess) {
    return give(error);
  }
  run_until_event(event, event->recorded);
  return give(device_status());
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  const std::lock_guard lock(device_lock());
  if (const cudaError_t error = waitable(event); error != cudaSuccess) {
    return give(error);
  }
  if (event->reached >= event->recorded) {
    return cudaSuccess;
  }
  // Somebody who asks again and again waits: one step each time, so that the answer comes.
  run_stream_step(event->stream);
  return give(device_status() != cudaSuccess ? device_status() : cudaErrorNotReady);
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  const std::lock_guard lock(device_lock());
  for (const cudaEvent_t event : {start, end}) {
    if (const cudaError_t error = event_status(event); error != cudaSuccess) {
      return give(error);
    }
    if (!event->timed || event->recorded == 0) {
      return give(cudaErrorInvalidResourceHandle);
    }
    if (event->reached < event->recorded) {
      return give(cudaErrorNotReady);
    }
  }
  *milliseconds = std::chrono::duration<float, std::milli>(end->time - start->time).count();
  return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags) {
  const std::lock_guard lock(device_lock());
  if (flags != 0) {
    return give(cudaErrorInvalidValue);
  }
  if (const cudaError_t error = event_status(event); error != cudaSuccess) {
    return give(error);
  }
  const bool captures = capture_status(stream) != cudaStreamCaptureStatusNone;
  if (event->captured || captures) {
    // Only what the stream itself recorded is in its past anyway; capture across streams is not emulated.
    if (event->captured && captures && event->stream == stream) {
      return cudaSuccess;
    }
    invalidate_capture(captures ? stream : event->stream);
    return give(cudaErrorStreamCaptureIsolation);
  }
  return give(event->recorded == 0 ? cudaSuccess : submit(stream, WaitWork{event, event->recorded}));
}
