#include <twingrad/error.h>
#include <twingrad/optim/schedule.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

namespace twingrad::optim {
namespace {

void require(bool holds, const char* schedule, const std::string& what) {
  if (!holds) {
    throw ArgumentError(std::string(schedule) + ": " + what);
  }
}

void check_step(const char* schedule, std::int64_t step) {
  require(step >= 0, schedule, "step " + std::to_string(step) + " is negative");
}

double cosine_between(double start, double end, double share) {
  return end + (start - end) * 0.5 * (1.0 + std::cos(std::numbers::pi * share));
}

double worst(Goal goal) {
  const double infinity = std::numeric_limits<double>::infinity();
  return goal == Goal::minimize ? infinity : -infinity;
}

}  // namespace

double ConstantSchedule::operator()(std::int64_t step) const {
  check_step("ConstantSchedule", step);
  return lr;
}

double StepSchedule::operator()(std::int64_t step) const {
  check_step("StepSchedule", step);
  require(step_size >= 1, "StepSchedule", "step_size is " + std::to_string(step_size) + "; it must be at least 1");
  const std::int64_t falls = step / step_size;
  return lr * std::pow(gamma, static_cast<double>(falls));
}

double MultiStepSchedule::operator()(std::int64_t step) const {
  check_step("MultiStepSchedule", step);
  const auto passed = std::ranges::count_if(milestones, [&](std::int64_t milestone) { return milestone <= step; });
  return lr * std::pow(gamma, static_cast<double>(passed));
}

double ExponentialSchedule::operator()(std::int64_t step) const {
  check_step("ExponentialSchedule", step);
  return lr * std::pow(gamma, static_cast<double>(step));
}

double CosineSchedule::operator()(std::int64_t step) const {
  check_step("CosineSchedule", step);
  require(t_max >= 1, "CosineSchedule", "t_max is " + std::to_string(t_max) + "; it must be at least 1");
  return step >= t_max ? eta_min : cosine_between(lr, eta_min, static_cast<double>(step) / static_cast<double>(t_max));
}

double LinearWarmup::operator()(std::int64_t step) const {
  check_step("LinearWarmup", step);
  require(steps >= 0, "LinearWarmup", "steps is " + std::to_string(steps) + "; it must be 0 or larger");
  require(then != nullptr, "LinearWarmup", "there is no schedule to follow; set .then");
  if (step >= steps) {
    return then(step - steps);
  }
  const double share = static_cast<double>(step) / static_cast<double>(steps);
  return then(0) * (start_factor + (1.0 - start_factor) * share);
}

double OneCycleSchedule::operator()(std::int64_t step) const {
  check_step("OneCycleSchedule", step);
  require(total_steps >= 1, "OneCycleSchedule",
          "total_steps is " + std::to_string(total_steps) + "; it must be at least 1");
  require(pct_start >= 0 && pct_start <= 1, "OneCycleSchedule",
          "pct_start is " + std::to_string(pct_start) + "; it must be in [0, 1]");
  require(div_factor > 0 && final_div_factor > 0, "OneCycleSchedule",
          "div_factor and final_div_factor must be above 0");
  const double initial_lr = max_lr / div_factor;
  const double final_lr = initial_lr / final_div_factor;
  const double top = pct_start * static_cast<double>(total_steps) - 1.0;
  const double last = static_cast<double>(total_steps) - 1.0;
  const auto at = static_cast<double>(step);
  if (at >= last) {
    return top >= last ? max_lr : final_lr;
  }
  if (at <= top) {
    return top == 0 ? max_lr : cosine_between(initial_lr, max_lr, at / top);
  }
  return cosine_between(max_lr, final_lr, (at - top) / (last - top));
}

ReduceOnPlateau::ReduceOnPlateau(const ReduceOnPlateauOptions& options)
    : options_(options), lr_(options.lr), best_(worst(options.goal)) {
  require(options.lr >= 0 && std::isfinite(options.lr), "ReduceOnPlateau", "lr must be 0 or larger, and finite");
  require(options.factor > 0 && options.factor < 1, "ReduceOnPlateau",
          "factor is " + std::to_string(options.factor) + "; it must be in (0, 1)");
  require(options.patience >= 0 && options.cooldown >= 0, "ReduceOnPlateau",
          "patience and cooldown must not be negative");
  require(options.threshold >= 0 && options.min_lr >= 0, "ReduceOnPlateau",
          "threshold and min_lr must not be negative");
}

double ReduceOnPlateau::operator()(double metric) {
  // The margin is a share of the best value's size, so that it also works for values below zero.
  const double margin = std::isfinite(best_) ? options_.threshold * std::abs(best_) : 0.0;
  const bool better = options_.goal == Goal::minimize ? metric < best_ - margin : metric > best_ + margin;
  if (better) {
    best_ = metric;
    bad_ = 0;
  } else {
    ++bad_;
  }
  if (cooling_ > 0) {
    --cooling_;
    bad_ = 0;
  }
  if (bad_ > options_.patience) {
    lr_ = std::max(lr_ * options_.factor, std::min(options_.min_lr, lr_));
    cooling_ = options_.cooldown;
    bad_ = 0;
  }
  return lr_;
}

}  // namespace twingrad::optim
