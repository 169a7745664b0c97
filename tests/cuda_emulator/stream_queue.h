// A stream's queue and its capture. Private to the emulator: stream.cpp, event.cpp and graph.cpp.
#pragma once

#include <cuda_runtime_api.h>

#include <deque>
#include <functional>
#include <thread>

#include "tests/cuda_emulator/work.h"

namespace cuda_emulator {

struct Capture {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  std::thread::id thread;
  std::vector<Work> nodes;
};

/// The stream of a handle (nullptr is the legacy default stream), or nullptr where there is none.
struct CUstream_st* find_stream(cudaStream_t stream);

/// Runs work of one stream, first in first out, until `reached` says so or nothing is left.
void run_stream_until(cudaStream_t stream, const std::function<bool()>& reached);
/// One piece of work.
void run_stream_step(cudaStream_t stream);

}  // namespace cuda_emulator

struct CUstream_st {
  bool blocking = false;  ///< waits for the legacy default stream, and it for this one
  std::deque<cuda_emulator::Work> queue;
  cuda_emulator::Capture capture;
};
