// Pinned host memory that copies from the host pass through: the source may be reused as soon as its bytes are here,
// and the host runs ahead of the device. A ring of segments; entering a segment waits for the copies that last used it.
#pragma once

#include "cuda/check.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

namespace twingrad::cuda {

class Staging {
 public:
  explicit Staging(cudaStream_t stream) : stream_(stream) {}
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;
  ~Staging() {
    for (const cudaEvent_t event : done_) {
      if (event != nullptr) {
        (void)cudaEventDestroy(event);
      }
    }
    (void)cudaFreeHost(memory_);
  }

  /// Queues a copy to the device, in pieces where it is longer than a segment.
  void copy_from_host(void* target, const void* source, std::size_t bytes) {
    prepare();
    auto* to = static_cast<std::byte*>(target);
    const auto* from = static_cast<const std::byte*>(source);
    while (bytes > 0) {
      if (used_ == segment_bytes) {
        enter_next_segment();
      }
      const std::size_t piece = std::min(bytes, segment_bytes - used_);
      std::byte* place = memory_ + segment_ * segment_bytes + used_;
      std::memcpy(place, from, piece);
      check(cudaMemcpyAsync(to, place, piece, cudaMemcpyHostToDevice, stream_), "cudaMemcpyAsync to the device");
      used_ = std::min(segment_bytes, (used_ + piece + 15) / 16 * 16);
      to += piece;
      from += piece;
      bytes -= piece;
    }
  }

 private:
  static constexpr std::size_t segments = 4;
  static constexpr std::size_t segment_bytes = std::size_t{1} << 20;

  void prepare() {
    if (memory_ != nullptr) {
      return;
    }
    for (cudaEvent_t& event : done_) {
      if (event == nullptr) {
        check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreateWithFlags");
      }
    }
    void* memory = nullptr;
    check(cudaMallocHost(&memory, segments * segment_bytes), "cudaMallocHost of the staging buffer");
    memory_ = static_cast<std::byte*>(memory);
  }
  void enter_next_segment() {
    check(cudaEventRecord(done_[segment_], stream_), "cudaEventRecord");
    segment_ = (segment_ + 1) % segments;
    used_ = 0;
    check(cudaEventSynchronize(done_[segment_]), "cudaEventSynchronize");
  }

  cudaStream_t stream_;
  std::array<cudaEvent_t, segments> done_{};
  std::byte* memory_ = nullptr;
  std::size_t segment_ = 0;
  std::size_t used_ = 0;
};

}  // namespace twingrad::cuda
