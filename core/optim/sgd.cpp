#include <twingrad/optim/rules.h>
#include <twingrad/optim/sgd.h>

namespace twingrad::optim {
namespace {

void check(const SGDOptions& options) {
  check_not_negative("SGD", "lr", options.lr);
  check_not_negative("SGD", "dampening", options.dampening);
  check_not_negative("SGD", "weight_decay", options.weight_decay);
  check_not_negative("SGD", "l1", options.l1);
  check_below_one("SGD", "momentum", options.momentum);
  if (options.nesterov && (options.momentum == 0 || options.dampening != 0)) {
    throw ArgumentError("SGD: nesterov needs a momentum above 0 and a dampening of 0");
  }
}

}  // namespace

SGD::SGD(const std::vector<Tensor>& parameters, const Options& options)
    : SGD(std::vector<Group>{{.parameters = parameters, .options = options}}) {}

SGD::SGD(const std::vector<Group>& groups) : Optimizer(base_groups(groups)), options_(checked_options(groups, check)) {}

std::vector<std::string> SGD::buffer_names(std::size_t group) const {
  return options_[group].momentum == 0 ? std::vector<std::string>{} : std::vector<std::string>{"momentum"};
}

Hyperparameters SGD::hyperparameters(const Moment& at) const {
  const Options& options = options_[at.group];
  // The buffer starts at 0, so an undamped first step makes it the gradient.
  const double share = at.step == 1 ? 1.0 : 1.0 - options.dampening;
  return options.momentum == 0 ? Hyperparameters{{at.lr}}
                               : Hyperparameters{{at.lr}, {options.momentum, share}, {options.momentum, 1.0}};
}

Optimizer::Output SGD::update(const Input& in) const {
  const Options& options = options_[in.group];
  Tensor direction = add_penalties(in.gradient, in.parameter, options.weight_decay, options.l1);
  std::vector<Tensor> buffers;
  if (options.momentum > 0) {
    buffers.push_back(twingrad::update<formulas::Accumulate>({in.buffers[0], direction, in.hyper[1]}));
    direction =
        options.nesterov ? twingrad::update<formulas::Accumulate>({buffers[0], direction, in.hyper[2]}) : buffers[0];
  }
  return {twingrad::update<formulas::Sgd>({in.parameter, direction, in.hyper[0]}), buffers};
}

}  // namespace twingrad::optim
