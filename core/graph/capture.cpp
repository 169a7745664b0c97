#include <twingrad/graph/capture.h>

#include <utility>

namespace twingrad {
namespace {

thread_local Capture* active_capture = nullptr;

}  // namespace

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
