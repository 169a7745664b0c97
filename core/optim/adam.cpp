#include <twingrad/ops.h>
#include <twingrad/optim/adam.h>
#include <twingrad/optim/rules.h>

#include <cmath>

namespace twingrad::optim {
namespace {

void check(const AdamOptions& options) {
  check_not_negative("Adam", "lr", options.lr);
  check_not_negative("Adam", "eps", options.eps);
  check_not_negative("Adam", "weight_decay", options.weight_decay);
  check_not_negative("Adam", "l1", options.l1);
  check_below_one("Adam", "beta1", options.beta1);
  check_below_one("Adam", "beta2", options.beta2);
}

std::vector<Adam::Group> as_adam(const std::vector<AdamW::Group>& groups) {
  std::vector<Adam::Group> result;
  for (const auto& [parameters, options] : groups) {
    result.push_back({parameters,
                      {.lr = options.lr,
                       .beta1 = options.beta1,
                       .beta2 = options.beta2,
                       .eps = options.eps,
                       .weight_decay = options.weight_decay,
                       .l1 = options.l1,
                       .amsgrad = options.amsgrad}});
  }
  return result;
}

}  // namespace

Adam::Adam(const std::vector<Tensor>& parameters, const Options& options)
    : Adam(std::vector<Group>{{.parameters = parameters, .options = options}}) {}

Adam::Adam(const std::vector<Group>& groups) : Adam(groups, Decay::l2) {}

Adam::Adam(const std::vector<Group>& groups, Decay decay)
    : Optimizer(base_groups(groups)), options_(checked_options(groups, check)), decay_(decay) {}

AdamW::AdamW(const std::vector<Tensor>& parameters, const Options& options)
    : AdamW(std::vector<Group>{{.parameters = parameters, .options = options}}) {}

AdamW::AdamW(const std::vector<Group>& groups) : Adam(as_adam(groups), Decay::decoupled) {}

std::vector<std::string> Adam::buffer_names(std::size_t group) const {
  std::vector<std::string> names{"exp_avg", "exp_avg_sq"};
  if (options_[group].amsgrad) {
    names.emplace_back("max_exp_avg_sq");
  }
  return names;
}

Hyperparameters Adam::hyperparameters(const Moment& at) const {
  const Options& options = options_[at.group];
  const double decoupled = decay_ == Decay::decoupled ? options.weight_decay : 0.0;
  const auto t = static_cast<double>(at.step);
  const double correction1 = 1.0 - std::pow(options.beta1, t);
  const double correction2 = 1.0 - std::pow(options.beta2, t);
  return {{options.beta1, 1.0 - options.beta1},
          {options.beta2, 1.0 - options.beta2},
          {at.lr / correction1, std::sqrt(correction2), options.eps, at.lr * decoupled}};
}

Optimizer::Output Adam::update(const Input& in) const {
  const Options& options = options_[in.group];
  const double l2 = decay_ == Decay::l2 ? options.weight_decay : 0.0;
  const Tensor gradient = add_penalties(in.gradient, in.parameter, l2, options.l1);
  const Tensor m = twingrad::update<formulas::Accumulate>({in.buffers[0], gradient, in.hyper[0]});
  const Tensor v = twingrad::update<formulas::AccumulateSquare>({in.buffers[1], gradient, in.hyper[1]});
  std::vector<Tensor> buffers{m, v};
  if (options.amsgrad) {
    buffers.push_back(maximum(in.buffers[2], v));
  }
  return {twingrad::update<formulas::Adam>({in.parameter, m, buffers.back(), in.hyper[2]}), buffers};
}

}  // namespace twingrad::optim
