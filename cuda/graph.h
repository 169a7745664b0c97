// A captured CUDA graph, ready to be launched again and again: what CudaBackend::record() gives.
//
//   StreamCapture capture(stream);      // work queued on the stream from here on is captured
//   launch(...);
//   return std::make_unique<GraphRecording>(capture.end(), device, stream);
#pragma once

#include "cuda/check.h"

#include <twingrad/backend.h>

#include <utility>

namespace twingrad::cuda {

/// A graph as it comes from a capture.
class CapturedGraph {
 public:
  explicit CapturedGraph(cudaGraph_t graph) : graph_(graph) {}
  CapturedGraph(CapturedGraph&& other) noexcept : graph_(std::exchange(other.graph_, nullptr)) {}
  CapturedGraph& operator=(CapturedGraph&&) = delete;
  ~CapturedGraph() {
    if (graph_ != nullptr) {
      (void)cudaGraphDestroy(graph_);
    }
  }
  cudaGraph_t get() const { return graph_; }

 private:
  cudaGraph_t graph_;
};

/// While one lives, what this thread queues on the stream is captured instead of run. Other threads may go on with
/// theirs. Ended by its destructor, the stream is usable as before, and what was captured is thrown away.
class StreamCapture {
 public:
  explicit StreamCapture(cudaStream_t stream) : stream_(stream) {
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  }
  StreamCapture(const StreamCapture&) = delete;
  StreamCapture& operator=(const StreamCapture&) = delete;
  ~StreamCapture() {
    if (capturing_) {
      cudaGraph_t graph = nullptr;
      (void)cudaStreamEndCapture(stream_, &graph);
      (void)cudaGetLastError();  // an invalid capture ends with an error, too
      const CapturedGraph discarded(graph);
    }
  }

  CapturedGraph end() {
    capturing_ = false;
    cudaGraph_t graph = nullptr;
    const cudaError_t status = cudaStreamEndCapture(stream_, &graph);
    CapturedGraph captured(graph);
    check(status, "cudaStreamEndCapture");
    return captured;
  }

 private:
  cudaStream_t stream_;
  bool capturing_ = true;
};

class GraphRecording final : public Recording {
 public:
  GraphRecording(const CapturedGraph& captured, int device, cudaStream_t stream) : device_(device), stream_(stream) {
    check(cudaGraphGetNodes(captured.get(), nullptr, &nodes_), "cudaGraphGetNodes");
    check(cudaGraphInstantiate(&executable_, captured.get(), 0), "cudaGraphInstantiate");
    const cudaError_t status = cudaGraphUpload(executable_, stream_);
    if (status != cudaSuccess) {
      (void)cudaGraphExecDestroy(executable_);
      check(status, "cudaGraphUpload");
    }
  }
  /// Launches that still wait are run, and the driver frees the graph after them.
  ~GraphRecording() override { (void)cudaGraphExecDestroy(executable_); }

  void replay() override {
    check(cudaSetDevice(device_), "cudaSetDevice");
    check(cudaGraphLaunch(executable_, stream_), "cudaGraphLaunch");
  }
  std::size_t size() const override { return nodes_; }

 private:
  int device_;
  cudaStream_t stream_;
  cudaGraphExec_t executable_ = nullptr;
  std::size_t nodes_ = 0;
};

}  // namespace twingrad::cuda
