// Holds back what a training step would do: while a CaptureScope lives on this thread, gradients() notes its results
// and an optimizer's step notes the new values instead of computing them. The cross-check runs the user's own training
// step this way and gets its whole graph, forward, backward and update.
#pragma once

#include <twingrad/tensor.h>

#include <utility>
#include <vector>

namespace twingrad {

struct Capture {
  std::vector<std::pair<Tensor, Tensor>> gradients;    ///< input and its gradient
  std::vector<std::pair<Tensor, Tensor>> assignments;  ///< handle and its new value
};

class CaptureScope {
 public:
  CaptureScope();
  CaptureScope(const CaptureScope&) = delete;
  CaptureScope& operator=(const CaptureScope&) = delete;
  ~CaptureScope();
  const Capture& capture() const { return capture_; }
  /// The innermost one of this thread, or nullptr.
  static Capture* active();

 private:
  Capture capture_;
  Capture* before_;
};

}  // namespace twingrad
