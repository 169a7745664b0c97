#include <twingrad/check/subject.h>
#include <twingrad/graph/capture.h>
#include <twingrad/graph/runtime.h>
#include <twingrad/ops.h>
#include <twingrad/ops/rows.h>

#include <algorithm>

namespace twingrad::check {
namespace {

void mark_forward(Subject& subject, const Tensor& loss) {
  // Positions are noted first: walking the loss's graph renumbers the nodes.
  std::vector<Node*> nodes = subject.graph.nodes;
  const NodePtr root = loss.node();
  const std::vector<Node*> forward =
      topological_order(std::span(&root, 1), [](const Node& n) { return n.has_value(); });
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
  if (subject.results.empty()) {
    throw ArgumentError("check: no result is floating-point; there is nothing to check");
  }
}

std::string name_of(const Tensor& handle, std::size_t number) {
  return handle.label().empty() ? "tensor " + std::to_string(number) : handle.label();
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
  subject.forward.assign(subject.graph.nodes.size(), 1);
  return subject;
}

Array<double> read(const Tensor& tensor) {
  Array<double> result{tensor.node()->type(), tensor.to_vector<double>(), {}};
  if (tensor.dtype() == Dtype::i64) {
    result.integers = tensor.to_vector<std::int64_t>();
  }
  return result;
}

std::vector<double> run_alone(const Op& op, const Attributes& attributes, const std::vector<Array<double>>& inputs,
                              const TensorType& type, Device device, const std::source_location& where) {
  std::vector<Tensor> leaves;
  for (const Array<double>& input : inputs) {
    const TensorOptions options{.dtype = input.type.dtype, .device = device};
    leaves.push_back(input.integers.empty() ? tensor(input.data, input.type.shape, options)
                                            : tensor(input.integers, input.type.shape, options));
  }
  return apply_typed(op, leaves, attributes, type, device, where).to_vector<double>();
}

ErrorModel model_of(const Op& op, const Attributes& attributes, const std::vector<Array<double>>& inputs,
                    const TensorType& type, Device device) {
  KernelCall call{&op, attributes, {}, {nullptr, type.dtype, type.shape, contiguous_strides(type.shape)}, {}};
  for (const Array<double>& input : inputs) {
    call.inputs.push_back({nullptr, input.type.dtype, input.type.shape, contiguous_strides(input.type.shape)});
  }
  return backend(device).error_model(call);
}

Array<Tracked> expect(const Op& op, const Attributes& attributes, const std::vector<Array<double>>& inputs,
                      const TensorType& type, const ErrorModel& model) {
  if (op.family == Family::custom) {
    // A custom op has no formula here; its bound is what one rounding of its own float64 result allows.
    const Array<double> exact = reference<double>(op, attributes, inputs, type, model);
    Array<Tracked> result = convert<Tracked>(exact);
    const RoundingScope scope(significant_bits(type.dtype), model);
    for (Tracked& element : result.data) {
      element = Tracked::unary(element, element.value, 1, op.ulps);
    }
    return result;
  }
  std::vector<Array<Tracked>> tracked;
  for (const Array<double>& input : inputs) {
    tracked.push_back(convert<Tracked>(input));
  }
  return reference<Tracked>(op, attributes, tracked, type, model);
}

double round_to(double x, Dtype dtype) {
  return visit(dtype, [x]<class T>(Type<T>) -> double {
    if constexpr (std::is_floating_point_v<compute_t<T>>) {
      return static_cast<double>(static_cast<compute_t<T>>(static_cast<T>(static_cast<compute_t<T>>(x))));
    } else {
      return x;
    }
  });
}

std::string describe(const TensorType& type) {
  return to_string(type.shape) + " " + std::string(name(type.dtype));
}

}  // namespace twingrad::check
