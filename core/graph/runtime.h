// What the core keeps per device: the backend, its memory cache, and the lock that makes its calls come one at a time.
#pragma once

#include <twingrad/backend.h>
#include <twingrad/graph/memory_cache.h>

#include <memory>
#include <mutex>

namespace twingrad {

struct DeviceRuntime {
  explicit DeviceRuntime(std::unique_ptr<Backend> own) : backend(std::move(own)), memory(*backend) {}
  std::unique_ptr<Backend> backend;
  MemoryCache memory;
  std::recursive_mutex mutex;
};

/// The runtime of `device`, created on first use and kept until the program ends. Throws DeviceError.
DeviceRuntime& runtime(Device device);

}  // namespace twingrad
