#include <twingrad/check/reference_pieces.h>
#include <twingrad/check/subject.h>
#include <twingrad/graph/capture.h>
#include <twingrad/graph/runtime.h>
#include <twingrad/ops.h>
#include <twingrad/ops/rows.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <span>

namespace twingrad::check {
namespace {

void mark_forward(Subject& subject, const Tensor& loss) {
  // Positions are noted first: walking the loss's graph renumbers the nodes.
  const auto nodes = subject.graph.nodes;
  const NodePtr root = loss.node();
  const auto forward = topological_order(std::span(&root, 1), [](const Node& n) { return n.has_value(); });
  subject.forward.assign(nodes.size(), 0);
  std::vector<const Node*> sorted(forward.begin(), forward.end());
  std::sort(sorted.begin(), sorted.end());
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    subject.forward[i] = static_cast<char>(std::binary_search(sorted.begin(), sorted.end(), nodes[i]));
    nodes[i]->index = static_cast<int>(i);
  }
}

void finish(Subject& subject, const std::vector<std::pair<std::string, Tensor>>& results) {
  std::vector<Tensor> targets;
  for (const auto& [name, tensor] : results) {
    if (!(tensor.device() == subject.device)) {
      throw ArgumentError("check: '" + name + "' is on " + tensor.device().name() + ", not on " +
                          subject.device.name() + "; build everything on the device that is given");
    }
    if (!tensor.evaluated()) {
      targets.push_back(tensor);
    }
    subject.held.push_back(tensor);
  }
  subject.graph = graph_of(targets);
  if (subject.graph.nodes.empty()) {
    throw ArgumentError("check: nothing is left to compute; return tensors that were not evaluated yet");
  }
  for (Node* node : subject.graph.nodes) {
    if (node->op == &to_device_op && !node->has_value()) {
      throw ArgumentError("check: the graph copies between devices at " + to_string(node->where) +
                          "; put the data on the device and evaluate it first");
    }
    subject.leaf.push_back(static_cast<char>(node->has_value()));
  }
  for (const auto& [name, tensor] : results) {
    const Node& node = *tensor.node();
    const auto position = static_cast<std::size_t>(node.index);
    if (position < subject.graph.nodes.size() && subject.graph.nodes[position] == &node && is_floating(node.dtype)) {
      subject.results.emplace_back(name, node.index);
    }
  }
}

void require_results(const Subject& subject) {
  if (subject.results.empty()) {
    throw ArgumentError("check: no result is floating-point; there is nothing to check");
  }
}

constexpr double move_nanoseconds = 0.5;  ///< of one element from one array to another

Tensor leaf_of(const Array<double>& array, Device device, std::vector<std::byte>& scratch) {
  const Dtype dtype = array.type.dtype;
  if (!array.integers.empty()) {
    return tensor(array.integers, array.type.shape, {.dtype = dtype, .device = device});
  }
  Tensor result;
  visit(dtype, [&]<class T>(Type<T>) {
    scratch.resize(array.data.size() * sizeof(T));
    for_each_range(array.size(), move_nanoseconds, [&](std::int64_t begin, std::int64_t end) {
      const double* from = array.data.data();
      std::byte* to = scratch.data();
      for (std::int64_t i = begin; i < end; ++i) {
        const T element = static_cast<T>(static_cast<compute_t<T>>(from[i]));
        std::memcpy(to + static_cast<std::size_t>(i) * sizeof(T), &element, sizeof(T));
      }
    });
    result = leaf_from_host(scratch.data(), array.type.shape, dtype, device);
  });
  return result;
}

std::string name_of(const Tensor& handle, std::size_t number) {
  return handle.label().empty() ? "tensor " + std::to_string(number) : handle.label();
}

/// Offsets of a window's elements: what to add to make them begin at 0, and how many there are from first to last.
struct Reach {
  Reach(const Shape& shape, const Strides& strides) {
    for (int axis = 0; axis < shape.size(); ++axis) {
      const std::int64_t far = (shape[axis] - 1) * strides[axis];
      first += far < 0 ? -far : 0;
      elements += far < 0 ? -far : far;
    }
  }
  std::int64_t first = 0;
  std::int64_t elements = 1;
};

/// A leaf that lies in memory with these strides.
Tensor leaf_of(const Array<double>& array, const Strides& strides, Device device, std::vector<std::byte>& scratch) {
  const Shape& shape = array.type.shape;
  if (array.size() == 0 || TensorView{nullptr, array.type.dtype, shape, strides}.contiguous()) {
    return leaf_of(array, device, scratch);
  }
  const Reach reach(shape, strides);
  const auto elements = static_cast<std::size_t>(reach.elements);
  Array<double> memory{{{reach.elements}, array.type.dtype}, {}, {}};
  memory.data.assign(elements, is_floating(array.type.dtype) ? std::numeric_limits<double>::quiet_NaN() : 0);
  memory.integers.assign(array.integers.empty() ? 0 : elements, 0);
  const Strides own = contiguous_strides(shape);
  for (std::int64_t i = 0; i < array.size(); ++i) {
    std::int64_t place = reach.first;
    for (int axis = 0; axis < shape.size(); ++axis) {
      place += i / own[axis] % shape[axis] * strides[axis];
    }
    memory.data[static_cast<std::size_t>(place)] = array.data[static_cast<std::size_t>(i)];
    if (!array.integers.empty()) {
      memory.integers[static_cast<std::size_t>(place)] = array.integers[static_cast<std::size_t>(i)];
    }
  }
  const NodePtr window = leaf_with_value(*leaf_of(memory, device, scratch).node());
  window->shape = shape;
  window->strides = strides;
  window->offset = reach.first;
  return Tensor(window);
}

}  // namespace

Subject take_step(const std::function<Tensor(Device)>& train_step, Device device) {
  Subject subject;
  subject.device = device;
  std::vector<std::pair<std::string, Tensor>> results;
  Tensor loss;
  {
    const CaptureScope scope;
    loss = train_step(device);
    if (!loss.defined() || loss.numel() != 1 || !is_floating(loss.dtype())) {
      throw ArgumentError("check: the step must return its loss, one floating-point element that was not evaluated");
    }
    results.emplace_back("loss", loss);
    const Capture& capture = scope.capture();
    for (std::size_t i = 0; i < capture.gradients.size(); ++i) {
      results.emplace_back("gradient of " + name_of(capture.gradients[i].first, i), capture.gradients[i].second);
    }
    for (std::size_t i = 0; i < capture.assignments.size(); ++i) {
      results.emplace_back("updated " + name_of(capture.assignments[i].first, i), capture.assignments[i].second);
    }
  }
  finish(subject, results);
  require_results(subject);
  mark_forward(subject, loss);
  return subject;
}

Subject take_graph(const std::function<std::vector<Tensor>(Device)>& build, Device device) {
  Subject subject;
  subject.device = device;
  std::vector<std::pair<std::string, Tensor>> results;
  for (const Tensor& tensor : build(device)) {
    results.emplace_back(name_of(tensor, results.size()), tensor);
  }
  finish(subject, results);
  require_results(subject);
  subject.forward.assign(subject.graph.nodes.size(), 1);
  return subject;
}

Subject take_nodes(const std::vector<Tensor>& tensors, Device device) {
  Subject subject;
  subject.device = device;
  std::vector<std::pair<std::string, Tensor>> results;
  for (const Tensor& tensor : tensors) {
    results.emplace_back(name_of(tensor, results.size()), tensor);
  }
  finish(subject, results);
  subject.forward.assign(subject.graph.nodes.size(), 1);
  return subject;
}

Array<double> read(const Tensor& tensor, HostValues& through) {
  through.take(tensor);
  Array<double> result{tensor.node()->type(), {}, {}};
  result.data.resize(static_cast<std::size_t>(tensor.numel()));
  for_each_range(tensor.numel(), move_nanoseconds, [&](std::int64_t begin, std::int64_t end) {
    through.read(begin, end - begin, result.data.data() + begin);
  });
  if (tensor.dtype() == Dtype::i64) {
    result.integers = tensor.to_vector<std::int64_t>();
  }
  return result;
}
Array<double> read(const Tensor& tensor) {
  HostValues values;
  return read(tensor, values);
}

std::vector<double> run_alone(const Op& op, const Attributes& attributes, const std::vector<Array<double>>& inputs,
                              const TensorType& type, Device device, const std::source_location& where,
                              const std::vector<Strides>& strides) {
  std::vector<Tensor> leaves;
  std::vector<std::byte> scratch;
  for (std::size_t j = 0; j < inputs.size(); ++j) {
    leaves.push_back(strides.empty() ? leaf_of(inputs[j], device, scratch)
                                     : leaf_of(inputs[j], strides[j], device, scratch));
  }
  return apply_typed(op, leaves, attributes, type, device, where).to_vector<double>();
}

PlacedNode place_alone(const Subject& subject, std::size_t node, const std::vector<Array<double>>& values,
                       std::vector<std::byte>& scratch) {
  // Leaves are made once, so that a node with the same input twice has it twice here too.
  std::map<std::size_t, Tensor> made;
  const std::function<Tensor(std::size_t)> input = [&](std::size_t i) -> Tensor {
    const auto found = made.find(i);
    if (found != made.end()) {
      return found->second;
    }
    const Node& shown = *subject.graph.nodes[i];
    const bool is_view = subject.leaf[i] == 0 && shown.op->family == Family::view;
    const Tensor tensor = is_view ? apply_typed(*shown.op, {input(static_cast<std::size_t>(shown.inputs[0]->index))},
                                                shown.attributes, shown.type(), subject.device, shown.where)
                                  : leaf_of(values[i], subject.device, scratch);
    return made.emplace(i, tensor).first->second;
  };
  const Node& used = *subject.graph.nodes[node];
  std::vector<Tensor> inputs;
  for (const NodePtr& from : used.inputs) {
    inputs.push_back(input(static_cast<std::size_t>(from->index)));
  }
  PlacedNode placed{
      apply_typed(*used.op, inputs, used.attributes, used.type(), subject.device, used.where), ErrorModel{}, {}};
  // The walk below numbers new nodes only: those of the subject are not among them.
  const std::shared_ptr<Plan> plan = make_plan(graph_of({placed.output}));
  for (const Plan::Step& step : plan->steps) {
    if (step.call.op == used.op) {
      placed.model = backend(subject.device).error_model(step.call);
      placed.strides.clear();
      for (std::size_t j = 0; j < used.inputs.size(); ++j) {
        // The kernel sees a broadcast operand with the output's axes; those in front are not its own.
        const Strides& seen = step.call.inputs[j].strides;
        const auto own = static_cast<std::size_t>(used.inputs[j]->shape.size());
        placed.strides.emplace_back(std::span(seen.begin(), seen.end()).last(own));
      }
    }
  }
  return placed;
}

ErrorModel model_of(const Op& op, const Attributes& attributes, const std::vector<Array<double>>& inputs,
                    const TensorType& type, Device device, const std::vector<Strides>& strides) {
  KernelCall call{&op, attributes, {}, {nullptr, type.dtype, type.shape, contiguous_strides(type.shape)}, {}};
  for (std::size_t j = 0; j < inputs.size(); ++j) {
    const auto& [shape, dtype] = inputs[j].type;
    call.inputs.push_back({nullptr, dtype, shape, strides.empty() ? contiguous_strides(shape) : strides[j]});
  }
  return backend(device).error_model(call);
}

Array<Tracked> expect(const Op& op, const Attributes& attributes, const std::vector<Array<double>>& inputs,
                      const TensorType& type, const ErrorModel& model) {
  std::vector<const Array<double>*> pointers;
  for (const Array<double>& input : inputs) {
    pointers.push_back(&input);
  }
  return listed(Expectation(op, attributes, pointers, type, model), type);
}

void HostValues::take(const Tensor& tensor) {
  tensor.eval();
  const Node& node = *tensor.node();
  const TensorView view{nullptr, node.dtype, node.shape, node.strides};
  if (node.buffer == nullptr || !view.contiguous()) {
    wide_ = tensor.to_vector<double>();
    return;
  }
  wide_.clear();
  dtype_ = node.dtype;
  bytes_.resize(node.bytes());
  if (!bytes_.empty()) {
    DeviceRuntime& state = runtime(node.device);
    const std::lock_guard lock(state.mutex);
    const std::size_t offset = static_cast<std::size_t>(node.offset) * size_of(node.dtype);
    state.backend->copy_to_host(bytes_.data(), static_cast<const std::byte*>(node.buffer->data) + offset,
                                bytes_.size());
  }
}

void HostValues::read(std::int64_t begin, std::int64_t count, double* to) const {
  if (!wide_.empty()) {
    std::copy_n(wide_.begin() + begin, count, to);
    return;
  }
  widen(bytes_.data() + static_cast<std::size_t>(begin) * size_of(dtype_), static_cast<std::size_t>(count), dtype_, to);
}

void widen(const std::byte* from, std::size_t count, Dtype dtype, double* to) {
  visit(dtype, [&]<class T>(Type<T>) {
    for (std::size_t i = 0; i < count; ++i) {
      T element;
      std::memcpy(&element, from + i * sizeof(T), sizeof(T));
      to[i] = static_cast<double>(static_cast<compute_t<T>>(element));
    }
  });
}

double round_to(double x, Dtype dtype) {
  return visit(dtype, [x]<class T>(Type<T>) { return round_as<T>(x); });
}

std::string describe(const TensorType& type) {
  return to_string(type.shape) + " " + std::string(name(type.dtype));
}

}  // namespace twingrad::check
