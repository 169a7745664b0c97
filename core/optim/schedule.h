// Learning rates as functions of the step (or epoch) number, from 0. Small values that can be called, copied, and tried
// out without an optimizer; only ReduceOnPlateau has a memory, because it looks at a metric.
//
//   const tg::optim::LinearWarmup schedule{.steps = 500, .then = tg::optim::CosineSchedule{.lr = 1e-3, .t_max = 9500}};
//   for (int step = 0; step < 10000; ++step) {
//     adam.set_learning_rate(schedule(step));                      // a step size is data: the plan stays
//     ...
//   }
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

namespace twingrad::optim {

/// Any learning rate as a function of the step. The schedules below throw ArgumentError for a negative step and for
/// members outside their documented range.
using Schedule = std::function<double(std::int64_t step)>;

struct ConstantSchedule {
  double lr = 1e-3;
  double operator()(std::int64_t step) const;
};

/// lr * gamma^floor(step / step_size). step_size >= 1.
struct StepSchedule {
  double lr = 1e-3;
  std::int64_t step_size = 1;
  double gamma = 0.1;
  double operator()(std::int64_t step) const;
};

/// lr * gamma^(number of milestones <= step).
struct MultiStepSchedule {
  double lr = 1e-3;
  std::vector<std::int64_t> milestones = {};
  double gamma = 0.1;
  double operator()(std::int64_t step) const;
};

/// lr * gamma^step.
struct ExponentialSchedule {
  double lr = 1e-3;
  double gamma = 0.9;
  double operator()(std::int64_t step) const;
};

/// eta_min + (lr - eta_min) * (1 + cos(pi * step / t_max)) / 2 (Loshchilov and Hutter, 2017); eta_min from t_max on.
/// t_max >= 1.
struct CosineSchedule {
  double lr = 1e-3;
  std::int64_t t_max = 1;
  double eta_min = 0.0;
  double operator()(std::int64_t step) const;
};

/// From start_factor * then(0) in a straight line to then(0) at `steps`, then then(step - steps). steps >= 0.
struct LinearWarmup {
  std::int64_t steps = 0;
  double start_factor = 0.0;
  Schedule then = ConstantSchedule{};
  double operator()(std::int64_t step) const;
};

/// Up from max_lr / div_factor to max_lr in the first pct_start of the steps, then down to max_lr / div_factor /
/// final_div_factor at the last one, and there it stays, each along half a cosine (Smith and Topin, 2018; the turning
/// points are PyTorch's: pct_start * total_steps - 1 and total_steps - 1). total_steps >= 1, 0 <= pct_start <= 1.
struct OneCycleSchedule {
  double max_lr = 1e-2;
  std::int64_t total_steps = 1;
  double pct_start = 0.3;
  double div_factor = 25.0;
  double final_div_factor = 1e4;
  double operator()(std::int64_t step) const;
};

/// Whether a metric is better when it is smaller (a loss) or larger (an accuracy).
enum class Goal : std::uint8_t { minimize, maximize };

struct ReduceOnPlateauOptions {
  double lr = 1e-3;  ///< to begin with
  Goal goal = Goal::minimize;
  double factor = 0.1;         ///< in (0, 1)
  std::int64_t patience = 10;  ///< calls without improvement that are borne
  double threshold = 1e-4;     ///< better means by this share of the best value
  std::int64_t cooldown = 0;   ///< calls after a reduction that do not count
  double min_lr = 0.0;
};

/// Multiplies the learning rate by `factor` when the metric has not improved for more than `patience` calls.
///
///   tg::optim::ReduceOnPlateau plateau({.lr = 0.1, .patience = 5});
///   sgd.set_learning_rate(plateau(validation_loss));
class ReduceOnPlateau {
 public:
  /// Throws ArgumentError for an option outside its range.
  explicit ReduceOnPlateau(const ReduceOnPlateauOptions& options = {});
  /// Takes the latest metric and gives the learning rate from now on. NaN is no improvement.
  double operator()(double metric);
  double learning_rate() const { return lr_; }
  double best() const { return best_; }

 private:
  ReduceOnPlateauOptions options_;
  double lr_;
  double best_;
  std::int64_t bad_ = 0;
  std::int64_t cooling_ = 0;
};

}  // namespace twingrad::optim
