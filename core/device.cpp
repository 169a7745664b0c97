#include <twingrad/device.h>
#include <twingrad/error.h>
#include <twingrad/graph/runtime.h>

#include <atomic>
#include <charconv>
#include <map>
#include <utility>
#include <vector>

namespace twingrad {
namespace {

struct Registry {
  std::mutex mutex;
  std::map<std::pair<DeviceKind, int>, std::unique_ptr<DeviceRuntime>> runtimes;
  int plugins = 0;
};

// Never destroyed: tensors with static storage may outlive any order of destruction.
Registry& registry() {
  static auto* const the_registry = new Registry;
  return *the_registry;
}

std::string what_is_there() {
  const int gpus = cuda_device_count();
  if (gpus == 0) {
    return "there is cpu, and no GPU that this build can use";
  }
  std::string text = "there are cpu";
  for (int i = 0; i < gpus; ++i) {
    text += ", cuda:" + std::to_string(i);
  }
  return text;
}

}  // namespace

int cuda_device_count() {
  static const int count = cuda_backend_device_count();
  return count;
}

Device Device::best() {
  return cuda_device_count() > 0 ? cuda(0) : cpu();
}

Device Device::parse(std::string_view text) {
  if (text == "auto") {
    return best();
  }
  if (text == "cpu") {
    return cpu();
  }
  if (text == "cuda") {
    return cuda(0);
  }
  if (text.starts_with("cuda:")) {
    int index = -1;
    const std::string_view digits = text.substr(5);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), index);
    if (error == std::errc() && end == digits.data() + digits.size() && index >= 0) {
      return cuda(index);
    }
  }
  throw DeviceError("device '" + std::string(text) + "': give cpu, cuda, cuda:<number> or auto; " + what_is_there());
}

std::string Device::name() const {
  switch (kind_) {
    case DeviceKind::cpu:
      return "cpu";
    case DeviceKind::cuda:
      return "cuda:" + std::to_string(index_);
    case DeviceKind::plugin:
      return "plugin:" + std::to_string(index_);
  }
  return "?";
}

std::string Device::description() const {
  return backend(*this).description();
}

bool Device::available() const {
  switch (kind_) {
    case DeviceKind::cpu:
      return index_ == 0;
    case DeviceKind::cuda:
      return index_ >= 0 && index_ < cuda_device_count();
    case DeviceKind::plugin:
      break;
  }
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  return all.runtimes.contains({kind_, index_});
}

DeviceRuntime& runtime(Device device) {
  // The CPU is asked for with every block of memory; the lookup of the others is a lock and a small map.
  static std::atomic<DeviceRuntime*> cpu{nullptr};
  const bool is_cpu = device == Device::cpu();
  if (DeviceRuntime* const known = is_cpu ? cpu.load(std::memory_order_acquire) : nullptr; known != nullptr) {
    return *known;
  }
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  auto& entry = all.runtimes[{device.kind(), device.index()}];
  if (entry == nullptr) {
    if (device.kind() == DeviceKind::cpu && device.index() == 0) {
      entry = std::make_unique<DeviceRuntime>(make_cpu_backend());
    } else if (device.kind() == DeviceKind::cuda && device.index() >= 0 && device.index() < cuda_device_count()) {
      entry = std::make_unique<DeviceRuntime>(make_cuda_backend(device.index()));
    } else {
      all.runtimes.erase({device.kind(), device.index()});
      if (device.kind() == DeviceKind::cuda && cuda_device_count() == 0) {
        make_cuda_backend(device.index());  // says why there is none
      }
      throw DeviceError("no device " + device.name() + ": " + what_is_there());
    }
  }
  if (is_cpu) {
    cpu.store(entry.get(), std::memory_order_release);
  }
  return *entry;
}

Backend& backend(Device device) {
  return *runtime(device).backend;
}

Device register_backend(std::unique_ptr<Backend> backend) {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  const Device device(DeviceKind::plugin, all.plugins++);
  all.runtimes[{device.kind(), device.index()}] = std::make_unique<DeviceRuntime>(std::move(backend));
  return device;
}

MemoryStats memory_stats(Device device) {
  DeviceRuntime& state = runtime(device);
  const std::lock_guard lock(state.mutex);
  return state.memory.stats();
}

void reset_peak_memory(Device device) {
  DeviceRuntime& state = runtime(device);
  const std::lock_guard lock(state.mutex);
  state.memory.reset_peak();
}

void release_cached_memory(Device device) {
  DeviceRuntime& state = runtime(device);
  const std::lock_guard lock(state.mutex);
  state.backend->synchronize();
  state.memory.release_cached();
}

void synchronize(Device device) {
  DeviceRuntime& state = runtime(device);
  const std::lock_guard lock(state.mutex);
  state.backend->synchronize();
}

}  // namespace twingrad
