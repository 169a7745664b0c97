#include <twingrad/graph/capture.h>
#include <twingrad/random.h>

namespace twingrad {

Seed Generator::next() {
  const Seed seed = state_->next();
  if (Capture* capture = CaptureScope::active(); capture != nullptr) {
    capture->draws.push_back({state_, seed, {}});
  }
  return seed;
}

}  // namespace twingrad
