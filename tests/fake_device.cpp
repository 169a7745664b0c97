#include "tests/fake_device.h"

#include <twingrad/error.h>

#include <algorithm>
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

/// Pieces of queued work with the addresses that they use.
class FakeBackend::FakeRecording final : public Recording {
 public:
  explicit FakeRecording(FakeBackend& backend) : backend_(backend) {
    const std::lock_guard lock(backend_.mutex_);
    backend_.recordings_.insert(this);
  }
  ~FakeRecording() override {
    const std::lock_guard lock(backend_.mutex_);
    backend_.recordings_.erase(this);
  }

  void add(Task task, const std::vector<const void*>& uses) {
    if (backend_.break_after_ >= 0 && pieces_->size() >= static_cast<std::size_t>(backend_.break_after_)) {
      throw DeviceError("fake device: no room for a longer recording");
    }
    pieces_->push_back(std::move(task));
    uses_.insert(uses_.end(), uses.begin(), uses.end());
  }
  /// The block is nobody's any more.
  void lose(const void* block, std::size_t bytes) {
    const auto* first = static_cast<const std::byte*>(block);
    lost_ = lost_ || std::any_of(uses_.begin(), uses_.end(), [&](const void* address) {
              const auto* byte = static_cast<const std::byte*>(address);
              return !std::less<>()(byte, first) && std::less<>()(byte, first + bytes);
            });
  }

  void replay() override {
    if (lost_) {
      throw DeviceError("fake device: a replay would use memory that was given back");
    }
    // All pieces run, as kernels do after one that found a bad index; the first error is told.
    backend_.enqueue([pieces = pieces_] {
      std::exception_ptr error;
      for (const Task& piece : *pieces) {
        try {
          piece();
        } catch (...) {
          error = error == nullptr ? std::current_exception() : error;
        }
      }
      if (error != nullptr) {
        std::rethrow_exception(error);
      }
    });
  }
  std::size_t size() const override { return pieces_->size(); }

 private:
  FakeBackend& backend_;
  std::shared_ptr<std::vector<Task>> pieces_ = std::make_shared<std::vector<Task>>();
  std::vector<const void*> uses_;
  bool lost_ = false;
};

FakeBackend::FakeBackend(std::uint64_t seed, int max_delay_us)
    : cpu_(make_cpu_backend()),
      max_delay_us_(max_delay_us),
      worker_([this, seed] { work(work_, seed); }),
      copier_([this, seed] { work(copies_, seed + 1); }) {}

FakeBackend::~FakeBackend() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  worker_.join();
  copier_.join();
}

std::string FakeBackend::description() const {
  return "fake device over the CPU's kernels, queued with delays";
}

void FakeBackend::refuse_inside_recording(const std::string& what) const {
  if (recording_ != nullptr) {
    throw DeviceError("fake device: " + what + " inside a recording");
  }
}

std::unique_ptr<Recording> FakeBackend::record(const std::function<void()>& queue) {
  refuse_inside_recording("a recording");
  enqueue_held();
  auto made = std::make_unique<FakeRecording>(*this);
  recording_ = made.get();
  try {
    freed_inside_ = false;
    queue();
    enqueue_held();
    if (freed_inside_) {
      throw DeviceError("fake device: memory is given back inside a recording");
    }
  } catch (...) {
    held_ = nullptr;
    recording_ = nullptr;
    throw;
  }
  recording_ = nullptr;
  return made;
}

std::size_t FakeBackend::live_recordings() {
  const std::lock_guard lock(mutex_);
  return recordings_.size();
}

void* FakeBackend::allocate(std::size_t bytes) {
  refuse_inside_recording("an allocation");
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
    live_.emplace(real, bytes);
  }
  return to_fake(real);
}

void FakeBackend::deallocate(void* memory, std::size_t bytes) noexcept {
  // Work that was queued before may still use it.
  allocated_ -= bytes;
  {
    const std::lock_guard lock(mutex_);
    for (FakeRecording* recording : recordings_) {
      recording->lose(memory, bytes);
    }
  }
  FakeRecording* const broken = std::exchange(recording_, nullptr);
  enqueue_held();
  enqueue([this, memory, bytes] {
    void* const real = to_real(memory);
    {
      const std::lock_guard lock(mutex_);
      live_.erase(real);
    }
    cpu_->deallocate(real, bytes);
  });
  recording_ = broken;
  freed_inside_ = freed_inside_ || broken != nullptr;
}

void FakeBackend::copy_from_host(void* target, const void* source, std::size_t bytes) {
  refuse_inside_recording("a copy from the host");
  const auto* first = static_cast<const std::byte*>(source);
  enqueue([target, data = std::vector<std::byte>(first, first + bytes)] {
    std::memcpy(to_real(target), data.data(), data.size());
  });
}

void FakeBackend::copy_to_host(void* target, const void* source, std::size_t bytes) {
  refuse_inside_recording("a copy to the host");
  enqueue_held();  // whoever waits for the device waits for all of it
  enqueue([=] { std::memcpy(target, to_real(source), bytes); });
  synchronize();
}

void FakeBackend::copy(void* target, const void* source, std::size_t bytes) {
  enqueue([=] { std::memcpy(to_real(target), to_real(source), bytes); }, {target, source});
}

void FakeBackend::copy_listed(const ListedCopy* list, std::size_t count, std::size_t longest) {
  const auto copy_all = [this, list, count, longest] {
    const ListedCopy* const entries = to_real(list);
    for (std::size_t i = 0; i < count; ++i) {
      void* const target = to_real(entries[i].target);
      const void* const source = to_real(entries[i].source);
      const std::size_t bytes = entries[i].bytes;
      {
        const std::lock_guard lock(mutex_);
        const auto lies_in_a_block = [&](const void* address) {
          auto block = live_.upper_bound(address);
          if (block == live_.begin()) {
            return false;
          }
          --block;
          const auto offset = static_cast<std::size_t>(static_cast<const std::byte*>(address) -
                                                       static_cast<const std::byte*>(block->first));
          return offset + bytes <= block->second;
        };
        if (bytes > longest || !lies_in_a_block(target) || !lies_in_a_block(source)) {
          throw DeviceError("fake device: a listed copy of " + std::to_string(bytes) + " bytes leaves its blocks");
        }
      }
      std::memcpy(target, source, bytes);
    }
  };
  enqueue(copy_all, {list});
  enqueue_held();
}

void FakeBackend::run(const KernelCall& call) {
  KernelCall real = call;
  real.output.data = to_real(real.output.data);
  for (TensorView& input : real.inputs) {
    input.data = to_real(input.data);
  }
  const bool hold = held_back_ && held_back_(call);
  std::vector<const void*> uses{call.output.data};
  for (const TensorView& input : call.inputs) {
    uses.push_back(input.data);
  }
  Task task = [this, real = std::move(real)] { cpu_->run(real); };
  if (hold) {
    enqueue_held();
    held_ = std::move(task);
    return;
  }
  enqueue(std::move(task), std::move(uses));
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
    backend_.enqueue([kernel = kernel_, real = std::move(real), where] { kernel->run(real, where); },
                     {addresses.begin(), addresses.end()});
    backend_.enqueue_held();
  }

 private:
  FakeBackend& backend_;
  std::shared_ptr<PreparedKernel> kernel_;
};

std::unique_ptr<PreparedKernel> FakeBackend::prepare(const KernelCall& call) {
  refuse_inside_recording("the preparation of a kernel");
  return Backend::prepare(call);
}

std::unique_ptr<PreparedKernel> FakeBackend::fuse(const Fusion& fusion) {
  refuse_inside_recording("the preparation of a kernel");
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
    enqueue(std::exchange(held_, nullptr));  // its addresses do not matter: tests of missing waits free nothing
  }
}

void FakeBackend::synchronize() {
  refuse_inside_recording("a wait");
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

void FakeBackend::enqueue(Task task, std::vector<const void*> uses) {
  if (recording_ != nullptr) {
    recording_->add(std::move(task), uses);
    return;
  }
  push(work_, std::move(task));
}

std::uint64_t FakeBackend::push(Queue& queue, Task task) {
  std::uint64_t number = 0;
  {
    const std::lock_guard lock(mutex_);
    queue.tasks.push_back(std::move(task));
    number = ++queue.queued;
  }
  changed_.notify_all();
  return number;
}

void FakeBackend::wait_for(Queue& queue, std::uint64_t count) {
  std::unique_lock lock(mutex_);
  queue.wanted = std::max(queue.wanted, count);
  changed_.notify_all();
  changed_.wait(lock, [&] { return queue.done >= count; });
}

void FakeBackend::wait() {
  std::uint64_t all = 0;
  {
    const std::lock_guard lock(mutex_);
    all = work_.queued;
  }
  wait_for(work_, all);
}

void FakeBackend::set_lazy(Lazy who) {
  {
    const std::lock_guard lock(mutex_);
    work_.lazy = who == Lazy::work;
    copies_.lazy = who == Lazy::copies;
  }
  changed_.notify_all();
}

void FakeBackend::work(Queue& queue, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stop_ || queue.may_go_on(); });
    if (queue.tasks.empty()) {
      return;  // asked to stop, and all work is done
    }
    const Task task = std::move(queue.tasks.front());
    queue.tasks.pop_front();
    const auto delay = std::chrono::microseconds(random() % (static_cast<std::uint64_t>(max_delay_us_) + 1));
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
    ++queue.done;
    if (error != nullptr && error_ == nullptr) {
      error_ = error;
    }
    changed_.notify_all();
  }
}

/// A copy waits for work by the number of its last piece, and work for a copy.
class FakeBackend::FakeTransfer final : public Transfer {
 public:
  FakeTransfer(FakeBackend& backend, std::size_t bytes)
      : backend_(backend), memory_(std::make_shared<std::vector<std::byte>>(bytes, std::byte{0xff})) {}
  ~FakeTransfer() override { backend_.wait_for(backend_.copies_, copied_); }

  void begin() override {
    backend_.refuse_inside_recording("a transfer");
    if (backend_.forgets_ != Forgets::begin) {
      backend_.enqueue_held();
      used_ = backend_.push(backend_.work_, [] {});
    }
  }
  void finish() override {
    backend_.refuse_inside_recording("a transfer");
    if (backend_.forgets_ != Forgets::finish) {
      backend_.push(backend_.work_,
                    [&backend = backend_, copied = copied_] { backend.wait_for(backend.copies_, copied); });
    }
  }
  void wait() override { backend_.wait_for(backend_.copies_, copied_); }
  std::byte* host(void* /*target*/) override { return memory_->data(); }
  void copy(void* target, std::size_t bytes) override {
    copied_ = backend_.push(backend_.copies_, [&backend = backend_, used = used_, memory = memory_, target, bytes] {
      backend.wait_for(backend.work_, used);
      std::memcpy(to_real(target), memory->data(), bytes);
    });
  }

 private:
  FakeBackend& backend_;
  std::shared_ptr<std::vector<std::byte>> memory_;
  std::uint64_t used_ = 0;    ///< the work that a copy waits for
  std::uint64_t copied_ = 0;  ///< the copy that work waits for
};

std::unique_ptr<Transfer> FakeBackend::make_transfer(std::size_t bytes) {
  refuse_inside_recording("an allocation");
  return std::make_unique<FakeTransfer>(*this, bytes);
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
