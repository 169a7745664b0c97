// A device without hardware, to prove planner, copies and waits. Its memory is another address space: pointers it hands
// out fault when the host follows them. Its queue runs on a thread of its own, in order, with random delays, over the
// CPU's kernels. Fresh memory is filled with NaN patterns. It records: inside a recording it refuses all that a GPU
// would refuse, and a replay after any block that the recording uses was given back is an error. Transfers have a queue
// and a thread beside that one, and either of the two can be made to do only what somebody waits for: an order that a
// missing wait does not survive.
//
//   twingrad::Device fake = twingrad::tests::fake_device();
//   Tensor x = tensor(values, {.device = fake});
#pragma once

#include <twingrad/backend.h>

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <unordered_set>
#include <vector>

namespace twingrad::tests {

class FakeBackend final : public Backend {
 public:
  /// Delays between tasks are drawn from `seed`; up to `max_delay_us` microseconds.
  explicit FakeBackend(std::uint64_t seed, int max_delay_us = 50);
  ~FakeBackend() override;

  std::string description() const override;
  void* allocate(std::size_t bytes) override;
  void deallocate(void* memory, std::size_t bytes) noexcept override;
  void copy_from_host(void* target, const void* source, std::size_t bytes) override;
  void copy_to_host(void* target, const void* source, std::size_t bytes) override;
  void copy(void* target, const void* source, std::size_t bytes) override;
  std::unique_ptr<Transfer> make_transfer(std::size_t bytes) override;
  void run(const KernelCall& call) override;
  std::unique_ptr<PreparedKernel> prepare(const KernelCall& call) override;
  std::unique_ptr<PreparedKernel> fuse(const Fusion& fusion) override;
  bool records() const override { return true; }
  std::unique_ptr<Recording> record(const std::function<void()>& queue) override;
  void copy_listed(const ListedCopy* list, std::size_t count, std::size_t longest) override;
  ErrorModel error_model(const KernelCall& call) const override { return cpu_->error_model(call); }
  void synchronize() override;

  /// Refuses allocations beyond this many bytes in all, to test running out of memory. 0: no limit.
  void set_memory_limit(std::size_t bytes) { memory_limit_ = bytes; }

  /// Plants a missing wait: a kernel that `chosen` accepts starts only after the next one in the queue, as if that ran
  /// on a queue of its own. An empty function ends it.
  void hold_back(std::function<bool(const KernelCall&)> chosen);

  /// The queue that does only what the host or the other queue waits for.
  enum class Lazy : std::uint8_t { nobody, work, copies };
  void set_lazy(Lazy who);
  /// Plants a missing wait, until it is told otherwise: of a copy for what still uses its target, or of work for the
  /// copy.
  enum class Forgets : std::uint8_t { nothing, begin, finish };
  void forget(Forgets what) { forgets_ = what; }

  /// From now on a recording breaks off after so many pieces of work, as a device that runs out of room for it. -1:
  /// none does.
  void break_recordings_after(int pieces) { break_after_ = pieces; }
  /// Recordings that somebody holds.
  std::size_t live_recordings();

 private:
  class Queued;
  class FakeRecording;
  class FakeTransfer;
  using Task = std::function<void()>;
  /// Tasks that run in order on one thread, and how many of them were queued, are done, and are waited for.
  struct Queue {
    std::deque<Task> tasks;
    std::uint64_t queued = 0;
    std::uint64_t done = 0;
    std::uint64_t wanted = 0;
    bool lazy = false;

    bool may_go_on() const { return !tasks.empty() && (!lazy || done < wanted); }
  };
  /// `uses`: addresses of the work, for recordings.
  void enqueue(Task task, std::vector<const void*> uses = {});
  void refuse_inside_recording(const std::string& what) const;
  void enqueue_held();
  std::uint64_t push(Queue& queue, Task task);
  /// Waits until so many tasks are done.
  void wait_for(Queue& queue, std::uint64_t count);
  void wait();
  void work(Queue& queue, std::uint64_t seed);

  std::unique_ptr<Backend> cpu_;
  int max_delay_us_;
  std::size_t memory_limit_ = 0;
  std::size_t allocated_ = 0;
  std::function<bool(const KernelCall&)> held_back_;
  std::function<void()> held_;
  FakeRecording* recording_ = nullptr;  ///< the one that is being made
  bool freed_inside_ = false;
  int break_after_ = -1;

  std::mutex mutex_;
  std::condition_variable changed_;
  Queue work_;
  Queue copies_;
  Forgets forgets_ = Forgets::nothing;
  /// What was handed out: real address and bytes. A leak checker does not see through the shifted addresses.
  std::map<const void*, std::size_t> live_;
  std::unordered_set<FakeRecording*> recordings_;
  bool stop_ = false;
  std::exception_ptr error_;
  std::thread worker_;
  std::thread copier_;
};

/// The fake device that all tests share, registered on first use.
Device fake_device();
FakeBackend& fake_backend();

}  // namespace twingrad::tests
