#include <twingrad/graph/capture.h>
#include <twingrad/graph/node.h>

#include <algorithm>
#include <utility>

namespace twingrad {
namespace {

thread_local Capture* active_capture = nullptr;

}  // namespace

void Capture::assign(const Tensor& handle, const Tensor& value) {
  if (recording) {
    Tensor(handle).assign(value);
  } else {
    assignments.emplace_back(handle, value);
  }
}

void Capture::note_replaced(const std::shared_ptr<detail::TensorImpl>& handle) {
  if (std::none_of(replaced.begin(), replaced.end(), [&](const Replaced& other) { return other.handle == handle; })) {
    replaced.push_back({handle, handle->node});
  }
}

void Capture::note_seed(const Seed& seed, const std::shared_ptr<Node>& literal) {
  for (auto draw = draws.rbegin(); draw != draws.rend(); ++draw) {
    if (draw->seed.key == seed.key && draw->seed.stream == seed.stream) {
      draw->literals.push_back(literal);
      return;
    }
  }
}

CaptureScope::CaptureScope() : before_(std::exchange(active_capture, &capture_)) {}
CaptureScope::~CaptureScope() {
  active_capture = before_;
}
Capture* CaptureScope::active() {
  return active_capture;
}

CapturePause::CapturePause() : before_(std::exchange(active_capture, nullptr)) {}
CapturePause::~CapturePause() {
  active_capture = before_;
}

}  // namespace twingrad
