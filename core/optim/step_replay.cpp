#include <twingrad/evaluate.h>
#include <twingrad/optim/step_replay.h>

#include <algorithm>
#include <unordered_map>

namespace twingrad::optim {
namespace {

/// A node that says of `value` all but where it lies.
NodePtr without_value(const Node& value) {
  NodePtr node = make_node();
  node->op = value.op;
  node->attributes = value.attributes;
  node->shape = value.shape;
  node->dtype = value.dtype;
  node->device = value.device;
  node->where = value.where;
  node->cut = true;
  return node;
}

bool lies_alike(const Node& a, const Node& b) {
  return a.buffer == b.buffer && a.offset == b.offset && a.strides == b.strides;
}

}  // namespace

StepReplay::Recording::Recording(const PendingGradients& pending) : pattern_(pending.pattern()) {
  for (const NodePtr* place : pending.nodes()) {
    forward_.push_back(place->get());
  }
}

void StepReplay::Recording::note(const Assignments& assignments) {
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
  for (std::size_t i = 0; i < recording.handles_.size(); ++i) {
    const auto value = place.find(recording.values_[i]);
    if (value == place.end() || ran.graph.keep[value->second] == 0 || in_forward[value->second] != 0 ||
        is_target[value->second] != 0) {
      return nullptr;
    }
    // The node itself is the handle's from now on.
    is_target[value->second] = 1;
    ran.held[value->second] = without_value(*ran.held[value->second]);
    Assigned assigned{recording.handles_[i], ran.held[value->second], std::nullopt};
    if (const auto before = place.find(recording.before_[i]); before != place.end()) {
      assigned.position = before->second;
      ++explained[before->second];
      if (const Node& node = *ran.held[before->second]; in_forward[before->second] == 0) {
        replay->reads_.push_back({before->second, i, node.strides, node.offset, node.buffer->bytes});
      }
    }
    replay->assigned_.push_back(std::move(assigned));
  }
  for (std::size_t i = 0; i < recording.forward_.size(); ++i) {
    if (const auto found = place.find(recording.forward_[i]); found != place.end()) {
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
  replay->plan_ = std::move(ran.plan);
  replay->graph_ = std::move(ran.graph);
  replay->held_ = std::move(ran.held);
  return replay;
}

bool StepReplay::fits(const PendingGradients& pending) const {
  if (pending.pattern() != pattern_ || execution() != graph_.mode || fusion() != graph_.fuse) {
    return false;
  }
  for (const Forward& item : forward_) {
    const NodePtr& place = *pending.nodes()[item.index];
    const Node& node = *place;
    const long references = place.use_count() - (&place == &pending.root() ? 1 : 0);
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
  return std::all_of(reads_.begin(), reads_.end(), [&](const Read& read) {
    const NodePtr& place = assigned_[read.handle].handle.node();
    const Node& node = *place;
    const Node& value = *assigned_[read.handle].value;
    return node.buffer != nullptr && node.buffer->bytes == read.bytes && node.offset == read.offset &&
           node.strides == read.strides && node.dtype == value.dtype && node.device == value.device &&
           (place.use_count() == 1 && node.buffer.use_count() == 1) == (graph_.donated[read.position] != 0);
  });
}

void StepReplay::run(PendingGradients& pending) {
  for (const Forward& item : forward_) {
    graph_.nodes[item.position] = pending.nodes()[item.index]->get();
  }
  for (const Read& read : reads_) {
    graph_.nodes[read.position] = assigned_[read.handle].handle.node().get();
  }
  run_plan(*plan_.plan, graph_);
  take_results();
  pending.let_go();
  for (const Forward& item : forward_) {
    if (graph_.keep[item.position] != 0) {
      spend(*graph_.nodes[item.position]);
    }
  }
}

void StepReplay::take_results() {
  for (const Assigned& item : assigned_) {
    Node& value = *item.value;
    if (!item.position || !lies_alike(*graph_.nodes[*item.position], value)) {
      NodePtr fresh = without_value(value);
      fresh->buffer = value.buffer;
      fresh->offset = value.offset;
      fresh->strides = value.strides;
      rebind(item.handle.impl(), std::move(fresh));
    }
    value.buffer.reset();
  }
}

}  // namespace twingrad::optim
