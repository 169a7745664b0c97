// Holds back what a training step would do: while a CaptureScope lives on this thread, gradients() notes its results,
// an optimizer's step notes the new values instead of computing them, and numbers that change from step to step note
// how. The cross-check runs the user's own training step this way and gets its whole graph, forward, backward and
// update; compile() makes a program of it.
#pragma once

#include <twingrad/random.h>
#include <twingrad/tensor.h>

#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace twingrad {

struct Capture {
  /// A seed taken from a generator, and the literals that hold it.
  struct Draw {
    std::weak_ptr<Generator::State> generator;
    Seed seed;
    std::vector<std::shared_ptr<Node>> literals;
  };

  std::vector<std::pair<Tensor, Tensor>> gradients;    ///< input and its gradient
  std::vector<std::pair<Tensor, Tensor>> assignments;  ///< handle and its new value
  std::vector<Draw> draws;                             ///< in order
  std::vector<std::function<void()>> before;           ///< to be called before a replay: writes literals anew
  std::vector<std::function<void()>> after;            ///< to be called after each run that succeeded
  std::vector<Tensor> with_grad;                       ///< leaves that backward() gave a grad()

  /// A handle that was assigned to while ops are recorded for replays, and what it named before.
  struct Replaced {
    std::shared_ptr<detail::TensorImpl> handle;
    std::shared_ptr<Node> before;
  };
  /// Ops are recorded for replays: assignments take effect at once, so that what follows reads the new values, and are
  /// noted here instead of in `assignments`; a value cannot be asked for.
  bool recording = false;
  std::vector<Replaced> replaced;
  std::vector<const void*> stepped;  ///< optimizers

  /// Takes an assignment that would have been made.
  void assign(const Tensor& handle, const Tensor& value);
  void note_replaced(const std::shared_ptr<detail::TensorImpl>& handle);
  void note_seed(const Seed& seed, const std::shared_ptr<Node>& literal);
};

class CaptureScope {
 public:
  CaptureScope();
  CaptureScope(const CaptureScope&) = delete;
  CaptureScope& operator=(const CaptureScope&) = delete;
  ~CaptureScope();
  Capture& capture() { return capture_; }
  const Capture& capture() const { return capture_; }
  /// The innermost one of this thread, or nullptr.
  static Capture* active();

 private:
  Capture capture_;
  Capture* before_;
};

/// While one lives, nothing is held back: for what has to be computed on the way.
class CapturePause {
 public:
  CapturePause();
  CapturePause(const CapturePause&) = delete;
  CapturePause& operator=(const CapturePause&) = delete;
  ~CapturePause();

 private:
  Capture* before_;
};

}  // namespace twingrad
