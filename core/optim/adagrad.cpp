#include <twingrad/optim/adagrad.h>
#include <twingrad/optim/rules.h>

namespace twingrad::optim {
namespace {

void check(const AdagradOptions& options) {
  check_not_negative("Adagrad", "lr", options.lr);
  check_not_negative("Adagrad", "lr_decay", options.lr_decay);
  check_not_negative("Adagrad", "initial_sum", options.initial_sum);
  check_not_negative("Adagrad", "eps", options.eps);
  check_not_negative("Adagrad", "weight_decay", options.weight_decay);
  check_not_negative("Adagrad", "l1", options.l1);
}

}  // namespace

Adagrad::Adagrad(const std::vector<Tensor>& parameters, const Options& options)
    : Adagrad(std::vector<Group>{{.parameters = parameters, .options = options}}) {}

Adagrad::Adagrad(const std::vector<Group>& groups)
    : Optimizer(base_groups(groups)), options_(checked_options(groups, check)) {}

std::vector<std::string> Adagrad::buffer_names(std::size_t /*group*/) const {
  return {"sum"};
}

double Adagrad::initial_buffer_value(std::size_t group) const {
  return options_[group].initial_sum;
}

Hyperparameters Adagrad::hyperparameters(const Moment& at) const {
  const Options& options = options_[at.group];
  const double lr = at.lr / (1.0 + static_cast<double>(at.step - 1) * options.lr_decay);
  return {{1.0, 1.0}, {lr, options.eps}};
}

Optimizer::Output Adagrad::update(const Input& in) const {
  const Options& options = options_[in.group];
  const Tensor gradient = add_penalties(in.gradient, in.parameter, options.weight_decay, options.l1);
  const Tensor sum = twingrad::update<formulas::AccumulateSquare>({in.buffers[0], gradient, in.hyper[0]});
  return {twingrad::update<formulas::ScaledStep>({in.parameter, gradient, sum, in.hyper[1]}), {sum}};
}

}  // namespace twingrad::optim
