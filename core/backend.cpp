#include <twingrad/backend.h>
#include <twingrad/error.h>

#include <utility>

namespace twingrad {
namespace {

/// The call kept, its addresses set anew each time.
class KeptCall final : public PreparedKernel {
 public:
  KeptCall(Backend& backend, KernelCall call) : backend_(backend), call_(std::move(call)) {}

  void run(std::span<void* const> addresses, const std::source_location& where) override {
    for (std::size_t j = 0; j < call_.inputs.size(); ++j) {
      call_.inputs[j].data = addresses[j];
    }
    call_.output.data = addresses.back();
    call_.where = where;
    backend_.run(call_);
  }

 private:
  Backend& backend_;
  KernelCall call_;
};

/// Copies in order with queued work, once that may wait for it.
class QueuedTransfer final : public Transfer {
 public:
  QueuedTransfer(Backend& backend, std::size_t bytes) : backend_(backend), memory_(bytes) {}

  void begin() override {}
  void finish() override {
    if (bytes_ != 0) {
      backend_.copy_from_host(target_, memory_.data(), std::exchange(bytes_, 0));
    }
  }
  void wait() override {}
  std::byte* host(void* /*target*/) override { return memory_.data(); }
  void copy(void* target, std::size_t bytes) override {
    target_ = target;
    bytes_ = bytes;
  }

 private:
  Backend& backend_;
  std::vector<std::byte> memory_;
  void* target_ = nullptr;
  std::size_t bytes_ = 0;  ///< that are still to be copied
};

}  // namespace

std::unique_ptr<Transfer> Backend::make_transfer(std::size_t bytes) {
  return std::make_unique<QueuedTransfer>(*this, bytes);
}

std::unique_ptr<PreparedKernel> Backend::prepare(const KernelCall& call) {
  return std::make_unique<KeptCall>(*this, call);
}

std::unique_ptr<PreparedKernel> Backend::fuse(const Fusion& /*fusion*/) {
  return nullptr;
}

bool Backend::merges() const {
  return false;
}

std::unique_ptr<PreparedKernel> Backend::merge(std::span<const Fusion> /*fusions*/) {
  return nullptr;
}

bool Backend::records() const {
  return false;
}

std::unique_ptr<Recording> Backend::record(const std::function<void()>& /*queue*/) {
  throw DeviceError(description() + ": this device cannot record queued work; ask records() first");
}

std::unique_ptr<QueueMark> Backend::mark() {
  return nullptr;
}

void Backend::copy_listed(const ListedCopy* /*list*/, std::size_t /*count*/, std::size_t /*longest*/) {
  throw DeviceError(description() + ": this device has no listed copies; ask records() first");
}

}  // namespace twingrad
