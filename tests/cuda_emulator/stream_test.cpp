// Streams: queued work runs when somebody waits, so host code that forgot to wait sees that it did.
#include <cstring>

#include "tests/cuda_emulator/fixture.h"

namespace cuda_emulator {
namespace {

class StreamTest : public EmulatorTest {
 protected:
  void SetUp() override {
    EmulatorTest::SetUp();
    ASSERT_EQ(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), cudaSuccess);
    void* memory = nullptr;
    ASSERT_EQ(cudaMallocHost(&memory, sizeof(int)), cudaSuccess);
    pinned_ = static_cast<int*>(memory);
    *pinned_ = 0;
    value_ = upload(std::vector<int>{0});
  }
  void TearDown() override {
    EXPECT_EQ(cudaStreamDestroy(stream_), cudaSuccess);
    EXPECT_EQ(cudaFreeHost(pinned_), cudaSuccess);
    EmulatorTest::TearDown();
  }

  void queue_add_and_copy();

  cudaStream_t stream_ = nullptr;
  int* pinned_ = nullptr;
  int* value_ = nullptr;
};

__global__ void add_one(int* value) {
  *value += 1;
}

void StreamTest::queue_add_and_copy() {
  EXPECT_EQ(launch_on(stream_, add_one, 1, 1, value_), cudaSuccess);
  EXPECT_EQ(cudaMemcpyAsync(pinned_, value_, sizeof(int), cudaMemcpyDeviceToHost, stream_), cudaSuccess);
}

TEST_F(StreamTest, ReadingPinnedMemoryBeforeTheEndShowsTheOldValue) {
  queue_add_and_copy();
  EXPECT_EQ(*pinned_, 0);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_EQ(*pinned_, 1);
}

TEST_F(StreamTest, CanRunAtOnce) {
  set_streams(Streams::immediate);
  queue_add_and_copy();
  EXPECT_EQ(*pinned_, 1);
}

TEST_F(StreamTest, ACopyFromPinnedMemoryReadsItWhenItRuns) {
  *pinned_ = 5;
  EXPECT_EQ(cudaMemcpyAsync(value_, pinned_, sizeof(int), cudaMemcpyHostToDevice, stream_), cudaSuccess);
  *pinned_ = 6;  // too early
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_EQ(download(value_, 1)[0], 6);
}

TEST_F(StreamTest, ACopyFromPageableMemoryReadsItAtOnce) {
  int source = 5;
  EXPECT_EQ(cudaMemcpyAsync(value_, &source, sizeof(int), cudaMemcpyHostToDevice, stream_), cudaSuccess);
  source = 6;
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_EQ(download(value_, 1)[0], 5);
}

TEST_F(StreamTest, EventsWaitForWhatCameBefore) {
  cudaEvent_t event = nullptr;
  ASSERT_EQ(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), cudaSuccess);
  EXPECT_EQ(cudaEventQuery(event), cudaSuccess) << "never recorded";
  queue_add_and_copy();
  EXPECT_EQ(cudaEventRecord(event, stream_), cudaSuccess);
  queue_add_and_copy();
  EXPECT_EQ(cudaEventSynchronize(event), cudaSuccess);
  EXPECT_EQ(*pinned_, 1);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_EQ(*pinned_, 2);
  EXPECT_EQ(cudaEventDestroy(event), cudaSuccess);
  EXPECT_EQ(cudaEventDestroy(event), cudaErrorInvalidResourceHandle);
}

TEST_F(StreamTest, AnEventStandsForItsLastRecording) {
  cudaStream_t other = nullptr;
  cudaEvent_t event = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking), cudaSuccess);
  ASSERT_EQ(cudaEventCreate(&event), cudaSuccess);
  EXPECT_EQ(cudaEventRecord(event, stream_), cudaSuccess);
  EXPECT_EQ(cudaEventRecord(event, other), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(other), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_EQ(cudaEventQuery(event), cudaSuccess) << "the first recording was reached last, and must not count";
  EXPECT_EQ(cudaStreamDestroy(other), cudaSuccess);
  // A recording of an event that is gone means nothing to the next one, which may lie at the same address.
  EXPECT_EQ(cudaEventRecord(event, stream_), cudaSuccess);
  EXPECT_EQ(cudaEventDestroy(event), cudaSuccess);
  ASSERT_EQ(cudaEventCreate(&event), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_EQ(cudaEventQuery(event), cudaSuccess);
  EXPECT_EQ(cudaEventDestroy(event), cudaSuccess);
}

TEST_F(StreamTest, AskingAgainAndAgainEnds) {
  cudaEvent_t event = nullptr;
  ASSERT_EQ(cudaEventCreate(&event), cudaSuccess);
  queue_add_and_copy();
  EXPECT_EQ(cudaEventRecord(event, stream_), cudaSuccess);
  EXPECT_EQ(cudaEventQuery(event), cudaErrorNotReady);
  while (cudaEventQuery(event) == cudaErrorNotReady) {
  }
  EXPECT_EQ(*pinned_, 1);
  EXPECT_EQ(cudaEventDestroy(event), cudaSuccess);
}

TEST_F(StreamTest, OneStreamWaitsForAnothersEvent) {
  cudaStream_t other = nullptr;
  cudaEvent_t event = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking), cudaSuccess);
  ASSERT_EQ(cudaEventCreate(&event), cudaSuccess);
  EXPECT_EQ(launch_on(other, add_one, 1, 1, value_), cudaSuccess);
  EXPECT_EQ(cudaEventRecord(event, other), cudaSuccess);
  EXPECT_EQ(cudaStreamWaitEvent(stream_, event, 0), cudaSuccess);
  queue_add_and_copy();
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_EQ(*pinned_, 2);
  EXPECT_EQ(cudaEventDestroy(event), cudaSuccess);
  EXPECT_EQ(cudaStreamDestroy(other), cudaSuccess);
}

TEST_F(StreamTest, ArgumentsAreThoseOfTheLaunch) {
  cudaLaunchConfig_t config{};
  config.stream = stream_;
  int* argument = value_;
  EXPECT_EQ(cudaLaunchKernelEx(&config, add_one, argument), cudaSuccess);
  argument = nullptr;
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_EQ(download(value_, 1)[0], 1);
}

TEST_F(StreamTest, FreeingWaits) {
  queue_add_and_copy();
  EXPECT_EQ(cudaFree(value_), cudaSuccess);
  EXPECT_EQ(*pinned_, 1);
}

TEST_F(StreamTest, AStreamThatIsGoneIsRefused) {
  cudaStream_t other = nullptr;
  ASSERT_EQ(cudaStreamCreate(&other), cudaSuccess);
  ASSERT_EQ(cudaStreamDestroy(other), cudaSuccess);
  EXPECT_EQ(launch_on(other, add_one, 1, 1, value_), cudaErrorInvalidResourceHandle);
}

}  // namespace
}  // namespace cuda_emulator
