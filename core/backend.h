// The backend contract: what a kind of device must provide. A newcomer who adds a device implements this one class.
//
// Calls on one backend come from one thread at a time. run(), copy() and fill work are asynchronous: they are queued
// in order and may return before they are done; copy_to_host() and synchronize() wait. Memory handed to deallocate()
// may still be read by queued work: a backend whose queue is in order may hand it out again at once.
#pragma once

#include <twingrad/device.h>
#include <twingrad/error_model.h>
#include <twingrad/kernel_call.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <source_location>
#include <span>
#include <string>
#include <vector>

namespace twingrad {

/// One kernel, or several as one, ready to run again and again: what shapes, strides and attributes decide is decided.
class PreparedKernel {
 public:
  PreparedKernel() = default;
  PreparedKernel(const PreparedKernel&) = delete;
  PreparedKernel& operator=(const PreparedKernel&) = delete;
  virtual ~PreparedKernel() = default;

  /// Queues it once more, as Backend::run() does. `addresses`: of a call's inputs in order, then of its output; of a
  /// fusion's operands, part after part, those left out that are not in memory. `where`: the line that asked for it.
  virtual void run(std::span<void* const> addresses, const std::source_location& where) = 0;
};

/// Kernels that may run as one, because each element of a result depends on the same element of earlier results alone.
/// Elementwise ops and optimizer updates; the first part may be a product whose results the others go on with, and the
/// last ones may be sums and means of results of elementwise parts.
struct Fusion {
  struct Part {
    KernelCall call;        ///< addresses are not set
    std::vector<int> from;  ///< per input: the part whose result it is, element for element, or -1: it is in memory
    bool stored = true;     ///< whether the result is needed in memory
  };
  std::vector<Part> parts;
};

/// Work that was queued under Backend::record(), to be queued again at once.
class Recording {
 public:
  Recording() = default;
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;
  /// What was replayed and still waits in the queue is run all the same.
  virtual ~Recording() = default;

  /// Queues all of it once more, in order, on the addresses it was recorded with.
  virtual void replay() = 0;
  /// Pieces of work in it: kernels, copies, fills.
  virtual std::size_t size() const = 0;
};

/// A point in a device's queue, and the device's own time when it got there.
class QueueMark {
 public:
  QueueMark() = default;
  QueueMark(const QueueMark&) = delete;
  QueueMark& operator=(const QueueMark&) = delete;
  virtual ~QueueMark() = default;

  /// Waits until the device has got here. Seconds since it was at `earlier`, an earlier mark of the same backend.
  virtual double seconds_since(const QueueMark& earlier) const = 0;
};

/// A copy on the device that is named in the device's own memory, see Backend::copy_listed().
struct ListedCopy {
  void* target;
  const void* source;
  std::uint64_t bytes;
};

/// A way for host data to the device beside the queued work: host memory that the device reads from, and copies on a
/// queue of their own. Used for one block after another: host() is filled, copied, used by queued work, and filled
/// again.
class Transfer {
 public:
  Transfer() = default;
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;
  /// Waits for its copy.
  virtual ~Transfer() = default;

  // These two count as calls on the backend.

  /// The next copy() waits for all work queued so far: that may still use the target.
  virtual void begin() = 0;
  /// Work that is queued from now on waits for the last copy().
  virtual void finish() = 0;

  // These three may be called on another thread while that one goes on with the backend; between begin() and finish().

  /// Waits until the last copy has read the host memory.
  virtual void wait() = 0;
  /// Where to write what copy() is to bring to `target`: page-locked memory, or `target` itself where a device works on
  /// the host's memory. Call wait() before.
  virtual std::byte* host(void* target) = 0;
  /// Queues the copy of the first `bytes` and returns at once.
  virtual void copy(void* target, std::size_t bytes) = 0;
};

class Backend {
 public:
  Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;
  virtual ~Backend() = default;

  /// The device in words, for reports.
  virtual std::string description() const = 0;

  /// `bytes` > 0 of device memory, aligned to 256 bytes, or nullptr when there is none left. The core caches and
  /// counts; this asks the device.
  virtual void* allocate(std::size_t bytes) = 0;
  virtual void deallocate(void* memory, std::size_t bytes) noexcept = 0;

  /// Copies from host memory, in order with queued work; `source` may be changed as soon as this returns.
  virtual void copy_from_host(void* target, const void* source, std::size_t bytes) = 0;
  /// Copies to host memory and waits. Throws what synchronize() throws.
  virtual void copy_to_host(void* target, const void* source, std::size_t bytes) = 0;
  /// Copies on the device, in order with queued work.
  virtual void copy(void* target, const void* source, std::size_t bytes) = 0;

  /// A transfer of at most `bytes` > 0 at once. Throws OutOfMemoryError when there is no such memory on the host. Here:
  /// one that copies by copy_from_host() in finish(), in order with queued work.
  virtual std::unique_ptr<Transfer> make_transfer(std::size_t bytes);

  /// Queues one kernel. The output may hold anything before (also NaN) and must not be read, except where the
  /// family allows it to be an input. An output of zero elements is never asked for.
  virtual void run(const KernelCall& call) = 0;

  /// The kernel that run() would take for this call, for replays; addresses in the call are not looked at. Throws what
  /// run() would throw for such a call. Here: one that calls run().
  virtual std::unique_ptr<PreparedKernel> prepare(const KernelCall& call);

  /// The parts as one kernel, with the bits that they give one by one; nullptr: this backend runs them one by one.
  /// A part's result may lie on an input of the fusion that no other part reads differently. Here: nullptr.
  virtual std::unique_ptr<PreparedKernel> fuse(const Fusion& fusion);

  /// Whether merge() may give a kernel; if not, plans need not be searched for what it might take. Here: false.
  virtual bool merges() const;

  /// Fusions of the same ops, attributes and dtypes over different shapes, each of which may have one part, as one
  /// kernel: several small launches for the price of one. None reads or writes over what another one writes; so they
  /// may run in any order or at once, each with the bits that it gives alone. run() gets the addresses of one fusion
  /// after the other. nullptr: this backend runs them one by one. Here: nullptr.
  virtual std::unique_ptr<PreparedKernel> merge(std::span<const Fusion> fusions);

  /// Whether this backend can record() and copy_listed(). Here: false.
  virtual bool records() const;

  /// Keeps what `queue` queues instead of running it. `queue` may run prepared kernels on addresses that they ran on
  /// before, and copy on the device; whatever allocates, copies from or to the host, or waits throws DeviceError there.
  /// What `queue` throws comes out, and then nothing was queued. No memory that a recording uses may be deallocated
  /// before its last replay was queued. Throws DeviceError when the device cannot record this. Here: always.
  virtual std::unique_ptr<Recording> record(const std::function<void()>& queue);

  /// Queues `count` copies that stand in device memory at `list` when they run, each of at most `longest` bytes, none
  /// of which overlap: a recording reads and writes through them what lies elsewhere each time. Here: DeviceError.
  virtual void copy_listed(const ListedCopy* list, std::size_t count, std::size_t longest);

  /// Marks where the queue ends now, to time what is queued next. nullptr: the device has no clock of its own. Throws
  /// DeviceError while work is recorded. Here: nullptr.
  virtual std::unique_ptr<QueueMark> mark();

  /// How the kernel that run() would take for this call rounds: the order of its sums, its accumulator, the accuracy of
  /// its functions. Looks at op, dtypes, shapes and strides alone; data pointers may be null.
  virtual ErrorModel error_model(const KernelCall& call) const = 0;

  /// Waits for all queued work. Throws NumericError for an index out of range found since the last time, and
  /// DeviceError when the device failed.
  virtual void synchronize() = 0;
};

/// The backend of `device`, created on first use. Throws DeviceError when it is not there.
Backend& backend(Device device);

/// Adds a backend at run time (the tests' fake device, a wrapper that plants faults). The device is named
/// "plugin:<n>" and lives until the end of the program.
Device register_backend(std::unique_ptr<Backend> backend);

/// Implemented by cpu/.
std::unique_ptr<Backend> make_cpu_backend();

/// Implemented by cuda/, and by its stand-in when CUDA is not built: then the count is 0 and make throws.
int cuda_backend_device_count();
std::unique_ptr<Backend> make_cuda_backend(int index);

}  // namespace twingrad
