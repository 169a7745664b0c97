#include <twingrad/evaluate.h>
#include <twingrad/optim/step_replay.h>

#include <algorithm>
#include <span>
#include <unordered_map>

namespace twingrad::optim {
namespace {

/// A node like `value`, but without its inputs.
NodePtr with_value(const Node& value) {
  NodePtr node = leaf_with_value(value);
  node->op = value.op;
  node->attributes = value.attributes;
  node->requires_grad = value.requires_grad;
  node->cut = value.cut;
  return node;
}

bool lies_alike(const Node& a, const Node& b) {
  return a.buffer == b.buffer && a.offset == b.offset && a.strides == b.strides;
}

}  // namespace

ComingStep::ComingStep(std::shared_ptr<PendingGradients> pending, const std::vector<Tensor>& gradients)
    : pending_(std::move(pending)), gradients_(gradients), waiting_(waiting_nodes()) {
  if (waiting_.empty()) {
    return;
  }
  std::optional<NodePlaces> places = places_with(*pending_, waiting_);
  fit_ = places.has_value();
  if (fit_) {
    with_waiting_ = *std::move(places);
  }
}

StepReplay::Recording::Recording(const ComingStep& step)
    : pattern_(step.pending().pattern()), transforms_(step.pending().transforms()) {
  if (step.something_waits()) {
    waiting_.emplace(step.nodes(), std::span<const Tensor>());
  }
  for (const Tensor& gradient : step.gradients()) {
    gradients_.push_back({gradient.impl()->position, gradient.impl().use_count() > 1, nullptr});
  }
  for (const NodePtr* place : step.nodes()) {
    forward_.push_back(place->get());
    addresses_.emplace_back(*place);
  }
}

void StepReplay::Recording::note(const std::vector<Tensor>& gradients, const Assignments& assignments) {
  for (const Tensor& gradient : gradients) {
    gradient_nodes_.push_back(gradient.node().get());
  }
  for (const auto& [handle, value] : assignments) {
    handles_.push_back(handle);
    before_.push_back(handle.node().get());
    values_.push_back(value.node().get());
  }
}

std::shared_ptr<StepReplay> StepReplay::of(Recording recording, StepRun ran) {
  if (ran.plans != 1) {
    return nullptr;
  }
  const auto replay = std::make_shared<StepReplay>();
  std::unordered_map<const Node*, std::size_t> place;
  for (std::size_t i = 0; i < ran.held.size(); ++i) {
    place.emplace(ran.held[i].get(), i);
  }
  std::vector<long> explained(ran.held.size(), 0);
  std::vector<char> in_forward(ran.held.size(), 0);
  std::vector<char> is_target(ran.held.size(), 0);
  for (const Node* node : recording.forward_) {
    if (const auto found = place.find(node); found != place.end()) {
      in_forward[found->second] = 1;
    }
  }
  for (const auto& [user, input] : ran.edges) {
    explained[static_cast<std::size_t>(input)] += in_forward[static_cast<std::size_t>(user)];
  }
  // What the step computes for somebody else: the node is theirs from now on, and the replay's gets one of its own.
  const auto own_target = [&](const Node* node) -> NodePtr {
    const auto found = place.find(node);
    if (found == place.end()) {
      return nullptr;
    }
    const std::size_t position = found->second;
    if (ran.graph.keep[position] == 0 || in_forward[position] != 0 || is_target[position] != 0) {
      return nullptr;
    }
    is_target[position] = 1;
    ran.held[position] = with_value(*node);
    ran.held[position]->buffer.reset();
    return ran.held[position];
  };
  for (std::size_t i = 0; i < recording.handles_.size(); ++i) {
    Assigned assigned{recording.handles_[i], own_target(recording.values_[i]), std::nullopt};
    if (assigned.value == nullptr) {
      return nullptr;
    }
    if (const auto before = place.find(recording.before_[i]); before != place.end()) {
      assigned.position = before->second;
      ++explained[before->second];
      if (const Node& node = *ran.held[before->second]; in_forward[before->second] == 0) {
        replay->reads_.push_back({before->second, i, node.strides, node.offset, node.buffer->bytes});
      }
    }
    replay->assigned_.push_back(std::move(assigned));
  }
  for (std::size_t i = 0; i < recording.gradients_.size(); ++i) {
    Held& gradient = recording.gradients_[i];
    if (gradient.kept && (gradient.value = own_target(recording.gradient_nodes_[i])) == nullptr) {
      return nullptr;
    }
  }
  replay->runs_.assign(recording.forward_.size(), 0);
  for (std::size_t i = 0; i < recording.forward_.size(); ++i) {
    if (const auto found = place.find(recording.forward_[i]); found != place.end()) {
      replay->runs_[i] = 1;
      replay->forward_.push_back({found->second, i, explained[found->second]});
      ran.held[found->second] = nullptr;
    }
  }
  for (const Read& read : replay->reads_) {
    ran.held[read.position] = nullptr;
  }
  for (std::size_t i = 0; i < ran.held.size(); ++i) {
    NodePtr& node = ran.held[i];
    ran.graph.nodes[i] = node.get();
    if (node == nullptr || is_target[i] != 0) {
      continue;
    }
    // Data of unknown origin, or what somebody else holds.
    if (node->literal_bytes == 0 && (node->op == nullptr || ran.graph.keep[i] != 0 || node->has_value())) {
      return nullptr;
    }
    node->inputs.clear();
  }
  replay->pattern_ = std::move(recording.pattern_);
  replay->waiting_ = std::move(recording.waiting_);
  replay->transforms_ = std::move(recording.transforms_);
  replay->gradients_ = std::move(recording.gradients_);
  replay->plan_ = std::move(ran.plan);
  replay->graph_ = std::move(ran.graph);
  replay->held_ = std::move(ran.held);
  return replay;
}

bool StepReplay::fits(const ComingStep& step) const {
  const auto is_same = [](const Held& before, const Tensor& now) {
    return before.position == now.impl()->position && before.kept == (now.impl().use_count() > 1);
  };
  return step.fit() && step.pending().pattern() == pattern_ && execution() == graph_.mode && fusion() == graph_.fuse &&
         step.something_waits() == waiting_.has_value() && (!waiting_ || waiting_->fits(step.nodes(), {})) &&
         std::ranges::equal(transforms_, step.pending().transforms()) &&
         std::ranges::equal(gradients_, step.gradients(), is_same) && fits_forward(step) && fits_buffers();
}

// What refers to each node and would be gone if the gradients had been built: nodes that the step does not run, the
// end of the loss above all, where nobody holds them.
PoolVector<long> StepReplay::references_of_idle_nodes(const ComingStep& step) const {
  const NodePlaces& nodes = step.pending().nodes();
  PoolVector<long> references(nodes.size(), 0);
  for (std::size_t i = nodes.size(); i-- > 0;) {
    const NodePtr& place = *nodes[i];
    const bool is_root = &place == &step.pending().root();
    if (runs_[i] == 0 && place.use_count() == references[i] + (is_root ? 1 : 0)) {
      for (const int input : pattern_->inputs_of(i)) {
        ++references[static_cast<std::size_t>(input)];
      }
    }
  }
  return references;
}

bool StepReplay::fits_forward(const ComingStep& step) const {
  const bool has_idle = step.pending().root().use_count() == 1;
  const PoolVector<long> idle = has_idle ? references_of_idle_nodes(step) : PoolVector<long>();
  for (const Forward& item : forward_) {
    const NodePtr& place = *step.nodes()[item.index];
    const Node& node = *place;
    const long unbuilt = (&place == &step.pending().root() ? 1 : 0) + (item.index < idle.size() ? idle[item.index] : 0);
    const long references = place.use_count() - unbuilt;
    const bool referenced = references > item.explained;
    if (!node.has_value()) {
      if (referenced != (graph_.keep[item.position] != 0)) {
        return false;
      }
    } else if (node.buffer != nullptr) {
      if ((!referenced && node.buffer.use_count() == 1) != (graph_.donated[item.position] != 0)) {
        return false;
      }
    }
  }
  return true;
}

bool StepReplay::fits_buffers() const {
  return std::all_of(reads_.begin(), reads_.end(), [&](const Read& read) {
    const NodePtr& place = assigned_[read.handle].handle.node();
    const Node& node = *place;
    const Node& value = *assigned_[read.handle].value;
    return node.buffer != nullptr && node.buffer->bytes == read.bytes && node.offset == read.offset &&
           node.strides == read.strides && node.dtype == value.dtype && node.device == value.device &&
           (place.use_count() == 1 && node.buffer.use_count() == 1) == (graph_.donated[read.position] != 0);
  });
}

void StepReplay::run(const ComingStep& step) {
  for (const Forward& item : forward_) {
    graph_.nodes[item.position] = step.nodes()[item.index]->get();
  }
  for (const Read& read : reads_) {
    graph_.nodes[read.position] = assigned_[read.handle].handle.node().get();
  }
  TakenWaiting waiting;
  run_plan(*plan_.plan, graph_);
  waiting.computed();
  step.pending().let_go();
  take_results(step.gradients());
  for (const Forward& item : forward_) {
    if (graph_.keep[item.position] != 0) {
      spend(*graph_.nodes[item.position]);
    }
  }
}

void StepReplay::take_results(const std::vector<Tensor>& gradients) {
  for (const Assigned& item : assigned_) {
    Node& value = *item.value;
    if (!item.position || !lies_alike(*graph_.nodes[*item.position], value)) {
      rebind(item.handle.impl(), with_value(value));
    }
    value.buffer.reset();
  }
  for (std::size_t i = 0; i < gradients_.size(); ++i) {
    if (gradients_[i].kept) {
      const auto& handle = gradients[i].impl();
      handle->node = with_value(*gradients_[i].value);
      handle->node->owner = handle;
      handle->node->spent = handle->node->requires_grad && !handle->node->cut;
      handle->pending.reset();
      gradients_[i].value->buffer.reset();
    }
  }
}

}  // namespace twingrad::optim
