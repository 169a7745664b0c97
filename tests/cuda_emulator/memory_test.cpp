// Memory of the emulated device: fresh memory is no number, and misuse of pointers is refused.
#include <cmath>

#include "tests/cuda_emulator/fixture.h"

namespace cuda_emulator {
namespace {

class MemoryTest : public EmulatorTest {};

__global__ void copy_floats(const float* x, float* out) {
  out[threadIdx.x] = x[threadIdx.x];
}

TEST_F(MemoryTest, FreshMemoryReadsAsNaN) {
  const float* x = allocate<float>(32);
  float* out = upload(std::vector<float>(32));
  EXPECT_EQ(launch(copy_floats, 1, 32, x, out), cudaSuccess);
  for (const float value : download(out, 32)) {
    EXPECT_TRUE(std::isnan(value));
  }
}

TEST_F(MemoryTest, FreesOnlyWhatItGave) {
  std::vector<char> host(16);
  char* memory = allocate<char>(16);
  void* pinned = nullptr;
  ASSERT_EQ(cudaMallocHost(&pinned, 16), cudaSuccess);
  EXPECT_EQ(cudaFree(host.data()), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(memory + 1), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(pinned), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFreeHost(memory), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(memory), cudaSuccess);
  EXPECT_EQ(cudaFree(memory), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(nullptr), cudaSuccess);
  EXPECT_EQ(cudaFreeHost(pinned), cudaSuccess);
}

TEST_F(MemoryTest, CopiesLookAtBothSides) {
  std::vector<char> host(64);
  char* a = allocate<char>(32);
  char* b = allocate<char>(32);
  const auto copy = [](void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
    return cudaMemcpy(to, from, bytes, kind);
  };
  EXPECT_EQ(copy(a, host.data(), 32, cudaMemcpyHostToDevice), cudaSuccess);
  EXPECT_EQ(copy(b, a, 32, cudaMemcpyDeviceToDevice), cudaSuccess);
  EXPECT_EQ(copy(host.data(), b, 32, cudaMemcpyDefault), cudaSuccess);
  EXPECT_EQ(copy(a, host.data(), 32, cudaMemcpyDeviceToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(copy(a, b, 32, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(copy(host.data(), b, 32, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(copy(a, host.data(), 33, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(copy(a + 1, host.data(), 32, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemset(a, 0, 33), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemset(host.data(), 0, 3), cudaErrorInvalidValue);
}

TEST_F(MemoryTest, KnowsWhatAPointerIs) {
  char* memory = allocate<char>(16);
  int on_host = 0;
  cudaPointerAttributes attributes{};
  ASSERT_EQ(cudaPointerGetAttributes(&attributes, memory + 15), cudaSuccess);
  EXPECT_EQ(attributes.type, cudaMemoryTypeDevice);
  ASSERT_EQ(cudaPointerGetAttributes(&attributes, &on_host), cudaSuccess);
  EXPECT_EQ(attributes.type, cudaMemoryTypeUnregistered);
}

TEST_F(MemoryTest, EndsAndCounts) {
  void* memory = nullptr;
  EXPECT_EQ(cudaMalloc(&memory, std::size_t{1} << 50), cudaErrorMemoryAllocation);
  EXPECT_EQ(memory, nullptr);
  const Outstanding before = outstanding();
  allocate<char>(100);
  EXPECT_EQ(outstanding().device_allocations, before.device_allocations + 1);
  EXPECT_EQ(outstanding().device_bytes, before.device_bytes + 100);
}

}  // namespace
}  // namespace cuda_emulator
