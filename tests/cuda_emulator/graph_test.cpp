// Capture and graphs: what a replay reads, what may change, and what ends a capture.
#include "tests/cuda_emulator/fixture.h"

namespace cuda_emulator {
namespace {

__global__ void add(int* value, int amount) {
  *value += amount;
}
__global__ void multiply(int* value, int amount) {
  *value *= amount;
}

class GraphTest : public EmulatorTest {
 protected:
  void SetUp() override {
    EmulatorTest::SetUp();
    ASSERT_EQ(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), cudaSuccess);
    value_ = upload(std::vector<int>{1});
  }
  void TearDown() override {
    EmulatorTest::TearDown();
    EXPECT_EQ(cudaStreamDestroy(stream_), cudaSuccess);
  }

  void begin(cudaStreamCaptureMode mode = cudaStreamCaptureModeThreadLocal) {
    ASSERT_EQ(cudaStreamBeginCapture(stream_, mode), cudaSuccess);
  }
  cudaGraph_t end() {
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaSuccess);
    return graph;
  }
  /// add(amount), then multiply(2).
  cudaGraph_t captured(int amount) {
    begin();
    EXPECT_EQ(launch_on(stream_, add, 1, 1, value_, amount), cudaSuccess);
    EXPECT_EQ(launch_on(stream_, multiply, 1, 1, value_, 2), cudaSuccess);
    return end();
  }
  static cudaGraphExec_t instantiate(cudaGraph_t graph) {
    cudaGraphExec_t executable = nullptr;
    EXPECT_EQ(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
    return executable;
  }
  int value() {
    EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
    return download(value_, 1)[0];
  }
  void replay(cudaGraphExec_t executable) { EXPECT_EQ(cudaGraphLaunch(executable, stream_), cudaSuccess); }

  /// Expects that `call` fails with `error` while the stream is captured, and that the capture is lost.
  template <class Call>
  void expect_ends_capture(cudaStreamCaptureMode mode, const Call& call, cudaError_t error) {
    begin(mode);
    EXPECT_EQ(call(), error);
    cudaStreamCaptureStatus status{};
    EXPECT_EQ(cudaStreamIsCapturing(stream_, &status), cudaSuccess);
    EXPECT_EQ(status, cudaStreamCaptureStatusInvalidated);
    EXPECT_EQ(launch_on(stream_, add, 1, 1, value_, 1), cudaErrorStreamCaptureInvalidated);
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaErrorStreamCaptureInvalidated);
    EXPECT_EQ(graph, nullptr);
    (void)cudaGetLastError();
  }

  cudaStream_t stream_ = nullptr;
  int* value_ = nullptr;
};

TEST_F(GraphTest, CapturingRunsNothingAndReplaysRunAll) {
  cudaGraph_t graph = captured(3);
  EXPECT_EQ(value(), 1);
  std::size_t count = 0;
  EXPECT_EQ(cudaGraphGetNodes(graph, nullptr, &count), cudaSuccess);
  EXPECT_EQ(count, 2U);
  cudaGraphExec_t executable = instantiate(graph);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  replay(executable);
  EXPECT_EQ(value(), 8);
  replay(executable);
  replay(executable);
  EXPECT_EQ(value(), 50);
  EXPECT_EQ(cudaGraphExecDestroy(executable), cudaSuccess);
  EXPECT_EQ(cudaGraphExecDestroy(executable), cudaErrorInvalidValue);
}

TEST_F(GraphTest, AnUpdateTakesTheParametersOfAnotherCapture) {
  cudaGraph_t graph = captured(3);
  cudaGraph_t other = captured(5);
  cudaGraphExec_t executable = instantiate(graph);
  cudaGraphExecUpdateResultInfo result{};
  EXPECT_EQ(cudaGraphExecUpdate(executable, other, &result), cudaSuccess);
  EXPECT_EQ(result.result, cudaGraphExecUpdateSuccess);
  replay(executable);
  EXPECT_EQ(value(), 12);
  cudaGraphDestroy(graph);
  cudaGraphDestroy(other);
  cudaGraphExecDestroy(executable);
}

TEST_F(GraphTest, AnUpdateRefusesAnotherShape) {
  cudaGraph_t graph = captured(3);
  begin();
  EXPECT_EQ(launch_on(stream_, add, 1, 1, value_, 1), cudaSuccess);
  cudaGraph_t shorter = end();
  begin();
  EXPECT_EQ(launch_on(stream_, add, 1, 1, value_, 1), cudaSuccess);
  EXPECT_EQ(cudaMemsetAsync(value_, 0, sizeof(int), stream_), cudaSuccess);
  cudaGraph_t fills = end();
  cudaGraphExec_t executable = instantiate(graph);
  cudaGraphExecUpdateResultInfo result{};
  EXPECT_EQ(cudaGraphExecUpdate(executable, shorter, &result), cudaErrorGraphExecUpdateFailure);
  EXPECT_EQ(result.result, cudaGraphExecUpdateErrorTopologyChanged);
  EXPECT_EQ(cudaGraphExecUpdate(executable, fills, &result), cudaErrorGraphExecUpdateFailure);
  EXPECT_EQ(result.result, cudaGraphExecUpdateErrorNodeTypeChanged);
  replay(executable);
  EXPECT_EQ(value(), 8) << "a refused update must change nothing";
  for (cudaGraph_t one : {graph, shorter, fills}) {
    cudaGraphDestroy(one);
  }
  cudaGraphExecDestroy(executable);
}

TEST_F(GraphTest, OneNodesParametersCanBeSet) {
  cudaGraph_t graph = captured(3);
  cudaGraphExec_t executable = instantiate(graph);
  cudaGraphNode_t nodes[2] = {};
  std::size_t count = 2;
  ASSERT_EQ(cudaGraphGetNodes(graph, nodes, &count), cudaSuccess);
  cudaKernelNodeParams parameters{};
  ASSERT_EQ(cudaGraphKernelNodeGetParams(nodes[0], &parameters), cudaSuccess);
  EXPECT_EQ(*static_cast<int*>(parameters.kernelParams[1]), 3);
  int amount = 10;
  void* arguments[] = {&value_, &amount};
  parameters.kernelParams = arguments;
  EXPECT_EQ(cudaGraphExecKernelNodeSetParams(executable, nodes[0], &parameters), cudaSuccess);
  amount = 0;
  replay(executable);
  EXPECT_EQ(value(), 22);
  cudaGraphDestroy(graph);
  cudaGraphExecDestroy(executable);
}

TEST_F(GraphTest, WaitsEndACapture) {
  cudaEvent_t event = nullptr;
  ASSERT_EQ(cudaEventCreate(&event), cudaSuccess);
  for (const cudaStreamCaptureMode mode :
       {cudaStreamCaptureModeGlobal, cudaStreamCaptureModeThreadLocal, cudaStreamCaptureModeRelaxed}) {
    expect_ends_capture(
        mode, [&] { return cudaStreamSynchronize(stream_); }, cudaErrorStreamCaptureUnsupported);
    expect_ends_capture(
        mode, [&] { return cudaStreamQuery(stream_); }, cudaErrorStreamCaptureUnsupported);
    expect_ends_capture(
        mode, [] { return cudaDeviceSynchronize(); }, cudaErrorStreamCaptureUnsupported);
    expect_ends_capture(
        mode,
        [&] {
          EXPECT_EQ(cudaEventRecord(event, stream_), cudaSuccess);
          return cudaEventSynchronize(event);
        },
        cudaErrorCapturedEvent);
  }
  cudaEventDestroy(event);
}

TEST_F(GraphTest, AllocatingEndsACaptureThatIsNotRelaxed) {
  void* memory = nullptr;
  const auto allocate = [&] { return cudaMalloc(&memory, 16); };
  expect_ends_capture(cudaStreamCaptureModeGlobal, allocate, cudaErrorStreamCaptureUnsupported);
  expect_ends_capture(cudaStreamCaptureModeThreadLocal, allocate, cudaErrorStreamCaptureUnsupported);
  begin(cudaStreamCaptureModeRelaxed);
  EXPECT_EQ(allocate(), cudaSuccess);
  cudaGraphDestroy(end());
}

TEST_F(GraphTest, CopiesOfPageableMemoryEndACapture) {
  int host = 0;
  expect_ends_capture(
      cudaStreamCaptureModeRelaxed,
      [&] { return cudaMemcpyAsync(value_, &host, sizeof host, cudaMemcpyHostToDevice, stream_); },
      cudaErrorStreamCaptureUnsupported);
}

TEST_F(GraphTest, CopiesOfPinnedMemoryReadItAtEachReplay) {
  void* memory = nullptr;
  ASSERT_EQ(cudaMallocHost(&memory, sizeof(int)), cudaSuccess);
  auto* pinned = static_cast<int*>(memory);
  begin();
  EXPECT_EQ(cudaMemcpyAsync(value_, pinned, sizeof(int), cudaMemcpyHostToDevice, stream_), cudaSuccess);
  cudaGraph_t graph = end();
  cudaGraphExec_t executable = instantiate(graph);
  for (const int number : {7, 8}) {
    *pinned = number;
    replay(executable);
    EXPECT_EQ(value(), number);
  }
  cudaGraphDestroy(graph);
  cudaGraphExecDestroy(executable);
  EXPECT_EQ(cudaFreeHost(memory), cudaSuccess);
}

TEST_F(GraphTest, BeginAndEndBelongTogether) {
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaErrorIllegalState);
  EXPECT_EQ(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeRelaxed), cudaErrorStreamCaptureUnsupported);
  begin();
  EXPECT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeRelaxed), cudaErrorIllegalState);
  cudaGraphDestroy(end());
}

}  // namespace
}  // namespace cuda_emulator
