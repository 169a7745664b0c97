// What all parts of the emulator share: one lock, the errors, the settings. Private to the emulator.
#pragma once

#include <cuda_runtime_api.h>

#include <mutex>
#include <random>
#include <string>

#include "tests/cuda_emulator/emulator.h"

namespace cuda_emulator {

struct Settings {
  Order order = Order::forward;
  Streams streams = Streams::deferred;
  std::size_t memory = std::size_t{8} << 30;
};

/// Everything happens under this lock, kernels included: the emulated device does one thing at a time. Recursive, since
/// cuBLASLt launches through the runtime.
std::recursive_mutex& device_lock();

Settings& settings();
std::mt19937_64& random_engine();
Counters& mutable_counters();
/// The handles of outstanding(); the memory is counted where it is kept.
Outstanding& handle_counts();

/// Makes `error` the sticky one that all calls give from now on, until the device is reset.
void set_fault(cudaError_t error, const std::string& what);
/// cudaSuccess while the device works.
cudaError_t device_status();
void forget_fault();

/// Records an error for cudaGetLastError(); every interface function returns through it.
cudaError_t give(cudaError_t error);

}  // namespace cuda_emulator
