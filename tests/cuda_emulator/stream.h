// Streams: queues of work, and which of them records into a graph. Private to the emulator.
#pragma once

#include <cuda_runtime_api.h>

#include "tests/cuda_emulator/work.h"

namespace cuda_emulator {

/// Queues work on a stream, runs it at once where streams are immediate, or records it where the stream is captured.
cudaError_t submit(cudaStream_t stream, Work work);

/// Runs all that is queued anywhere. Gives the device's status afterwards.
cudaError_t run_all_streams();

/// Whether a call may go on that would wait, allocate or free: not in a capture that forbids it, which it ends. Also
/// gives the sticky error.
cudaError_t unsafe_call_status();

cudaStreamCaptureStatus capture_status(cudaStream_t stream);
/// Ends a capture that is going on there.
void invalidate_capture(cudaStream_t stream);

}  // namespace cuda_emulator
