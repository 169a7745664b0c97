// Events: the recording that was reached last, and the one that is waited for. Private to the emulator.
#pragma once

#include <cuda_runtime_api.h>

#include <chrono>
#include <cstdint>

namespace cuda_emulator {

/// Called when a stream comes to a recording.
void event_reached(cudaEvent_t event, std::uint64_t number);
/// Runs the stream that the event was recorded on until recording `number` is reached.
void run_until_event(cudaEvent_t event, std::uint64_t number);

}  // namespace cuda_emulator

struct CUevent_st {
  bool timed = true;
  cudaStream_t stream = nullptr;  ///< of the last recording
  bool captured = false;          ///< the last recording was into a graph
  std::uint64_t recorded = 0;     ///< number of the last recording that was queued, among those of all events; 0: none
  std::uint64_t reached = 0;      ///< the last one reached; of an earlier event at this address, where that is less
  std::chrono::steady_clock::time_point time;
};
