// What every optimizer shares: parameters in groups, a step over all of them in one plan, learning rates, and state
// that can be saved. The optimizers themselves stand in sgd.h, adam.h, rmsprop.h and adagrad.h.
//
//   tg::optim::AdamW adam(model.parameters(), {.lr = 1e-3, .weight_decay = 1e-4});
//   adam.step(tg::gradients(loss, model.parameters()));            // or: loss.backward(); adam.step();
//   adam.zero_grad();
//
//   tg::optim::SGD sgd({{.parameters = body, .options = {.lr = 0.01}},     // groups with options of their own
//                       {.parameters = head, .options = {.lr = 0.1}}});
#pragma once

#include <twingrad/io/named_tensors.h>
#include <twingrad/optim/hyperparameters.h>
#include <twingrad/tensor.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <source_location>
#include <string>
#include <utility>
#include <vector>

namespace twingrad {
class PendingGradients;
}

namespace twingrad::optim {

/// Parameters that share options.
template <class Options>
struct ParameterGroup {
  std::vector<Tensor> parameters = {};
  Options options = {};
};

/// An optimizer owns its buffers, not its parameters: it keeps handles to them. For 16-bit parameters the arithmetic
/// and the buffers are float32, and the new parameter is rounded.
class Optimizer {
 public:
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;
  Optimizer(Optimizer&& other) noexcept;
  Optimizer& operator=(Optimizer&& other) noexcept;
  virtual ~Optimizer() = default;

  /// One step with these gradients, one per parameter in the order of parameters(). Runs forward, backward and the
  /// updates as one plan; afterwards every parameter has its new value, or, when an op throws, parameters and state
  /// are as they were (a GPU finds an index or label out of range later: the next wait for it throws). The graph is
  /// spent. A gradient that is an undefined tensor leaves its parameter alone. Pass the vector as a temporary, so that
  /// no handle keeps the gradients' memory.
  /// Throws ArgumentError for another number of gradients or none defined, and ShapeError, DtypeError or DeviceError
  /// for one that does not fit its parameter.
  void step(std::vector<Tensor> gradients, std::source_location where = std::source_location::current());
  /// One step with what backward() left in grad(). Does not clear it: see zero_grad().
  void step(std::source_location where = std::source_location::current());
  /// Forgets every parameter's grad().
  void zero_grad() const;

  /// All parameters, group after group.
  std::vector<Tensor> parameters() const;
  std::size_t group_count() const { return learning_rates_.size(); }
  /// Throws ArgumentError when there is no such group.
  double learning_rate(std::size_t group = 0) const;
  /// For every group, from the next step on. Throws ArgumentError when negative or not finite.
  void set_learning_rate(double lr);
  void set_learning_rate(std::size_t group, double lr);
  /// Steps taken so far (by the parameter that took most).
  std::int64_t steps() const;

  /// Learning rates ("lr": float64, one per group), steps taken ("step": int64, one per parameter) and buffers
  /// ("momentum.0": the first parameter's), by name. The values stay what they are when training goes on.
  NamedTensors state() const;
  /// Takes what state() gave. Names, shapes and dtypes must fit, else ArgumentError names every difference and nothing
  /// changes. Options other than the learning rate are not part of the state.
  void load_state(const NamedTensors& state);

 protected:
  /// What one parameter's update is computed from: value, gradient and buffers, of one dtype and on one device, and
  /// the rows of hyperparameters().
  struct Input {
    std::size_t group;
    Tensor parameter;
    Tensor gradient;
    const std::vector<Tensor>& buffers;
    const std::vector<Tensor>& hyper;
  };
  struct Moment {
    std::size_t group;
    std::int64_t step;  ///< 1 at the first
    double lr;
  };
  struct Output {
    Tensor parameter;
    std::vector<Tensor> buffers = {};
  };
  /// What the base needs of a group: its parameters and its first learning rate.
  using BaseGroups = std::vector<std::pair<std::vector<Tensor>, double>>;

  /// Throws ArgumentError when there are no parameters, one is there twice or is no leaf that requires gradients.
  explicit Optimizer(const BaseGroups& groups);

  template <class Options>
  static BaseGroups base_groups(const std::vector<ParameterGroup<Options>>& groups) {
    BaseGroups result;
    for (const ParameterGroup<Options>& group : groups) {
      result.emplace_back(group.parameters, group.options.lr);
    }
    return result;
  }
  /// The groups' options, each after check(options), which throws.
  template <class Options, class Check>
  static std::vector<Options> checked_options(const std::vector<ParameterGroup<Options>>& groups, const Check& check) {
    std::vector<Options> result;
    for (const ParameterGroup<Options>& group : groups) {
      check(group.options);
      result.push_back(group.options);
    }
    return result;
  }

  /// Names of the buffers that each parameter of a group has.
  virtual std::vector<std::string> buffer_names(std::size_t group) const = 0;
  /// What they hold before the first step.
  virtual double initial_buffer_value(std::size_t /*group*/) const { return 0.0; }
  /// The numbers of a step. How many there are must depend on the group alone.
  virtual Hyperparameters hyperparameters(const Moment& moment) const = 0;
  /// New parameter and new buffers as nodes not yet computed. All that changes from step to step is in `input`.
  virtual Output update(const Input& input) const = 0;

 private:
  struct Slot {
    Tensor parameter;
    std::size_t group = 0;
    std::int64_t steps = 0;
    std::vector<Tensor> buffers;  ///< empty before the first step
  };

  /// The literals of one step that parameters of a group, dtype and device share.
  struct Literals {
    std::size_t slot;  ///< the first parameter that uses them
    Dtype dtype;
    std::vector<Tensor> rows;
  };
  /// A step that was taken before, ready to be taken again.
  struct Replay;

  /// Where compiled steps find an optimizer that may be moved or be gone.
  struct Anchor {
    Optimizer* optimizer;
  };

  Moment moment(const Slot& slot) const;
  Literals& literals_for(std::size_t slot, Dtype dtype, std::vector<Literals>& made) const;
  void rewrite(const std::vector<Literals>& made) const;
  void note_replays(std::vector<Literals> made, std::vector<std::size_t> stepped);
  std::string title(std::size_t slot) const;
  void check_gradients(const std::vector<Tensor>& gradients) const;
  std::shared_ptr<PendingGradients> pending_gradients_of_parameters(const std::vector<Tensor>& gradients) const;
  bool replay(const std::vector<Tensor>& gradients, const std::source_location& where);
  void take_updates(std::vector<Tensor> gradients, const std::source_location& where);
  Tensor initial_buffer(const Slot& slot) const;
  void prepare_buffers();

  std::vector<Slot> slots_;
  std::vector<double> learning_rates_;
  std::shared_ptr<Anchor> anchor_;
  std::vector<std::shared_ptr<Replay>> replays_;  ///< the last one first
};

/// The present grad() of each parameter, undefined where there is none; for clipping before step().
std::vector<Tensor> grads(const std::vector<Tensor>& parameters);

}  // namespace twingrad::optim
