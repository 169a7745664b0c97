#include <twingrad/graph/capture.h>

#include <utility>

namespace twingrad {
namespace {

thread_local Capture* active_capture = nullptr;

}  // namespace

CaptureScope::CaptureScope() : before_(std::exchange(active_capture, &capture_)) {}
CaptureScope::~CaptureScope() {
  active_capture = before_;
}
Capture* CaptureScope::active() {
  return active_capture;
}

}  // namespace twingrad
