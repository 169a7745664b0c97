#include <twingrad/autograd.h>
#include <twingrad/compile.h>
#include <twingrad/evaluate.h>
#include <twingrad/graph/capture.h>
#include <twingrad/graph/plan.h>
#include <twingrad/graph/runtime.h>
#include <twingrad/ops.h>
#include <twingrad/ops/rows.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <unordered_map>

namespace twingrad {
namespace {

/// Programs for inputs of different types that one step keeps.
constexpr std::size_t most_programs = 16;

using Handle = std::shared_ptr<detail::TensorImpl>;

/// An input as the programs take it: computed, in memory, without gaps.
Tensor in_memory(const Tensor& input) {
  input.eval();
  const Node& node = *input.node();
  if (node.buffer != nullptr && TensorView{nullptr, node.dtype, node.shape, node.strides}.contiguous()) {
    return input;
  }
  const NoGrad guard;
  Tensor copy = contiguous(input);
  copy.eval();
  return copy;
}

bool lies_alike(const Node& a, const Node& b) {
  return a.shape == b.shape && a.dtype == b.dtype && a.device == b.device && a.strides == b.strides &&
         a.offset == b.offset;
}

/// A new node for `handle`: what a step computed, or a copy that the step may write over.
void take_value(const Handle& handle, const Node& value, std::shared_ptr<Buffer> buffer) {
  const NodePtr node = leaf_with_value(value);
  node->buffer = std::move(buffer);
  rebind(handle, node);
}

/// Makes the handle's value nobody else's, so that it may be written over.
void make_sole(const Handle& handle) {
  const Node& node = *handle->node;
  if (handle->node.use_count() == 1 && node.buffer.use_count() == 1) {
    return;
  }
  auto copy = make_buffer(node.device, node.buffer->bytes);
  if (copy->bytes != 0) {
    DeviceRuntime& state = runtime(node.device);
    const std::lock_guard lock(state.mutex);
    state.backend->copy(copy->data, node.buffer->data, copy->bytes);
  }
  take_value(handle, node, std::move(copy));
}

}  // namespace

struct CompiledStep::Program {
  /// A tensor that the step assigns to.
  struct Assigned {
    Handle handle;
    NodePtr value;
    NodePtr leaf;  ///< stands for what the handle names when the step begins; null where the step does not read that
    /// Whether `value` has the layout of `leaf`: in the same memory it may have another, turned for one.
    bool keeps_layout = false;
  };

  std::vector<NodePtr> inputs;
  std::vector<std::size_t> positions;  ///< of the inputs' leaves in the graph, or npos when they are not read
  std::vector<Assigned> assigned;
  NodePtr result_node;
  Tensor result;
  Graph graph;
  std::vector<NodePtr> held;  ///< the graph's nodes
  std::shared_ptr<Plan> plan;
  std::vector<std::function<void()>> before;
  std::vector<std::function<void()>> after;

  bool takes(std::span<const Tensor> given) const {
    return std::equal(inputs.begin(), inputs.end(), given.begin(), given.end(),
                      [](const NodePtr& own, const Tensor& x) {
                        return own->shape == x.shape() && own->dtype == x.dtype() && own->device == x.device();
                      });
  }
  /// Whether all that it assigns to still lies in memory as it did.
  bool fits() const {
    return std::all_of(assigned.begin(), assigned.end(), [](const Assigned& item) {
      const Node& now = *item.handle->node;
      return item.leaf == nullptr || (now.buffer != nullptr && lies_alike(now, *item.leaf));
    });
  }

  /// Whether nobody else holds the last step's result.
  bool owns_result() const {
    return result.defined() && result.impl().use_count() == 1 && result.node().use_count() == 1;
  }

  void bind(std::span<const Tensor> given) {
    if (owns_result()) {
      result.node()->buffer.reset();
    }
    for (std::size_t i = 0; i < given.size(); ++i) {
      const Node& node = *given[i].node();
      inputs[i]->buffer = node.buffer;
      if (positions[i] != std::string::npos) {
        graph.shifts[positions[i]] = static_cast<std::size_t>(node.offset) * size_of(node.dtype);
      }
    }
    for (const Assigned& item : assigned) {
      if (item.leaf != nullptr) {
        make_sole(item.handle);
        item.leaf->buffer = item.handle->node->buffer;
      }
    }
  }

  /// Lets go of the memory of parameters and inputs, whether the step succeeded or not.
  void unbind() {
    for (const NodePtr& input : inputs) {
      input->buffer.reset();
    }
    for (const Assigned& item : assigned) {
      item.value->buffer.reset();
      if (item.leaf != nullptr) {
        item.leaf->buffer.reset();
      }
    }
    result_node->buffer.reset();
  }

  void take_results() {
    for (const Assigned& item : assigned) {
      if (!item.keeps_layout || item.leaf->buffer != item.value->buffer) {
        take_value(item.handle, *item.value, item.value->buffer);
      }
    }
    // The last step's tensor, when nobody holds it any more, is this one's.
    if (owns_result()) {
      result.node()->buffer = result_node->buffer;
    } else {
      result = Tensor(leaf_with_value(*result_node));
    }
  }
};

CompiledStep::CompiledStep(Function function, std::size_t inputs) : function_(std::move(function)), inputs_(inputs) {}
CompiledStep::CompiledStep(CompiledStep&&) noexcept = default;
CompiledStep& CompiledStep::operator=(CompiledStep&&) noexcept = default;
CompiledStep::~CompiledStep() = default;

std::size_t CompiledStep::recordings() const {
  return recordings_;
}

std::string CompiledStep::describe() const {
  return programs_.empty() ? "compiled step: nothing is recorded yet; call it once\n"
                           : to_string(*programs_.front()->plan, programs_.front()->graph);
}

namespace {

/// Takes back what recording has done to handles, gradients and generators: only replays do these things.
class Restore {
 public:
  explicit Restore(Capture& capture) : capture_(capture) {}
  Restore(const Restore&) = delete;
  Restore& operator=(const Restore&) = delete;
  ~Restore() {
    for (const Capture::Replaced& replaced : capture_.replaced) {
      replaced.handle->node = replaced.before;
    }
    for (const Tensor& leaf : capture_.with_grad) {
      leaf.zero_grad();
    }
    for (const Capture::Draw& draw : capture_.draws) {
      if (const auto generator = draw.generator.lock(); generator != nullptr) {
        --generator->stream;
      }
    }
  }

 private:
  Capture& capture_;
};

/// A handle that the step assigns to, what it names before and after.
struct Assignment {
  Handle handle;
  NodePtr before;
  NodePtr after;
};

struct RecordedOps {
  Tensor result;
  std::vector<Assignment> assignments;
};

/// Runs the function with placeholders for the inputs, its ops and assignments recorded.
RecordedOps record_ops(const CompiledStep::Function& function, std::span<const NodePtr> placeholders,
                       Capture& capture) {
  std::vector<Tensor> inputs;
  for (const NodePtr& placeholder : placeholders) {
    inputs.emplace_back(placeholder);
  }
  capture.recording = true;
  const Restore restore(capture);
  RecordedOps recording{.result = function(inputs), .assignments = {}};
  if (!recording.result.defined() || recording.result.evaluated()) {
    throw ArgumentError("compile: the step must return a tensor that it computes, the loss for one");
  }
  for (const Capture::Replaced& replaced : capture.replaced) {
    recording.assignments.push_back({replaced.handle, replaced.before, replaced.handle->node});
  }
  return recording;
}

std::function<void()> redraw(Capture::Draw draw) {
  return [draw = std::move(draw)] {
    const auto generator = draw.generator.lock();
    if (generator == nullptr) {
      throw ArgumentError(
          "compiled step: a generator or a module that it draws from is gone; keep it as long as the step");
    }
    const Seed seed = generator->next();
    const std::array<std::int64_t, 2> words{seed.key, seed.stream};
    for (const NodePtr& literal : draw.literals) {
      std::memcpy(literal->literal.data(), words.data(), sizeof(words));
    }
  };
}

/// Gives what is assigned to a value in memory of its own, where it is still to be computed or rides in its node. True
/// when that changed a node that the recording has used.
bool settle(const std::vector<Assignment>& assignments) {
  bool changed = false;
  for (const Assignment& assignment : assignments) {
    if (assignment.before->buffer != nullptr) {
      continue;
    }
    Tensor(assignment.before).eval();
    if (const Node& now = *assignment.before; now.buffer == nullptr) {
      const Tensor copy = leaf_from_host(now.literal.data(), now.shape, now.dtype, now.device);
      take_value(assignment.handle, *copy.node(), copy.node()->buffer);
    }
    changed = true;
  }
  return changed;
}

void require_one_device(const Graph& graph) {
  for (const Node* node : graph.nodes) {
    if (!(node->device == graph.device) || node->op == &to_device_op) {
      throw ArgumentError("compile: the step works on " + graph.device.name() + " and " + node->device.name() +
                          (node->op == nullptr ? "" : " at " + to_string(node->where)) +
                          "; move everything to one device before it");
    }
  }
}

}  // namespace

void CompiledStep::record(Program& program, std::span<const Tensor> inputs) {
  ++recordings_;
  for (const Tensor& input : inputs) {
    program.inputs.push_back(leaf_with_value(*input.node()));
    program.inputs.back()->offset = 0;
  }
  RecordedOps recording;
  Capture captured;
  {
    CaptureScope scope;
    recording = record_ops(function_, program.inputs, scope.capture());
    captured = std::move(scope.capture());
  }
  if (settle(recording.assignments)) {
    program = Program();
    --recordings_;
    record(program, inputs);
    return;
  }

  std::vector<NodePtr> targets{recording.result.node()};
  for (const Assignment& assignment : recording.assignments) {
    targets.push_back(assignment.after);
  }
  Graph& graph = program.graph;
  graph.nodes = run_order(targets);
  graph.device = recording.result.device();
  graph.fuse = fusion();
  graph.keep.assign(graph.nodes.size(), 0);
  graph.donated.assign(graph.nodes.size(), 0);
  graph.shifts.assign(graph.nodes.size(), 0);
  require_one_device(graph);
  std::unordered_map<const Node*, std::size_t> place;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    place.emplace(graph.nodes[i], i);
    program.held.push_back(graph.nodes[i]->shared_from_this());
  }
  for (const NodePtr& target : targets) {
    graph.keep[place.at(target.get())] = 1;
  }
  for (const NodePtr& input : program.inputs) {
    const auto found = place.find(input.get());
    program.positions.push_back(found == place.end() ? std::string::npos : found->second);
  }
  std::vector<std::pair<std::size_t, NodePtr>> own_leaves;
  for (const auto& [handle, before, after] : recording.assignments) {
    Program::Assigned assigned{handle, after, nullptr};
    if (const auto read = place.find(before.get()); read != place.end()) {
      assigned.leaf = leaf_with_value(*before);
      graph.donated[read->second] = 1;
      own_leaves.emplace_back(read->second, assigned.leaf);
    }
    program.assigned.push_back(std::move(assigned));
  }
  {
    DeviceRuntime& state = runtime(graph.device);
    const std::lock_guard lock(state.mutex);
    program.plan = make_plan(graph);
    program.plan->resident = true;
  }
  // Every run leaves a result where the plan says, so layouts are compared once.
  for (const Plan::Kept& kept : program.plan->kept) {
    Node& node = *graph.nodes[static_cast<std::size_t>(kept.node)];
    node.offset = kept.window.offset;
    node.strides = kept.window.strides;
  }
  for (Program::Assigned& assigned : program.assigned) {
    assigned.keeps_layout = assigned.leaf != nullptr && lies_alike(*assigned.leaf, *assigned.value);
  }
  // The program's own leaves stand in for the handles' nodes, which come and go.
  for (const auto& [position, leaf] : own_leaves) {
    graph.nodes[position] = leaf.get();
    program.held[position] = leaf;
  }
  for (const NodePtr& node : program.held) {
    if (!node->has_value()) {
      node->inputs.clear();
      node->spent = true;
    }
  }
  program.result_node = recording.result.node();
  for (const Capture::Draw& draw : captured.draws) {
    program.before.push_back(redraw(draw));
  }
  std::move(captured.before.begin(), captured.before.end(), std::back_inserter(program.before));
  program.after = std::move(captured.after);
}

CompiledStep::Program& CompiledStep::program_for(std::span<const Tensor> inputs) {
  const auto found =
      std::find_if(programs_.begin(), programs_.end(), [&](const auto& program) { return program->takes(inputs); });
  if (found != programs_.end()) {
    std::rotate(programs_.begin(), found, found + 1);
    if (programs_.front()->fits()) {
      return *programs_.front();
    }
    programs_.erase(programs_.begin());
  }
  auto program = std::make_unique<Program>();
  record(*program, inputs);
  programs_.insert(programs_.begin(), std::move(program));
  if (programs_.size() > most_programs) {
    programs_.pop_back();
  }
  return *programs_.front();
}

Tensor CompiledStep::run(std::span<const Tensor> inputs) {
  if (inputs.size() != inputs_) {
    throw ArgumentError("compiled step: it takes " + std::to_string(inputs_) + " inputs, not " +
                        std::to_string(inputs.size()));
  }
  if (CaptureScope::active() != nullptr) {
    return function_(inputs);  // inside another recording it is part of that one
  }
  std::vector<Tensor> copies;
  const bool ready = std::all_of(inputs.begin(), inputs.end(), [](const Tensor& input) {
    return input.defined() && input.node()->buffer != nullptr &&
           TensorView{nullptr, input.dtype(), input.shape(), input.node()->strides}.contiguous();
  });
  if (!ready) {
    for (const Tensor& input : inputs) {
      if (!input.defined()) {
        throw ArgumentError("compiled step: an input is an undefined tensor; give it a value first");
      }
    }
    eval({inputs.begin(), inputs.end()});  // in one run: the parts of a batch share what picks their rows
    for (const Tensor& input : inputs) {
      copies.push_back(in_memory(input));
    }
    inputs = copies;
  }
  Program& program = program_for(inputs);
  struct Unbind {
    Program& program;
    ~Unbind() { program.unbind(); }
  } const unbind{program};
  for (const std::function<void()>& write : program.before) {
    write();
  }
  program.bind(inputs);
  run_plan(*program.plan, program.graph);
  program.take_results();
  for (const std::function<void()>& count : program.after) {
    count();
  }
  return program.result;
}

}  // namespace twingrad
