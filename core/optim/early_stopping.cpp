#include <twingrad/error.h>
#include <twingrad/nn/module.h>
#include <twingrad/optim/early_stopping.h>

#include <limits>
#include <string>

namespace twingrad::optim {

EarlyStopping::EarlyStopping(const EarlyStoppingOptions& options)
    : options_(options),
      best_(options.goal == Goal::minimize ? std::numeric_limits<double>::infinity()
                                           : -std::numeric_limits<double>::infinity()) {
  if (options.patience < 1) {
    throw ArgumentError("EarlyStopping: patience is " + std::to_string(options.patience) + "; it must be at least 1");
  }
  if (!(options.min_delta >= 0)) {
    throw ArgumentError("EarlyStopping: min_delta is " + std::to_string(options.min_delta) +
                        "; it must be 0 or larger");
  }
}

bool EarlyStopping::stop(double metric) {
  const bool better =
      options_.goal == Goal::minimize ? metric < best_ - options_.min_delta : metric > best_ + options_.min_delta;
  if (better) {
    best_ = metric;
    best_call_ = calls_;
    bad_ = 0;
  } else {
    ++bad_;
  }
  ++calls_;
  return bad_ >= options_.patience;
}

bool EarlyStopping::stop(double metric, const nn::Module& module) {
  const bool done = stop(metric);
  if (improved()) {
    kept_ = module.state();
  }
  return done;
}

void EarlyStopping::restore(nn::Module& module) const {
  if (kept_.empty()) {
    throw ArgumentError("EarlyStopping: no values were kept; call stop(metric, module) in the training loop");
  }
  module.load_state(kept_);
}

}  // namespace twingrad::optim
