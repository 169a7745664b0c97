#include <twingrad/autograd.h>
#include <twingrad/evaluate.h>
#include <twingrad/graph/capture.h>
#include <twingrad/graph/node.h>
#include <twingrad/ops.h>
#include <twingrad/optim/optimizer.h>
#include <twingrad/optim/rules.h>
#include <twingrad/optim/step_replay.h>
#include <twingrad/precision.h>

#include <algorithm>
#include <optional>
#include <ranges>
#include <unordered_set>

namespace twingrad::optim {
namespace {

bool is_half(Dtype dtype) {
  return dtype == Dtype::bf16 || dtype == Dtype::f16;
}

// What updates and buffers of a parameter are computed in.
Dtype working_dtype(const Tensor& parameter) {
  return is_half(parameter.dtype()) ? Dtype::f32 : parameter.dtype();
}

/// Steps that an optimizer remembers, and nodes that they may have together.
constexpr std::size_t most_replays = 4;
constexpr std::size_t most_replayed_nodes = 30'000;

}  // namespace

struct Optimizer::Replay {
  std::shared_ptr<StepReplay> step;
  std::vector<Literals> literals;
  std::vector<std::size_t> literals_of;  ///< by parameter: which of the literals it takes
  std::source_location where;
};

Optimizer::Optimizer(const BaseGroups& groups) : anchor_(std::make_shared<Anchor>(Anchor{this})) {
  std::unordered_set<const detail::TensorImpl*> seen;
  for (const auto& [parameters, lr] : groups) {
    for (const Tensor& parameter : parameters) {
      slots_.push_back({.parameter = parameter, .group = learning_rates_.size(), .buffers = {}});
      const std::string which = "optimizer: " + title(slots_.size() - 1);
      if (!parameter.node()->is_leaf() || !parameter.requires_grad()) {
        throw ArgumentError(which + " is no leaf that requires gradients; mark it with requires_grad(true)");
      }
      if (!seen.insert(parameter.impl().get()).second) {
        throw ArgumentError(which + " is there twice; a step would count it twice");
      }
    }
    learning_rates_.push_back(lr);
  }
  if (slots_.empty()) {
    throw ArgumentError("optimizer: there are no parameters to train");
  }
}

Optimizer::Optimizer(Optimizer&& other) noexcept
    : slots_(std::move(other.slots_)),
      learning_rates_(std::move(other.learning_rates_)),
      anchor_(std::move(other.anchor_)),
      replays_(std::move(other.replays_)) {
  if (anchor_ != nullptr) {
    anchor_->optimizer = this;
  }
}

Optimizer& Optimizer::operator=(Optimizer&& other) noexcept {
  slots_ = std::move(other.slots_);
  learning_rates_ = std::move(other.learning_rates_);
  anchor_ = std::move(other.anchor_);
  replays_ = std::move(other.replays_);
  if (anchor_ != nullptr) {
    anchor_->optimizer = this;
  }
  return *this;
}

std::string Optimizer::title(std::size_t slot) const {
  const std::string& label = slots_[slot].parameter.label();
  return "parameter " + std::to_string(slot) + (label.empty() ? "" : " ('" + label + "')");
}

std::vector<Tensor> Optimizer::parameters() const {
  std::vector<Tensor> result;
  for (const Slot& slot : slots_) {
    result.push_back(slot.parameter);
  }
  return result;
}

std::vector<Tensor> grads(const std::vector<Tensor>& parameters) {
  std::vector<Tensor> result;
  for (const Tensor& parameter : parameters) {
    result.push_back(parameter.grad());
  }
  return result;
}

void Optimizer::zero_grad() const {
  for (const Slot& slot : slots_) {
    slot.parameter.zero_grad();
  }
}

double Optimizer::learning_rate(std::size_t group) const {
  if (group >= group_count()) {
    throw ArgumentError("learning_rate: there is no group " + std::to_string(group) + "; there are " +
                        std::to_string(group_count()));
  }
  return learning_rates_[group];
}

void Optimizer::set_learning_rate(std::size_t group, double lr) {
  learning_rate(group);  // is there
  check_not_negative("set_learning_rate", "lr", lr);
  learning_rates_[group] = lr;
}

void Optimizer::set_learning_rate(double lr) {
  check_not_negative("set_learning_rate", "lr", lr);
  std::ranges::fill(learning_rates_, lr);
}

std::int64_t Optimizer::steps() const {
  std::int64_t most = 0;
  for (const Slot& slot : slots_) {
    most = std::max(most, slot.steps);
  }
  return most;
}

void Optimizer::check_gradients(const std::vector<Tensor>& gradients) const {
  if (gradients.size() != slots_.size()) {
    throw ArgumentError("step: there are " + std::to_string(gradients.size()) + " gradients for " +
                        std::to_string(slots_.size()) + " parameters");
  }
  if (std::ranges::none_of(gradients, &Tensor::defined)) {
    throw ArgumentError("step: no parameter has a gradient; call backward() first, or pass gradients");
  }
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    const Tensor& gradient = gradients[i];
    const Tensor& parameter = slots_[i].parameter;
    if (!gradient.defined()) {
      continue;
    }
    const std::string which = "step: the gradient of " + title(i) + " ";
    if (!(gradient.shape() == parameter.shape())) {
      throw ShapeError(which + "has shape " + to_string(gradient.shape()) + ", the parameter " +
                       to_string(parameter.shape()));
    }
    if (gradient.dtype() != parameter.dtype()) {
      throw DtypeError(which + "is " + std::string(name(gradient.dtype())) + ", the parameter " +
                       std::string(name(parameter.dtype())));
    }
    if (!(gradient.device() == parameter.device())) {
      throw DeviceError(which + "is on " + gradient.device().name() + ", the parameter on " +
                        parameter.device().name());
    }
  }
}

Tensor Optimizer::initial_buffer(const Slot& slot) const {
  const TensorOptions options{.dtype = working_dtype(slot.parameter), .device = slot.parameter.device()};
  // Memory of its own from the start, so that the first step has the structure of all others.
  return contiguous(full(slot.parameter.shape(), initial_buffer_value(slot.group), options));
}

// Buffers appear at the first step and follow when a parameter has moved since the last one.
void Optimizer::prepare_buffers() {
  const CapturePause pause;
  std::vector<Tensor> fresh;
  for (Slot& slot : slots_) {
    if (slot.buffers.empty()) {
      for (const std::string& name : buffer_names(slot.group)) {
        slot.buffers.push_back(initial_buffer(slot));
        if (!slot.parameter.label().empty()) {
          slot.buffers.back().label(slot.parameter.label() + "." + name);
        }
        fresh.push_back(slot.buffers.back());
      }
    }
    for (Tensor& buffer : slot.buffers) {
      const Dtype dtype = working_dtype(slot.parameter);
      if (buffer.dtype() != dtype || !(buffer.device() == slot.parameter.device())) {
        buffer = contiguous(buffer.detach().to(dtype).to(slot.parameter.device()));
        fresh.push_back(buffer);
      }
    }
  }
  if (!fresh.empty()) {
    replays_.clear();
    eval(fresh);
  }
}

Optimizer::Moment Optimizer::moment(const Slot& slot) const {
  return {.group = slot.group, .step = slot.steps + 1, .lr = learning_rates_[slot.group]};
}

Optimizer::Literals& Optimizer::literals_for(std::size_t slot, Dtype dtype, std::vector<Literals>& made) const {
  const Slot& own = slots_[slot];
  const auto found = std::ranges::find_if(made, [&](const Literals& literals) {
    const Slot& first = slots_[literals.slot];
    return first.group == own.group && first.steps == own.steps && literals.dtype == dtype &&
           first.parameter.device() == own.parameter.device();
  });
  if (found != made.end()) {
    return *found;
  }
  const Hyperparameters numbers = hyperparameters(moment(own));
  Literals literals{.slot = slot, .dtype = dtype, .rows = {}};
  for (std::size_t row = 0; row < numbers.size(); ++row) {
    literals.rows.push_back(literal(numbers[row], dtype, own.parameter.device()));
  }
  return made.emplace_back(std::move(literals));
}

void Optimizer::rewrite(const std::vector<Literals>& made) const {
  for (const Literals& literals : made) {
    const Hyperparameters numbers = hyperparameters(moment(slots_[literals.slot]));
    for (std::size_t row = 0; row < numbers.size(); ++row) {
      write_literal(*literals.rows[row].node(), numbers[row]);
    }
  }
}

// A compiled step writes the numbers of the step to come and counts it afterwards.
void Optimizer::note_replays(std::vector<Literals> made, std::vector<std::size_t> stepped) {
  Capture& capture = *CaptureScope::active();
  if (capture.recording && std::ranges::find(capture.stepped, anchor_.get()) != capture.stepped.end()) {
    throw ArgumentError(
        "compile: an optimizer steps twice in one step, and both would count as the same; compile each by itself");
  }
  capture.stepped.push_back(anchor_.get());
  const std::weak_ptr<Anchor> anchor = anchor_;
  capture.before.emplace_back([anchor, literals = std::move(made)] {
    const auto alive = anchor.lock();
    if (alive == nullptr) {
      throw ArgumentError("compiled step: an optimizer that it uses is gone; keep it as long as the step");
    }
    alive->optimizer->rewrite(literals);
  });
  capture.after.emplace_back([anchor, stepped_slots = std::move(stepped)] {
    if (const auto alive = anchor.lock(); alive != nullptr) {
      for (const std::size_t slot : stepped_slots) {
        ++alive->optimizer->slots_[slot].steps;
      }
    }
  });
}

void Optimizer::step(std::source_location where) {
  step(grads(parameters()), where);
}

void Optimizer::step(std::vector<Tensor> gradients, std::source_location where) {
  const WhereScope scope(where);
  const NoGrad guard;
  if (!replay(gradients, where)) {
    take_updates(std::move(gradients), where);
  }
}

// Takes the step as one that was taken before, if it is.
bool Optimizer::replay(const std::vector<Tensor>& gradients, const std::source_location& where) {
  if (replays_.empty()) {
    return false;
  }
  std::shared_ptr<PendingGradients> pending = pending_gradients_of_parameters(gradients);
  if (pending == nullptr) {
    return false;
  }
  const ComingStep step(std::move(pending), gradients);
  const auto found = std::ranges::find_if(replays_, [&](const auto& replay) {
    const auto one_step = [&](std::size_t slot) {
      return slots_[slot].steps == slots_[replay->literals[replay->literals_of[slot]].slot].steps;
    };
    return replay->where.line() == where.line() && replay->where.file_name() == where.file_name() &&
           replay->step->fits(step) && std::ranges::all_of(std::views::iota(std::size_t{0}, slots_.size()), one_step);
  });
  if (found == replays_.end()) {
    return false;
  }
  if (!plan_cache().use_again((*found)->step->plan())) {
    replays_.erase(found);
    return false;
  }
  std::rotate(replays_.begin(), found, found + 1);
  const std::shared_ptr<Replay> replay = replays_.front();
  rewrite(replay->literals);
  replay->step->run(step);
  for (Slot& slot : slots_) {
    ++slot.steps;
  }
  return true;
}

// The gradients when all are pending, of what the parameters still are, and held by nobody else but the parameters.
std::shared_ptr<PendingGradients> Optimizer::pending_gradients_of_parameters(
    const std::vector<Tensor>& gradients) const {
  if (gradients.size() != slots_.size() || CaptureScope::active() != nullptr || AutocastScope::active() != nullptr) {
    return nullptr;
  }
  std::shared_ptr<PendingGradients> pending = pending_of(gradients);
  if (pending == nullptr) {
    return nullptr;
  }
  const std::vector<int>& wanted = pending->pattern()->wanted();
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    const auto& handle = gradients[i].impl();
    const auto& parameter = slots_[i].parameter;
    const long holders = parameter.impl()->grad.impl() == handle ? 2 : 1;
    if (handle.use_count() != holders ||
        parameter.node() != *pending->nodes()[static_cast<std::size_t>(wanted[handle->position])]) {
      return nullptr;
    }
  }
  return pending;
}

void Optimizer::take_updates(std::vector<Tensor> gradients, const std::source_location& where) {
  std::optional<StepReplay::Recording> recording;
  if (auto pending = pending_gradients_of_parameters(gradients); pending != nullptr) {
    if (const ComingStep step(std::move(pending), gradients); step.fit()) {
      recording.emplace(step);
    }
  }
  check_gradients(gradients);
  prepare_buffers();
  std::vector<std::pair<Tensor, Tensor>> assignments;
  std::vector<std::size_t> stepped;
  std::vector<std::size_t> literals_of;
  std::vector<Literals> literals;
  literals.reserve(slots_.size());  // references into it stay
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    if (!gradients[i].defined()) {
      continue;
    }
    const Dtype dtype = working_dtype(slot.parameter);
    Literals& own = literals_for(i, dtype, literals);
    literals_of.push_back(static_cast<std::size_t>(&own - literals.data()));
    Output output = update({.group = slot.group,
                            .parameter = slot.parameter.to(dtype),
                            .gradient = gradients[i].to(dtype),
                            .buffers = slot.buffers,
                            .hyper = own.rows});
    assignments.emplace_back(slot.parameter, output.parameter.to(slot.parameter.dtype()));
    for (std::size_t j = 0; j < slot.buffers.size(); ++j) {
      assignments.emplace_back(slot.buffers[j], std::move(output.buffers[j]));
    }
    stepped.push_back(i);
  }
  if (recording) {
    recording->note(gradients, assignments);
  }
  // The plan can reuse the memory of whatever no handle holds.
  gradients.clear();
  StepRun ran;
  assign_all(assignments, recording ? &ran : nullptr);
  if (CaptureScope::active() != nullptr) {
    note_replays(std::move(literals), std::move(stepped));
    return;
  }
  for (const std::size_t slot : stepped) {
    ++slots_[slot].steps;
  }
  if (recording) {
    if (auto step = StepReplay::of(*std::move(recording), std::move(ran)); step != nullptr) {
      replays_.insert(replays_.begin(), std::make_shared<Replay>(Replay{std::move(step), std::move(literals),
                                                                        std::move(literals_of), where}));
      std::size_t nodes = 0;
      std::size_t kept = 0;
      while (kept < std::min(replays_.size(), most_replays) &&
             (nodes += replays_[kept]->step->size()) <= most_replayed_nodes) {
        ++kept;
      }
      replays_.resize(kept);
    }
  }
}

NamedTensors Optimizer::state() const {
  NamedTensors result;
  std::vector<std::int64_t> steps;
  for (const Slot& slot : slots_) {
    steps.push_back(slot.steps);
  }
  result.emplace_back("lr", tensor(learning_rates_, {.dtype = Dtype::f64}));
  result.emplace_back("step", tensor(steps));
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    const Slot& slot = slots_[i];
    const std::vector<std::string> names = buffer_names(slot.group);
    for (std::size_t j = 0; j < names.size(); ++j) {
      result.emplace_back(names[j] + "." + std::to_string(i),
                          slot.buffers.empty() ? initial_buffer(slot) : slot.buffers[j].detach());
    }
  }
  return result;
}

void Optimizer::load_state(const NamedTensors& state) {
  const std::string mismatch = describe_mismatch(this->state(), state);
  if (!mismatch.empty()) {
    throw ArgumentError("load_state: the state does not fit the optimizer:" + mismatch);
  }
  const auto rates = find(state, "lr").to_vector<double>();
  const auto steps = find(state, "step").to_vector<std::int64_t>();
  std::vector<std::vector<Tensor>> buffers(slots_.size());
  std::vector<Tensor> all;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    for (const std::string& buffer : buffer_names(slots_[i].group)) {
      const Tensor& value = find(state, buffer + "." + std::to_string(i));
      buffers[i].push_back(contiguous(value.detach().to(slots_[i].parameter.device())));
      all.push_back(buffers[i].back());
    }
  }
  for (const double rate : rates) {
    check_not_negative("load_state", "lr", rate);
  }
  for (const std::int64_t step : steps) {
    check_not_negative("load_state", "step", static_cast<double>(step));
  }
  eval(all);
  learning_rates_ = rates;
  replays_.clear();
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    slots_[i].steps = steps[i];
    slots_[i].buffers = std::move(buffers[i]);
  }
}

}  // namespace twingrad::optim
