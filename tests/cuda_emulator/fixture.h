// A clean emulated device for each test of the emulator itself, and short ways to launch and to look at memory.
#pragma once

#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/cuda_emulator/emulator.h"

namespace cuda_emulator {

class EmulatorTest : public testing::Test {
 protected:
  void SetUp() override {
    cudaDeviceReset();
    set_order(Order::forward);
    set_streams(Streams::deferred);
  }
  void TearDown() override { cudaDeviceReset(); }

  template <class T>
  T* allocate(std::size_t count) {
    void* memory = nullptr;
    EXPECT_EQ(cudaMalloc(&memory, count * sizeof(T)), cudaSuccess);
    return static_cast<T*>(memory);
  }
  template <class T>
  T* upload(const std::vector<T>& values) {
    T* memory = allocate<T>(values.size());
    EXPECT_EQ(cudaMemcpy(memory, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice), cudaSuccess);
    return memory;
  }
  template <class T>
  std::vector<T> download(const T* memory, std::size_t count) {
    std::vector<T> values(count);
    EXPECT_EQ(cudaMemcpy(values.data(), memory, count * sizeof(T), cudaMemcpyDeviceToHost), cudaSuccess);
    return values;
  }

  template <class... Parameters, class... Arguments>
  static cudaError_t launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, Arguments... arguments) {
    return launch_on(nullptr, kernel, grid, block, arguments...);
  }
  template <class... Parameters, class... Arguments>
  static cudaError_t launch_on(cudaStream_t stream, void (*kernel)(Parameters...), dim3 grid, dim3 block,
                               Arguments... arguments) {
    cudaLaunchConfig_t config{};
    config.gridDim = grid;
    config.blockDim = block;
    config.stream = stream;
    return cudaLaunchKernelEx(&config, kernel, arguments...);
  }

  /// Expects that the device is at fault, and that the text of the error says so.
  static void expect_fault(const std::string& words) {
    const cudaError_t error = cudaDeviceSynchronize();
    EXPECT_NE(error, cudaSuccess) << "a wrong kernel went through";
    const std::string text = cudaGetErrorString(error);
    EXPECT_NE(text.find(words), std::string::npos) << text;
    void* memory = nullptr;
    EXPECT_EQ(cudaMalloc(&memory, 16), error) << "the error is gone by itself";
  }
};

}  // namespace cuda_emulator
