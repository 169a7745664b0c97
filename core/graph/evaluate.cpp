#include <twingrad/evaluate.h>
#include <twingrad/graph/capture.h>
#include <twingrad/graph/pending_gradients.h>
#include <twingrad/graph/plan.h>
#include <twingrad/graph/plan_cache.h>
#include <twingrad/graph/runtime.h>
#include <twingrad/graph/step_run.h>
#include <twingrad/ops/rows.h>

#include <algorithm>
#include <atomic>
#include <utility>

namespace twingrad {
namespace {

std::atomic<Execution> execution_mode{Execution::planned};
std::atomic<bool> fusion_enabled{true};
std::atomic<bool> capture_enabled{true};

thread_local PoolVector<Waiting> waiting;

// Whether the run is an optimizer's step, which spends the graph and may write over old values.
enum class Run : std::uint8_t { ask, step };

bool has_value(const Node& node) {
  return node.has_value();
}

}  // namespace

PoolVector<Node*> run_order(std::span<const NodePtr> targets) {
  // Targets last: an update may write over a parameter once every other reader has been.
  PoolVector<NodePtr> inputs;
  for (const NodePtr& target : targets) {
    if (!target->has_value()) {
      inputs.insert(inputs.end(), target->inputs.begin(), target->inputs.end());
    }
  }
  inputs.insert(inputs.end(), targets.begin(), targets.end());
  PoolVector<Node*> order = topological_order(inputs, has_value);
  const auto is_awaited = [](const Node* node) { return node->awaited_by != nullptr; };
  if (std::any_of(order.begin(), order.end(), is_awaited)) {
    // A run may let go of inputs, and does keep what other nodes read.
    for (const Node* node : order) {
      if (node->awaited_by != nullptr) {
        node->awaited_by->build();
      }
    }
    order = topological_order(inputs, has_value);
  }
  for (const Node* node : order) {
    if (node->spent && !node->has_value()) {
      throw ArgumentError(
          "the value of " + std::string(node->op == nullptr ? "a leaf" : node->op->name) + " made at " +
          to_string(node->where) +
          " is gone: an optimizer's step changed what it is computed from. Evaluate it before the step, "
          "or keep a handle to it until then");
    }
  }
  return order;
}

namespace {

// Where handles or other graphs still need a value, it is kept: they hold references that no edge of this graph
// explains.
Graph make_graph(std::span<const NodePtr> targets, PoolVector<Node*> nodes, Run run,
                 const std::vector<std::pair<Tensor, Tensor>>& assignments) {
  Graph graph;
  graph.mode = execution_mode;
  graph.fuse = fusion_enabled && graph.mode == Execution::planned;
  graph.nodes = std::move(nodes);
  graph.device = targets.front()->device;
  graph.keep.assign(graph.nodes.size(), 0);
  graph.donated.assign(graph.nodes.size(), 0);
  PoolVector<long> expected(graph.nodes.size(), 0);
  for (const Node* node : graph.nodes) {
    if (!node->has_value()) {
      for (const NodePtr& input : node->inputs) {
        ++expected[static_cast<std::size_t>(input->index)];
      }
    }
  }
  const auto in_graph = [&](const Node& node) {
    return static_cast<std::size_t>(node.index) < graph.nodes.size() &&
           graph.nodes[static_cast<std::size_t>(node.index)] == &node;
  };
  for (const auto& assignment : assignments) {
    const Node& old = *assignment.first.node();
    if (in_graph(old)) {
      ++expected[static_cast<std::size_t>(old.index)];
    }
  }
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = *graph.nodes[i];
    const bool referenced = node.weak_from_this().use_count() > expected[i];
    if (!node.has_value()) {
      graph.keep[i] = static_cast<char>(referenced);
    } else if (run == Run::step && graph.mode == Execution::planned && node.buffer != nullptr) {
      graph.donated[i] = static_cast<char>(!referenced && node.buffer.use_count() == 1);
    }
  }
  for (const NodePtr& target : targets) {
    graph.keep[static_cast<std::size_t>(target->index)] = static_cast<char>(!target->has_value());
  }
  return graph;
}

void run(const Graph& graph, StepRun* record) {
  if (graph.mode != Execution::planned) {
    run_plan(*make_plan(graph), graph);
    return;
  }
  const PlanCache::Found found = plan_cache().find_or_make(graph);
  if (record != nullptr) {
    ++record->plans;
    record->graph = graph;
    record->plan = found;
    for (Node* node : graph.nodes) {
      record->held.push_back(node->shared_from_this());
      if (!node->has_value()) {
        for (const NodePtr& input : node->inputs) {
          record->edges.emplace_back(node->index, input->index);
        }
      }
    }
  }
  run_plan(*found.plan, graph);
}

// Lets go of what the run used up. A step spends the graph; a mere question keeps what backward may need.
void release(const Graph& graph, Run run) {
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    if (graph.keep[i] == 0) {
      continue;  // perhaps gone already, with the last node that read it
    }
    Node& node = *graph.nodes[i];
    if (run == Run::step) {
      spend(node);
    } else if (!node.requires_grad || node.cut) {
      node.inputs.clear();
    }
  }
}

void evaluate_on_one_device(std::span<const NodePtr> targets, Run how,
                            const std::vector<std::pair<Tensor, Tensor>>& assignments, StepRun* record = nullptr) {
  PoolVector<NodePtr> wanted;
  for (const NodePtr& target : targets) {
    if (!target->has_value()) {
      wanted.push_back(target);
    }
  }
  if (wanted.empty()) {
    return;
  }
  PoolVector<Node*> nodes = run_order(wanted);
  const Graph graph = make_graph(wanted, std::move(nodes), how, assignments);
  run(graph, record);
  release(graph, how);
}

// A copy between devices is where one plan ends and another begins: its input is computed there, then it is a leaf
// here.
void transfer(Node& node) {
  const NodePtr source = node.inputs[0];
  evaluate_on_one_device(std::span(&source, 1), Run::ask, {});
  Tensor flat = Tensor(source).detach();
  if (source->buffer != nullptr && !TensorView{nullptr, source->dtype, source->shape, source->strides}.contiguous()) {
    flat = contiguous(flat);
    flat.eval();
  }
  std::vector<std::byte> host(source->bytes());
  if (!host.empty()) {
    const Node& from = *flat.node();
    if (from.buffer == nullptr) {
      std::copy_n(from.literal.begin(), host.size(), host.begin());
    } else {
      DeviceRuntime& state = runtime(from.device);
      const std::lock_guard lock(state.mutex);
      state.backend->copy_to_host(host.data(),
                                  static_cast<const std::byte*>(from.buffer->data) +
                                      static_cast<std::size_t>(from.offset) * size_of(from.dtype),
                                  host.size());
    }
  }
  const Tensor copy = leaf_from_host(host.data(), node.shape, node.dtype, node.device);
  node.buffer = copy.node()->buffer;
  node.strides = copy.node()->strides;
  node.offset = 0;
  if (!node.requires_grad || node.cut) {
    node.inputs.clear();
  }
}

void evaluate(std::span<const NodePtr> targets, Run how, const std::vector<std::pair<Tensor, Tensor>>& assignments,
              StepRun* record) {
  PoolVector<NodePtr> transfers;
  for (Node* node : topological_order(targets, has_value)) {
    if (!node->has_value() && node->op == &to_device_op) {
      transfers.push_back(node->shared_from_this());
    }
  }
  for (const NodePtr& node : transfers) {
    transfer(*node);
  }
  transfers.clear();
  // One plan a device; targets on several devices are asked for in turn.
  PoolVector<NodePtr> remaining(targets.begin(), targets.end());
  while (!remaining.empty()) {
    const Device device = remaining.front()->device;
    const auto other = std::stable_partition(remaining.begin(), remaining.end(),
                                             [&](const NodePtr& node) { return node->device == device; });
    PoolVector<NodePtr> rest(other, remaining.end());
    remaining.erase(other, remaining.end());
    evaluate_on_one_device(remaining, how, assignments, record);
    remaining = std::move(rest);
  }
}

PoolVector<NodePtr> nodes_of(const std::vector<Tensor>& tensors) {
  PoolVector<NodePtr> nodes;
  nodes.reserve(tensors.size());
  for (const Tensor& tensor : tensors) {
    nodes.push_back(tensor.node());
  }
  return nodes;
}

// Runs the targets together with what waits.
void evaluate_with_waiting(PoolVector<NodePtr> targets, Run how,
                           const std::vector<std::pair<Tensor, Tensor>>& assignments = {}, StepRun* record = nullptr) {
  const PoolVector<NodePtr> also = waiting_nodes();
  targets.insert(targets.end(), also.begin(), also.end());
  TakenWaiting taken;
  evaluate(targets, how, assignments, record);
  taken.computed();
}

}  // namespace

void eval(const std::vector<Tensor>& tensors) {
  PoolVector<NodePtr> targets = nodes_of(tensors);
  const bool ready = std::all_of(targets.begin(), targets.end(), [](const NodePtr& node) { return node->has_value(); });
  if (ready) {
    return;  // nothing runs, so nothing that waits runs along
  }
  if (const Capture* capture = CaptureScope::active(); capture != nullptr && capture->recording) {
    throw ArgumentError(
        "compile: a value is asked for (eval, item, to_vector) inside the step, where nothing is computed yet; return "
        "the "
        "tensor and look at it outside");
  }
  evaluate_with_waiting(std::move(targets), Run::ask);
}

void set_execution(Execution mode) {
  execution_mode = mode;
}
Execution execution() {
  return execution_mode;
}

void set_fusion(bool enabled) {
  fusion_enabled = enabled;
}
bool fusion() {
  return fusion_enabled;
}

void set_capture(bool enabled) {
  capture_enabled = enabled;
}
bool capture() {
  return capture_enabled;
}

PlanCacheStats plan_cache_stats() {
  return plan_cache().stats();
}
void set_plan_cache_limit(std::size_t plans) {
  plan_cache().set_limit(plans);
}
void clear_plan_cache() {
  plan_cache().clear();
}

Graph graph_of(const std::vector<Tensor>& tensors) {
  PoolVector<NodePtr> targets = nodes_of(tensors);
  std::erase_if(targets, [](const NodePtr& node) { return node->has_value(); });
  if (targets.empty()) {
    return {};
  }
  Graph graph = make_graph(targets, run_order(targets), Run::ask, {});
  graph.fuse = false;
  return graph;
}

std::string describe_plan(const std::vector<Tensor>& tensors) {
  Graph graph = graph_of(tensors);
  if (graph.nodes.empty()) {
    return "plan: nothing to run, the values are there\n";
  }
  graph.fuse = fusion_enabled && graph.mode == Execution::planned;
  const std::shared_ptr<Plan> cached = plan_cache().find(graph);
  return to_string(cached != nullptr ? *cached : *make_plan(graph), graph);
}

void spend(Node& node) {
  node.spent = node.requires_grad && !node.cut;
  node.inputs.clear();
}

PoolVector<NodePtr> waiting_nodes() {
  PoolVector<NodePtr> nodes;
  for (const Waiting& entry : waiting) {
    if (const auto handle = entry.handle.lock(); handle != nullptr) {
      nodes.push_back(handle->node);
    }
  }
  return nodes;
}

TakenWaiting::TakenWaiting() : taken_(std::exchange(waiting, {})) {}

TakenWaiting::~TakenWaiting() {
  for (Waiting& entry : taken_) {
    if (const auto handle = entry.handle.lock(); handle != nullptr && !handle->node->has_value()) {
      handle->node = std::move(entry.before);
    }
  }
}

void assign_all(const std::vector<std::pair<Tensor, Tensor>>& handles_and_values) {
  assign_all(handles_and_values, nullptr);
}

void assign_all(const std::vector<std::pair<Tensor, Tensor>>& handles_and_values, StepRun* record) {
  PoolVector<NodePtr> targets;
  for (const auto& [handle, value] : handles_and_values) {
    const NodePtr& before = handle.node();
    const NodePtr& after = value.node();
    if (!(before->shape == after->shape) || before->dtype != after->dtype || !(before->device == after->device)) {
      throw ShapeError("assign_all: a handle is " + to_string(before->shape) + " " + std::string(name(before->dtype)) +
                       " on " + before->device.name() + ", its value " + to_string(after->shape) + " " +
                       std::string(name(after->dtype)) + " on " + after->device.name());
    }
    targets.push_back(after);
  }
  if (Capture* capture = CaptureScope::active(); capture != nullptr) {
    for (std::size_t i = 0; i < targets.size(); ++i) {
      capture->assign(handles_and_values[i].first, Tensor(targets[i]));
    }
    return;
  }
  // A value that was there before stays other handles' own: this one gets a node for it, be it that of a handle that is
  // assigned to in the same call.
  std::vector<char> ready;
  for (const NodePtr& target : targets) {
    ready.push_back(static_cast<char>(target->has_value()));
  }
  evaluate_with_waiting(targets, Run::step, handles_and_values, record);
  for (std::size_t i = 0; i < targets.size(); ++i) {
    const NodePtr after = ready[i] != 0 ? leaf_with_value(*targets[i]) : targets[i];
    after->spent = false;
    after->inputs.clear();
    rebind(handles_and_values[i].first.impl(), after);
  }
}

void assign_later(const Tensor& handle, const Tensor& value) {
  if (Capture* capture = CaptureScope::active(); capture != nullptr) {
    capture->assign(handle, value);
    return;
  }
  Tensor target = handle;
  NodePtr before = target.node();
  target.assign(value);
  const auto same = [&](const Waiting& other) { return other.handle.lock() == target.impl(); };
  // Of several assignments in a row the first one's value is what to go back to.
  if (std::none_of(waiting.begin(), waiting.end(), same)) {
    waiting.push_back({target.impl(), std::move(before)});
  }
}

}  // namespace twingrad
