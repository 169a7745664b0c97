#include <twingrad/ops.h>
#include <twingrad/optim/rmsprop.h>
#include <twingrad/optim/rules.h>

namespace twingrad::optim {
namespace {

void check(const RMSpropOptions& options) {
  check_not_negative("RMSprop", "lr", options.lr);
  check_not_negative("RMSprop", "eps", options.eps);
  check_not_negative("RMSprop", "weight_decay", options.weight_decay);
  check_not_negative("RMSprop", "l1", options.l1);
  check_below_one("RMSprop", "alpha", options.alpha);
  check_below_one("RMSprop", "momentum", options.momentum);
}

}  // namespace

RMSprop::RMSprop(const std::vector<Tensor>& parameters, const Options& options)
    : RMSprop(std::vector<Group>{{.parameters = parameters, .options = options}}) {}

RMSprop::RMSprop(const std::vector<Group>& groups)
    : Optimizer(base_groups(groups)), options_(checked_options(groups, check)) {}

std::vector<std::string> RMSprop::buffer_names(std::size_t group) const {
  std::vector<std::string> names{"square_avg"};
  if (options_[group].centred) {
    names.emplace_back("grad_avg");
  }
  if (options_[group].momentum > 0) {
    names.emplace_back("momentum");
  }
  return names;
}

Hyperparameters RMSprop::hyperparameters(const Moment& at) const {
  const Options& options = options_[at.group];
  if (options.momentum == 0 && !options.centred) {
    return {{options.alpha, 1.0 - options.alpha}, {at.lr, options.eps}};
  }
  return {{options.alpha, 1.0 - options.alpha}, {at.lr, options.eps}, {options.eps}, {options.momentum, 1.0}, {at.lr}};
}

Optimizer::Output RMSprop::update(const Input& in) const {
  const Options& options = options_[in.group];
  const Tensor gradient = add_penalties(in.gradient, in.parameter, options.weight_decay, options.l1);
  std::vector<Tensor> buffers{twingrad::update<formulas::AccumulateSquare>({in.buffers[0], gradient, in.hyper[0]})};
  if (options.momentum == 0 && !options.centred) {
    return {twingrad::update<formulas::ScaledStep>({in.parameter, gradient, buffers[0], in.hyper[1]}), buffers};
  }
  Tensor direction;
  if (options.centred) {
    buffers.push_back(twingrad::update<formulas::Accumulate>({in.buffers[1], gradient, in.hyper[0]}));
    direction = twingrad::update<formulas::CentredDirection>({gradient, buffers[0], buffers[1], in.hyper[2]});
  } else {
    direction = gradient / (sqrt(buffers[0]) + options.eps);
  }
  if (options.momentum > 0) {
    direction = twingrad::update<formulas::Accumulate>({in.buffers.back(), direction, in.hyper[3]});
    buffers.push_back(direction);
  }
  return {twingrad::update<formulas::Sgd>({in.parameter, direction, in.hyper[4]}), buffers};
}

}  // namespace twingrad::optim
