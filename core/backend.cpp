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

}  // namespace

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
