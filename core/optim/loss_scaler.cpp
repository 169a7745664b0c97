#include <twingrad/autograd.h>
#include <twingrad/error.h>
#include <twingrad/evaluate.h>
#include <twingrad/graph/capture.h>
#include <twingrad/ops.h>
#include <twingrad/optim/loss_scaler.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iterator>
#include <string>
#include <utility>

namespace twingrad::optim {
namespace {

std::string in_words(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.17g", value);
  return text;
}

void check_power_of_two(const char* function, const char* what, double value) {
  int exponent = 0;
  if (!(value > 0) || std::frexp(value, &exponent) != 0.5) {
    throw ArgumentError(std::string(function) + ": " + what + " is " + in_words(value) +
                        "; it must be a power of two, so that scaling is exact");
  }
}

/// 0 where every element of every gradient is finite, else NaN: 0 times infinity or NaN is NaN, and a sum keeps it.
Tensor finite_flag(const std::vector<Tensor>& gradients) {
  Tensor flag;
  for (const Tensor& gradient : gradients) {
    if (gradient.defined()) {
      const Tensor one = sum(gradient * 0.0).to(Dtype::f32);
      flag = flag.defined() ? flag + one : one;
    }
  }
  return flag;
}

}  // namespace

LossScaler::LossScaler(const LossScalerOptions& options) : options_(options), scale_(options.initial_scale) {
  constexpr const char* name = "LossScaler";
  check_power_of_two(name, "initial_scale", options.initial_scale);
  check_power_of_two(name, "growth_factor", options.growth_factor);
  check_power_of_two(name, "backoff_factor", options.backoff_factor);
  check_power_of_two(name, "smallest_scale", options.smallest_scale);
  check_power_of_two(name, "largest_scale", options.largest_scale);
  if (options.growth_factor < 1 || options.backoff_factor >= 1) {
    throw ArgumentError("LossScaler: growth_factor is " + in_words(options.growth_factor) + " and backoff_factor " +
                        in_words(options.backoff_factor) + "; the first must be at least 1, the second below 1");
  }
  if (options.smallest_scale > options.initial_scale || options.initial_scale > options.largest_scale) {
    throw ArgumentError("LossScaler: initial_scale is " + in_words(options.initial_scale) +
                        ", which does not lie between smallest_scale " + in_words(options.smallest_scale) +
                        " and largest_scale " + in_words(options.largest_scale));
  }
  if (options.growth_interval < 1) {
    throw ArgumentError("LossScaler: growth_interval is " + std::to_string(options.growth_interval) +
                        "; it must be at least 1");
  }
}

Tensor LossScaler::scale(const Tensor& loss, std::source_location where) const {
  const WhereScope scope(where);
  return loss * scale_;
}

std::vector<Tensor> LossScaler::unscale(std::vector<Tensor> gradients, std::source_location where) const {
  const WhereScope scope(where);
  const NoGrad guard;
  for (Tensor& gradient : gradients) {
    if (gradient.defined()) {
      gradient = gradient * (1.0 / scale_);
    }
  }
  return gradients;
}

bool LossScaler::step(Optimizer& optimizer, std::vector<Tensor> scaled_gradients, const Transform& transform,
                      std::source_location where) {
  const WhereScope scope(where);
  const auto take = [&](std::vector<Tensor> gradients) {
    std::vector<Tensor> unscaled = unscale(std::move(gradients));
    optimizer.step(transform ? transform(std::move(unscaled)) : std::move(unscaled), where);
  };
  const Tensor flag = [&] {
    const NoGrad guard;
    return finite_flag(scaled_gradients);
  }();
  // compile() needs the value: asking for it below says that it cannot be had.
  const Capture* const capture = CaptureScope::active();
  if ((capture != nullptr && !capture->recording) || !flag.defined()) {
    take(std::move(scaled_gradients));  // without any gradient: the optimizer says so
    return true;
  }
  std::vector<Tensor> wanted = {flag};
  std::ranges::copy_if(scaled_gradients, std::back_inserter(wanted), &Tensor::defined);
  eval(wanted);
  wanted.clear();
  if (!std::isfinite(flag.item())) {
    back_off(where);
    return false;
  }
  for (Tensor& gradient : scaled_gradients) {
    if (gradient.defined()) {
      gradient = gradient.detach();  // lets go of the graph, whose leaves the update may write over
    }
  }
  take(std::move(scaled_gradients));
  grow();
  return true;
}

void LossScaler::grow() {
  if (++growth_tracker_ >= options_.growth_interval) {
    scale_ = std::min(scale_ * options_.growth_factor, options_.largest_scale);
    growth_tracker_ = 0;
  }
}

void LossScaler::back_off(const std::source_location& where) {
  if (scale_ <= options_.smallest_scale) {
    throw NumericError("LossScaler at " + to_string(where) + ": the gradients are not finite at the smallest scale, " +
                       in_words(scale_) +
                       ", so the scale is not the cause; the loss or the parameters hold infinities "
                       "or NaN: lower the learning rate, or look at the data");
  }
  scale_ = std::max(scale_ * options_.backoff_factor, options_.smallest_scale);
  growth_tracker_ = 0;
  ++skipped_;
}

NamedTensors LossScaler::state() const {
  return {{"scale", tensor(scale_, {.dtype = Dtype::f64})},
          {"growth_tracker", tensor(std::vector<std::int64_t>{growth_tracker_})},
          {"skipped", tensor(std::vector<std::int64_t>{skipped_})}};
}

void LossScaler::load_state(const NamedTensors& state) {
  const std::string mismatch = describe_mismatch(this->state(), state);
  if (!mismatch.empty()) {
    throw ArgumentError("load_state: the state does not fit the loss scaler:" + mismatch);
  }
  const double scale = find(state, "scale").item();
  const auto growth_tracker = static_cast<std::int64_t>(find(state, "growth_tracker").item());
  const auto skipped = static_cast<std::int64_t>(find(state, "skipped").item());
  check_power_of_two("load_state", "scale", scale);
  if (growth_tracker < 0 || skipped < 0) {
    throw ArgumentError("load_state: growth_tracker is " + std::to_string(growth_tracker) + " and skipped " +
                        std::to_string(skipped) + "; neither can be negative");
  }
  scale_ = scale;
  growth_tracker_ = growth_tracker;
  skipped_ = skipped;
}

}  // namespace twingrad::optim
