// Where a tensor lives. A device is named by kind and index: cpu, cuda:0, cuda:1.
//
//   tg::Device device = tg::Device::best();   // the first GPU if there is one, else the CPU
//   std::cout << device.description();
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace twingrad {

/// `plugin` is a backend registered at run time: the fake device of the tests, a wrapper that plants faults.
enum class DeviceKind : std::uint8_t { cpu, cuda, plugin };

class Device {
 public:
  constexpr Device() = default;
  constexpr Device(DeviceKind kind, int index) : kind_(kind), index_(index) {}

  static constexpr Device cpu() { return {}; }
  /// GPU number `index`. Whether it is there is asked when it is first used.
  static constexpr Device cuda(int index = 0) { return {DeviceKind::cuda, index}; }
  /// cuda:0 if this build has CUDA and a GPU is found, else cpu.
  static Device best();
  /// "cpu", "cuda", "cuda:1", or "auto" for best(). Throws DeviceError that lists what is there.
  static Device parse(std::string_view text);

  constexpr DeviceKind kind() const { return kind_; }
  constexpr int index() const { return index_; }
  /// "cpu", "cuda:0".
  std::string name() const;
  /// The device in words: processor and threads, or GPU, memory and driver. Throws DeviceError if it is not there.
  std::string description() const;
  /// Whether the device can be used. Never throws.
  bool available() const;

  friend constexpr bool operator==(Device a, Device b) { return a.kind_ == b.kind_ && a.index_ == b.index_; }

 private:
  DeviceKind kind_ = DeviceKind::cpu;
  int index_ = 0;
};

/// Number of GPUs this build can use; 0 without CUDA.
int cuda_device_count();

/// Bytes of one device's memory, as the library's cache sees it.
struct MemoryStats {
  std::uint64_t live = 0;         ///< held by tensors and running plans
  std::uint64_t peak = 0;         ///< the largest `live` since the start or the last reset
  std::uint64_t cached = 0;       ///< kept for reuse
  std::uint64_t allocations = 0;  ///< calls that reached the device (not served by the cache)
};
MemoryStats memory_stats(Device device);
void reset_peak_memory(Device device);
/// Returns cached memory to the device.
void release_cached_memory(Device device);

/// Waits until all work given to the device is done. Throws NumericError for index errors found on the way.
void synchronize(Device device);

}  // namespace twingrad
