#include "tests/cuda_emulator/work.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "tests/cuda_emulator/event.h"
#include "tests/cuda_emulator/grid.h"
#include "tests/cuda_emulator/memory.h"
#include "tests/cuda_emulator/state.h"
#include "tests/cuda_emulator/stream.h"

namespace cuda_emulator {
namespace {

std::unordered_map<const void*, Signature>& kernels() {
  static auto* const map = new std::unordered_map<const void*, Signature>;
  return *map;
}

/// What a launch may carry in parameters on compute capability 7.0 and later.
constexpr std::size_t most_parameter_bytes = 32764;
/// Shared memory beyond this must be asked for, which nobody does here.
constexpr std::size_t most_shared_bytes = std::size_t{48} << 10;

std::size_t aligned(std::size_t offset, std::size_t alignment) {
  return (offset + alignment - 1) / alignment * alignment;
}

std::size_t parameter_bytes(const Signature& signature) {
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < signature.count; ++i) {
    bytes = aligned(bytes, signature.parameters[i].alignment) + signature.parameters[i].bytes;
  }
  return bytes;
}

void report(const std::string& fault) {
  set_fault(cudaErrorLaunchFailure, fault);
}

struct Performer {
  void operator()(const KernelWork& kernel) const {
    const std::string fault = grid().run(kernel);
    if (!fault.empty()) {
      return report(fault);
    }
    const std::string damage = damaged_guard();
    if (!damage.empty()) {
      set_fault(cudaErrorIllegalAddress, damage);
    }
  }
  void operator()(const CopyWork& copy) const {
    std::memmove(copy.target, copy.staged ? copy.staged.get() : copy.source, copy.bytes);
  }
  void operator()(const SetWork& set) const { std::memset(set.target, set.value, set.bytes); }
  void operator()(const HostWork& host) const { host.function(host.user_data); }
  void operator()(const RecordWork& record) const { event_reached(record.event, record.number); }
  void operator()(const WaitWork& wait) const { run_until_event(wait.event, wait.number); }
  void operator()(const std::shared_ptr<GraphWork>& graph) const {
    for (const Work& node : graph->nodes) {
      perform(node);
    }
  }
};

}  // namespace

void know_kernel(const void* function, const Signature& signature) {
  const std::lock_guard lock(device_lock());
  kernels().insert_or_assign(function, signature);
}

const Signature* find_kernel(const void* function) {
  const auto entry = kernels().find(function);
  return entry == kernels().end() ? nullptr : &entry->second;
}

void forget_kernel(const void* function) {
  kernels().erase(function);
  grid().forget(function);
}

Arguments::Arguments(const Signature& signature, void* const* values) {
  constexpr std::size_t line = 64;  // no parameter is aligned to more
  const std::size_t bytes = parameter_bytes(signature) + line;
  memory_ = std::shared_ptr<std::byte[]>(new std::byte[bytes]);
  void* start = memory_.get();
  std::size_t space = bytes;
  std::align(line, 1, start, space);
  std::size_t offset = 0;
  for (std::size_t i = 0; i < signature.count; ++i) {
    offset = aligned(offset, signature.parameters[i].alignment);
    places_.push_back(static_cast<std::byte*>(start) + offset);
    std::memcpy(places_.back(), values[i], signature.parameters[i].bytes);
    offset += signature.parameters[i].bytes;
  }
}

cudaError_t check_launch(const KernelWork& kernel) {
  const dim3& grid = kernel.grid;
  const dim3& block = kernel.block;
  const std::uint64_t threads = std::uint64_t{block.x} * block.y * block.z;
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffffU || grid.y > 65535 || grid.z > 65535 ||
      threads == 0 || block.x > 1024 || block.y > 1024 || block.z > 64 || threads > 1024) {
    return cudaErrorInvalidConfiguration;
  }
  if (kernel.shared_bytes > most_shared_bytes || parameter_bytes(kernel.signature) > most_parameter_bytes) {
    return cudaErrorInvalidValue;
  }
  return cudaSuccess;
}

void perform(const Work& work) {
  if (device_status() == cudaSuccess) {
    std::visit(Performer{}, work);
  }
}

}  // namespace cuda_emulator

using namespace cuda_emulator;

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* function, void** arguments) {
  const std::lock_guard lock(device_lock());
  if (config == nullptr) {
    return give(cudaErrorInvalidValue);
  }
  const Signature* signature = find_kernel(function);
  if (signature == nullptr) {
    return give(cudaErrorInvalidDeviceFunction);
  }
  KernelWork kernel{function, *signature, config->gridDim, config->blockDim, config->dynamicSmemBytes, {}};
  if (const cudaError_t error = check_launch(kernel); error != cudaSuccess) {
    return give(error);
  }
  kernel.arguments = Arguments(*signature, arguments);
  return give(submit(config->stream, std::move(kernel)));
}

cudaError_t cudaLaunchKernel(const void* function, dim3 grid, dim3 block, void** arguments, std::size_t shared_bytes,
                             cudaStream_t stream) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  return cudaLaunchKernelExC(&config, function, arguments);
}
