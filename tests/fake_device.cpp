#include "tests/fake_device.h"

#include <chrono>
#include <cstring>
#include <utility>
#include <vector>

namespace twingrad::tests {
namespace {

// Added to every pointer handed out: no x86-64 or Arm64 address has this bit, so following one faults.
constexpr std::uintptr_t address_shift = std::uintptr_t{1} << 62;

void* to_fake(void* real) {
  return reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(real) + address_shift);
}

template <class Pointer>
Pointer to_real(Pointer fake) {
  return fake == nullptr ? nullptr : reinterpret_cast<Pointer>(reinterpret_cast<std::uintptr_t>(fake) - address_shift);
}

FakeBackend* shared_backend = nullptr;

}  // namespace

FakeBackend::FakeBackend(std::uint64_t seed, int max_delay_us)
    : cpu_(make_cpu_backend()), random_(seed), max_delay_us_(max_delay_us), worker_([this] { work(); }) {}

FakeBackend::~FakeBackend() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  worker_.join();
}

std::string FakeBackend::description() const {
  return "fake device over the CPU's kernels, queued with delays";
}

void* FakeBackend::allocate(std::size_t bytes) {
  if (memory_limit_ != 0 && allocated_ + bytes > memory_limit_) {
    return nullptr;
  }
  void* real = cpu_->allocate(bytes);
  if (real == nullptr) {
    return nullptr;
  }
  allocated_ += bytes;
  std::memset(real, 0xff, bytes);
  {
    const std::lock_guard lock(mutex_);
    live_.insert(real);
  }
  return to_fake(real);
}

void FakeBackend::deallocate(void* memory, std::size_t bytes) noexcept {
  // Work that was queued before may still use it.
  allocated_ -= bytes;
  enqueue_held();
  enqueue([this, memory, bytes] {
    void* const real = to_real(memory);
    {
      const std::lock_guard lock(mutex_);
      live_.erase(real);
    }
    cpu_->deallocate(real, bytes);
  });
}

void FakeBackend::copy_from_host(void* target, const void* source, std::size_t bytes) {
  const auto* first = static_cast<const std::byte*>(source);
  enqueue([target, data = std::vector<std::byte>(first, first + bytes)] {
    std::memcpy(to_real(target), data.data(), data.size());
  });
}

void FakeBackend::copy_to_host(void* target, const void* source, std::size_t bytes) {
  enqueue_held();  // whoever waits for the device waits for all of it
  enqueue([=] { std::memcpy(target, to_real(source), bytes); });
  synchronize();
}

void FakeBackend::copy(void* target, const void* source, std::size_t bytes) {
  enqueue([=] { std::memcpy(to_real(target), to_real(source), bytes); });
}

void FakeBackend::run(const KernelCall& call) {
  KernelCall real = call;
  real.output.data = to_real(real.output.data);
  for (TensorView& input : real.inputs) {
    input.data = to_real(input.data);
  }
  const bool hold = held_back_ && held_back_(call);
  std::function<void()> task = [this, real = std::move(real)] { cpu_->run(real); };
  if (hold) {
    enqueue_held();
    held_ = std::move(task);
    return;
  }
  enqueue(std::move(task));
  enqueue_held();
}

/// One of the CPU's kernels, run from the queue.
class FakeBackend::Queued final : public PreparedKernel {
 public:
  Queued(FakeBackend& backend, std::unique_ptr<PreparedKernel> kernel)
      : backend_(backend), kernel_(std::move(kernel)) {}

  void run(std::span<void* const> addresses, const std::source_location& where) override {
    std::vector<void*> real;
    for (void* const address : addresses) {
      real.push_back(to_real(address));
    }
    backend_.enqueue([kernel = kernel_, real = std::move(real), where] { kernel->run(real, where); });
    backend_.enqueue_held();
  }

 private:
  FakeBackend& backend_;
  std::shared_ptr<PreparedKernel> kernel_;
};

std::unique_ptr<PreparedKernel> FakeBackend::fuse(const Fusion& fusion) {
  wait();  // the CPU's backend is one caller's at a time
  std::unique_ptr<PreparedKernel> kernel = cpu_->fuse(fusion);
  return kernel == nullptr ? nullptr : std::make_unique<Queued>(*this, std::move(kernel));
}

void FakeBackend::hold_back(std::function<bool(const KernelCall&)> chosen) {
  enqueue_held();
  held_back_ = std::move(chosen);
}

void FakeBackend::enqueue_held() {
  if (held_) {
    enqueue(std::exchange(held_, nullptr));
  }
}

void FakeBackend::synchronize() {
  enqueue_held();
  wait();
  std::exception_ptr error;
  {
    const std::lock_guard lock(mutex_);
    error = std::exchange(error_, nullptr);
  }
  if (error != nullptr) {
    std::rethrow_exception(error);
  }
}

void FakeBackend::enqueue(std::function<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(task));
  }
  changed_.notify_all();
}

void FakeBackend::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return queue_.empty() && !busy_; });
}

void FakeBackend::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stop_ || !queue_.empty(); });
    if (queue_.empty()) {
      return;  // asked to stop, and all work is done
    }
    const std::function<void()> task = std::move(queue_.front());
    queue_.pop_front();
    busy_ = true;
    const auto delay = std::chrono::microseconds(random_() % (static_cast<std::uint64_t>(max_delay_us_) + 1));
    lock.unlock();
    // Long sleeps now and then let the host run far ahead; most tasks follow at once, so that tests stay quick.
    if (delay.count() * 10 > 9 * max_delay_us_) {
      std::this_thread::sleep_for(delay);
    }
    std::exception_ptr error;
    try {
      task();
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    busy_ = false;
    if (error != nullptr && error_ == nullptr) {
      error_ = error;
    }
    changed_.notify_all();
  }
}

Device fake_device() {
  static const Device device = [] {
    auto backend = std::make_unique<FakeBackend>(20261124);
    shared_backend = backend.get();
    return register_backend(std::move(backend));
  }();
  return device;
}

FakeBackend& fake_backend() {
  fake_device();
  return *shared_backend;
}

}  // namespace twingrad::tests
