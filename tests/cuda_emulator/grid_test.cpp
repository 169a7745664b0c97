// Threads of a block: every one runs once, barriers and exchanges do what CUDA says, and kernels that are wrong are
// found.
#include <cmath>

#include "tests/cuda_emulator/fixture.h"

namespace cuda_emulator {
namespace {

class GridTest : public EmulatorTest {
 protected:
  /// The results of a kernel in each order of threads.
  template <class T, class Run>
  std::vector<std::vector<T>> in_all_orders(const Run& run) {
    std::vector<std::vector<T>> results;
    set_order(Order::forward);
    results.push_back(run());
    set_order(Order::reverse);
    results.push_back(run());
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
      set_order(Order::random, seed);
      results.push_back(run());
    }
    return results;
  }
};

__global__ void where_am_i(int* out) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  atomicAdd(&out[block * blockDim.x * blockDim.y * blockDim.z + thread], static_cast<int>(1 + 1000 * block + thread));
}

TEST_F(GridTest, RunsEveryThreadOfEveryBlockOnce) {
  const auto run = [&] {
    int* out = upload(std::vector<int>(2 * 3 * 4 * 60));
    EXPECT_EQ(launch(where_am_i, {2, 3, 4}, {3, 4, 5}, out), cudaSuccess);
    return download(out, 2 * 3 * 4 * 60);
  };
  for (const std::vector<int>& result : in_all_orders<int>(run)) {
    for (std::size_t i = 0; i < result.size(); ++i) {
      ASSERT_EQ(result[i], static_cast<int>(1 + 1000 * (i / 60) + i % 60)) << i;
    }
  }
}

TEST_F(GridTest, KernelsThatDoNotWaitAreNotSwitched) {
  int* out = upload(std::vector<int>(60));
  const std::uint64_t before = counters().switches;
  EXPECT_EQ(launch(where_am_i, 1, {3, 4, 5}, out), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_EQ(counters().switches, before);
}

/// Each thread takes its right neighbour's number, with a barrier in between or without.
template <bool waits>
__global__ void rotate(int* out) {
  __shared__ int shared[64];
  shared[threadIdx.x] = static_cast<int>(threadIdx.x) + out[threadIdx.x];
  if (waits) {
    __syncthreads();
  }
  out[threadIdx.x] = shared[(threadIdx.x + 1) % 64];
}

TEST_F(GridTest, BarriersMakeSharedMemoryAgree) {
  const auto run = [&] {
    int* out = upload(std::vector<int>(64));
    EXPECT_EQ(launch(rotate<true>, 1, 64, out), cudaSuccess);
    return download(out, 64);
  };
  for (const std::vector<int>& result : in_all_orders<int>(run)) {
    for (int i = 0; i < 64; ++i) {
      ASSERT_EQ(result[static_cast<std::size_t>(i)], (i + 1) % 64);
    }
  }
}

TEST_F(GridTest, AMissingBarrierShowsAsAnotherResultInAnotherOrder) {
  const auto run = [&] {
    int* out = upload(std::vector<int>(64, 5));
    EXPECT_EQ(launch(rotate<false>, 1, 64, out), cudaSuccess);
    return download(out, 64);
  };
  const auto results = in_all_orders<int>(run);
  EXPECT_NE(results[0], results[1]);
  EXPECT_NE(results[0], results[2]);
  EXPECT_NE(results[2], results[3]);
}

__global__ void read_shared_memory_of_nobody(float* out) {
  __shared__ float shared[64];
  out[threadIdx.x] = shared[63 - threadIdx.x];
  __syncthreads();
  shared[threadIdx.x] = 1.0F;
}

TEST_F(GridTest, SharedMemoryBeginsAsNaNInEveryBlockOfEveryLaunch) {
  float* out = allocate<float>(64);
  for (int repeat = 0; repeat < 3; ++repeat) {
    EXPECT_EQ(launch(read_shared_memory_of_nobody, 2, 64, out), cudaSuccess);
    for (const float value : download(out, 64)) {
      EXPECT_TRUE(std::isnan(value));
    }
  }
}

__global__ void last_one_wins(int* out) {
  *out = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
}

TEST_F(GridTest, ARaceShowsAsAnotherResultInAnotherOrder) {
  const auto run = [&] {
    int* out = allocate<int>(1);
    EXPECT_EQ(launch(last_one_wins, 7, 33, out), cudaSuccess);
    return download(out, 1);
  };
  const auto results = in_all_orders<int>(run);
  EXPECT_EQ(results[0][0], 7 * 33 - 1);
  EXPECT_EQ(results[1][0], 0);
  EXPECT_NE(results[2], results[3]);
}

__global__ void half_the_block_waits() {
  if (threadIdx.x < 16) {
    __syncthreads();
  }
}

TEST_F(GridTest, ABarrierThatSomeThreadsPassByIsAnError) {
  for (const Order order : {Order::forward, Order::reverse, Order::random}) {
    SetUp();
    set_order(order, 1);
    EXPECT_EQ(launch(half_the_block_waits, 1, 64), cudaSuccess);
    expect_fault("never meet: 48 have ended, 16 wait for the block at grid_test.cpp");
  }
}

__global__ void two_barriers() {
  if (threadIdx.x % 2 == 0) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

TEST_F(GridTest, BarriersAtDifferentLinesAreAnError) {
  EXPECT_EQ(launch(two_barriers, 1, 32), cudaSuccess);
  expect_fault("divergent barriers");
}

__global__ void votes(int* out) {
  const int predicate = threadIdx.x < 3 ? 1 : 0;
  const int count = __syncthreads_count(predicate);
  const int all = __syncthreads_and(predicate);
  const int any = __syncthreads_or(predicate);
  const unsigned ballot = __ballot_sync(0xffffffffU, predicate);
  const int warp_any = __any_sync(0xffffffffU, predicate);
  const int warp_all = __all_sync(0xffffffffU, threadIdx.x < 64);
  if (threadIdx.x == 40) {
    out[0] = count;
    out[1] = all;
    out[2] = any;
    out[3] = static_cast<int>(ballot);
    out[4] = warp_any;
    out[5] = warp_all;
  }
  if (threadIdx.x == 31) {
    out[6] = static_cast<int>(ballot);
  }
}

TEST_F(GridTest, CountsVotes) {
  int* out = allocate<int>(7);
  EXPECT_EQ(launch(votes, 1, 64, out), cudaSuccess);
  EXPECT_EQ(download(out, 7), (std::vector<int>{3, 0, 1, 0, 0, 1, 7}));
}

/// Results of all exchanges at one width: 4 rows of 32 lanes.
__global__ void exchanges(int* out, int width) {
  const int lane = static_cast<int>(threadIdx.x);
  const int value = 100 + lane;
  out[lane] = __shfl_sync(0xffffffffU, value, 5, width);
  out[32 + lane] = __shfl_up_sync(0xffffffffU, value, 3U, width);
  out[64 + lane] = __shfl_down_sync(0xffffffffU, value, 3U, width);
  out[96 + lane] = __shfl_xor_sync(0xffffffffU, value, 12, width);
}

TEST_F(GridTest, ExchangesWithinSegmentsOfAWarp) {
  for (const int width : {8, 16, 32}) {
    const auto run = [&] {
      int* out = allocate<int>(128);
      EXPECT_EQ(launch(exchanges, 1, 32, out, width), cudaSuccess);
      return download(out, 128);
    };
    for (const std::vector<int>& result : in_all_orders<int>(run)) {
      for (int lane = 0; lane < 32; ++lane) {
        const int start = lane / width * width;
        const auto at = [&](int row) { return result[static_cast<std::size_t>(32 * row + lane)] - 100; };
        EXPECT_EQ(at(0), start + 5 % width);
        EXPECT_EQ(at(1), lane - 3 >= start ? lane - 3 : lane);
        EXPECT_EQ(at(2), lane + 3 < start + width ? lane + 3 : lane);
        EXPECT_EQ(at(3), (lane ^ 12) < start + width ? lane ^ 12 : lane);
      }
    }
  }
}

__global__ void exchange_doubles(double* out) {
  out[threadIdx.x] = __shfl_xor_sync(0xffffffffU, 0.1 * threadIdx.x, 1);
}

TEST_F(GridTest, ExchangesEightBytes) {
  double* out = allocate<double>(64);
  EXPECT_EQ(launch(exchange_doubles, 1, 64, out), cudaSuccess);
  const std::vector<double> result = download(out, 64);
  for (unsigned i = 0; i < 64; ++i) {
    EXPECT_EQ(result[i], 0.1 * (i ^ 1U));
  }
}

__global__ void one_lane_ends_early(int* out) {
  if (threadIdx.x == 5) {
    return;
  }
  out[threadIdx.x] = __shfl_down_sync(0xffffffffU, 1, 1U);
}
__global__ void exchange_in_a_short_warp(int* out) {
  out[threadIdx.x] = __shfl_down_sync(0xffffffffU, 1, 1U);
}
__global__ void read_outside_the_mask(int* out) {
  if (threadIdx.x < 16) {
    out[threadIdx.x] = __shfl_sync(0xffffU, 1, 20);
  }
}
__global__ void outside_its_own_mask(int* out) {
  out[threadIdx.x] = __shfl_sync(0xffffU, 1, 0);
}
__global__ void different_exchanges(int* out) {
  if (threadIdx.x < 16) {
    out[threadIdx.x] = __shfl_sync(0xffffffffU, 1, 0);
  } else {
    out[threadIdx.x] = __shfl_xor_sync(0xffffffffU, 1, 1);
  }
}

TEST_F(GridTest, ExchangesWithLanesThatAreNotThereAreErrors) {
  struct Case {
    void (*kernel)(int*);
    unsigned threads;
    const char* words;
  };
  const Case cases[] = {
      {one_lane_ends_early, 32, "names lane 5, which has ended"},
      {exchange_in_a_short_warp, 48, "names lane 16, and the block has no such thread"},
      {read_outside_the_mask, 32, "reads lane 20, which is not in the mask"},
      {outside_its_own_mask, 32, "lane 16 is not in the mask that it gives"},
      {different_exchanges, 32, "16 wait for their warp in __shfl_sync"},
  };
  for (const Case& one : cases) {
    SetUp();
    EXPECT_EQ(launch(one.kernel, 1, one.threads, allocate<int>(64)), cudaSuccess);
    expect_fault(one.words);
  }
}

/// A lock as cuda/index_check.cuh has one: its holder changes two words that must agree.
__global__ void add_under_a_lock(int* lock, int* words) {
  for (;;) {
    if (atomicCAS(lock, 0, 1) != 0) {
      continue;
    }
    const int before = words[0];
    __threadfence();
    words[0] = before + 1;
    words[1] = words[1] + 1;
    __threadfence();
    atomicExch(lock, 0);
    return;
  }
}
/// The same without the lock.
__global__ void add_without_a_lock(int*, int* words) {
  const int before = words[0];
  __threadfence();
  words[0] = before + 1;
}
__global__ void wait_for_nobody(int* lock) {
  while (atomicCAS(lock, 0, 1) != 0) {
  }
}

TEST_F(GridTest, LocksHoldAndTheirAbsenceShows) {
  set_order(Order::random, 7);
  int* lock = upload(std::vector<int>(1));
  int* words = upload(std::vector<int>(2));
  EXPECT_EQ(launch(add_under_a_lock, 3, 100, lock, words), cudaSuccess);
  EXPECT_EQ(download(words, 2), (std::vector<int>{300, 300}));
  EXPECT_EQ(launch(add_without_a_lock, 3, 100, lock, words), cudaSuccess);
  EXPECT_LT(download(words, 1)[0], 600);
}

TEST_F(GridTest, AWaitWithoutEndIsAnError) {
  int* lock = upload(std::vector<int>{1});
  EXPECT_EQ(launch(wait_for_nobody, 1, 32, lock), cudaSuccess);
  expect_fault("nobody lets it succeed");
}

__global__ void write_at(char* memory, long place) {
  memory[place] = 1;
}

#if defined(__SANITIZE_ADDRESS__)
using GridDeathTest = GridTest;

TEST_F(GridDeathTest, WritingOutsideAnAllocationIsSeenByTheSanitizer) {
  char* memory = allocate<char>(1000);
  const auto run = [&](long place) {
    launch(write_at, 1, 1, memory, place);
    cudaDeviceSynchronize();
  };
  run(999);
  EXPECT_DEATH(run(1000), "heap-buffer-overflow");
  EXPECT_DEATH(run(-1), "heap-buffer-overflow");
}

__global__ void write_shared(int place, int* out) {
  __shared__ int shared[32];
  shared[place] = 1;
  *out = shared[0];
}

TEST_F(GridDeathTest, WritingOutsideSharedMemoryIsSeenByTheSanitizer) {
  int* out = allocate<int>(1);
  EXPECT_DEATH(
      {
        launch(write_shared, 1, 1, 32, out);
        cudaDeviceSynchronize();
      },
      "global-buffer-overflow|out of bounds");
}
#else
TEST_F(GridTest, WritingOutsideAnAllocationIsAnError) {
  for (const auto& [place, words] : {std::pair{1000L, "behind an allocation of 1000 bytes"},
                                     std::pair{-1L, "in front of an allocation of 1000 bytes"}}) {
    SetUp();
    char* memory = allocate<char>(1000);
    EXPECT_EQ(launch(write_at, 1, 1, memory, 999L), cudaSuccess);
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    EXPECT_EQ(launch(write_at, 1, 1, memory, place), cudaSuccess);
    expect_fault(words);
  }
}
#endif

TEST_F(GridTest, LaunchesThatAGpuRefusesAreRefused) {
  int* out = upload(std::vector<int>(2000));
  EXPECT_EQ(launch(where_am_i, 0, 32, out), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(where_am_i, 1, 1025, out), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(where_am_i, 1, {32, 33, 1}, out), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(where_am_i, {1, 65536, 1}, 1, out), cudaErrorInvalidConfiguration);
  cudaLaunchConfig_t config{};
  config.dynamicSmemBytes = 64 << 10;
  EXPECT_EQ(cudaLaunchKernelEx(&config, where_am_i, out), cudaErrorInvalidValue);
  void* arguments[] = {&out};
  EXPECT_EQ(cudaLaunchKernel(reinterpret_cast<const void*>(&cudaMalloc), dim3(1), dim3(1), arguments, 0, nullptr),
            cudaErrorInvalidDeviceFunction);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidDeviceFunction);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess) << "a refused launch must leave the device as it was";
  EXPECT_EQ(launch(where_am_i, 1, 1024, out), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
}

}  // namespace
}  // namespace cuda_emulator
