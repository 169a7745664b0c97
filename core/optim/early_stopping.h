// Ends training when a metric of the validation set has stopped improving, and remembers the best parameters.
//
//   tg::optim::EarlyStopping stopping({.patience = 5});
//   for (int epoch = 0; epoch < 100 && !stopping.stop(validation_loss(model), model); ++epoch) { ... }
//   stopping.restore(model);
#pragma once

#include <twingrad/io/named_tensors.h>
#include <twingrad/optim/schedule.h>

#include <cstdint>

namespace twingrad::nn {
class Module;
}

namespace twingrad::optim {

struct EarlyStoppingOptions {
  std::int64_t patience = 10;  ///< calls in a row without improvement that end training; at least 1
  double min_delta = 0.0;      ///< better means by more than this
  Goal goal = Goal::minimize;
};

class EarlyStopping {
 public:
  /// Throws ArgumentError for an option outside its range.
  explicit EarlyStopping(const EarlyStoppingOptions& options = {});

  /// Takes the latest metric; whether to stop now. NaN is no improvement.
  bool stop(double metric);
  /// The same, and keeps the module's values when the metric is the best so far. Keeping costs no copy until they
  /// change.
  bool stop(double metric, const nn::Module& module);
  /// Gives the module the kept values back. Throws ArgumentError when there are none.
  void restore(nn::Module& module) const;

  /// Whether the latest metric was the best so far.
  bool improved() const { return calls_ > 0 && bad_ == 0; }
  /// The best metric; infinity, or minus infinity, before the first.
  double best() const { return best_; }
  /// Which call had it, from 0; -1 before the first.
  std::int64_t best_call() const { return best_call_; }

 private:
  EarlyStoppingOptions options_;
  double best_;
  std::int64_t best_call_ = -1;
  std::int64_t calls_ = 0;
  std::int64_t bad_ = 0;
  NamedTensors kept_;
};

}  // namespace twingrad::optim
