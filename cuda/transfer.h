// Page-locked host memory whose copies to the device run on a stream of their own, beside the kernels: what
// CudaBackend::make_transfer() gives. Two events keep order: a copy waits for the kernels that use its target before,
// and kernels that use it afterwards wait for the copy. The program waits for neither; whoever is to fill the memory
// again waits until it has been read.
#pragma once

#include "cuda/check.h"

#include <twingrad/backend.h>

#include <cstddef>
#include <string>

namespace twingrad::cuda {

class PinnedTransfer final : public Transfer {
 public:
  /// `work`: the stream that kernels are queued on; `copies`: the one for copies. Both outlive this.
  PinnedTransfer(int device, cudaStream_t work, cudaStream_t copies, std::size_t bytes)
      : device_(device), work_(work), copies_(copies) {
    void* memory = nullptr;
    const cudaError_t status = cudaMallocHost(&memory, bytes);
    if (status == cudaErrorMemoryAllocation) {
      (void)cudaGetLastError();
      throw OutOfMemoryError("no " + std::to_string(bytes) +
                             " bytes of page-locked host memory for copies to the GPU; use a smaller batch or prefetch "
                             "fewer");
    }
    check(status, "cudaMallocHost of a transfer");
    memory_ = static_cast<std::byte*>(memory);
    try {
      for (cudaEvent_t* const event : {&used_, &copied_}) {
        check(cudaEventCreateWithFlags(event, cudaEventDisableTiming), "cudaEventCreateWithFlags");
      }
    } catch (...) {
      release();
      throw;
    }
  }
  ~PinnedTransfer() override {
    (void)cudaSetDevice(device_);
    (void)cudaEventSynchronize(copied_);
    release();
  }

  void begin() override {
    check(cudaSetDevice(device_), "cudaSetDevice");
    check(cudaEventRecord(used_, work_), "cudaEventRecord");
  }
  void finish() override {
    check(cudaSetDevice(device_), "cudaSetDevice");
    check(cudaStreamWaitEvent(work_, copied_, 0), "cudaStreamWaitEvent");
  }
  void wait() override {
    check(cudaSetDevice(device_), "cudaSetDevice");
    check(cudaEventSynchronize(copied_), "cudaEventSynchronize");
  }
  std::byte* host(void* /*target*/) override { return memory_; }
  void copy(void* target, std::size_t bytes) override {
    check(cudaSetDevice(device_), "cudaSetDevice");
    check(cudaStreamWaitEvent(copies_, used_, 0), "cudaStreamWaitEvent");
    check(cudaMemcpyAsync(target, memory_, bytes, cudaMemcpyHostToDevice, copies_), "cudaMemcpyAsync to the device");
    check(cudaEventRecord(copied_, copies_), "cudaEventRecord");
  }

 private:
  void release() noexcept {
    for (const cudaEvent_t event : {used_, copied_}) {
      if (event != nullptr) {
        (void)cudaEventDestroy(event);
      }
    }
    (void)cudaFreeHost(memory_);
  }

  int device_;
  cudaStream_t work_;
  cudaStream_t copies_;
  std::byte* memory_ = nullptr;
  cudaEvent_t used_ = nullptr;
  cudaEvent_t copied_ = nullptr;
};

}  // namespace twingrad::cuda
