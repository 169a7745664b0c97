// One piece of work for the device: what a stream queues and a graph's node holds. Private to the emulator.
#pragma once

#include <cuda_runtime_api.h>

#include <cuda_emulator/launch.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <variant>
#include <vector>

namespace cuda_emulator {

/// Arguments of one launch, copied.
class Arguments {
 public:
  Arguments() = default;
  Arguments(const Signature& signature, void* const* values);
  void** places() { return places_.data(); }
  void* const* places() const { return places_.data(); }

 private:
  std::shared_ptr<std::byte[]> memory_;  ///< written once, so copies may share it
  std::vector<void*> places_;
};

struct KernelWork {
  const void* function = nullptr;
  Signature signature{};
  dim3 grid, block;
  std::size_t shared_bytes = 0;
  Arguments arguments;
};

struct CopyWork {
  void* target;
  const void* source;
  std::size_t bytes;
  std::shared_ptr<std::byte[]> staged;  ///< of a pageable source: its bytes when the copy was queued
};
struct SetWork {
  void* target;
  int value;
  std::size_t bytes;
};
struct HostWork {
  cudaHostFn_t function;
  void* user_data;
};
struct RecordWork {
  cudaEvent_t event;
  std::uint64_t number;  ///< of the recording
};
struct WaitWork {
  cudaEvent_t event;
  std::uint64_t number;
};
/// A whole graph: the executable's nodes when it was launched.
struct GraphWork;

using Work = std::variant<KernelWork, CopyWork, SetWork, HostWork, RecordWork, WaitWork, std::shared_ptr<GraphWork>>;

struct GraphWork {
  std::vector<Work> nodes;
};

/// The kernel's signature, or nullptr.
const Signature* find_kernel(const void* function);
void forget_kernel(const void* function);
/// What CUDA would say of a launch like this one.
cudaError_t check_launch(const KernelWork& kernel);

/// Does it now. A fault becomes the device's sticky error.
void perform(const Work& work);

}  // namespace cuda_emulator
