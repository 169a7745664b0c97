// A timed event on the backend's stream: what CudaBackend::mark() gives.
//
//   EventMark before(device, stream);
//   launch(...);
//   const double seconds = EventMark(device, stream).seconds_since(before);
#pragma once

#include "cuda/check.h"

#include <twingrad/backend.h>

namespace twingrad::cuda {

class EventMark final : public QueueMark {
 public:
  EventMark(int device, cudaStream_t stream) : device_(device) {
    check(cudaEventCreate(&event_), "cudaEventCreate");
    const cudaError_t status = cudaEventRecord(event_, stream);
    if (status != cudaSuccess) {
      (void)cudaEventDestroy(event_);
      check(status, "cudaEventRecord");
    }
  }
  ~EventMark() override { (void)cudaEventDestroy(event_); }

  double seconds_since(const QueueMark& earlier) const override {
    check(cudaSetDevice(device_), "cudaSetDevice");
    check(cudaEventSynchronize(event_), "cudaEventSynchronize");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, static_cast<const EventMark&>(earlier).event_, event_),
          "cudaEventElapsedTime");
    return 1e-3 * static_cast<double>(milliseconds);
  }

 private:
  int device_;
  cudaEvent_t event_ = nullptr;
};

}  // namespace twingrad::cuda
