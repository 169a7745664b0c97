#include <twingrad/autograd.h>
#include <twingrad/graph/capture.h>
#include <twingrad/graph/node.h>
#include <twingrad/graph/pending_gradients.h>
#include <twingrad/ops.h>
#include <twingrad/precision.h>

#include <algorithm>
#include <unordered_map>
#include <utility>

namespace twingrad {
namespace {

// Reverse accumulation over the part of the graph between an output and the nodes asked for.
class Reverse {
 public:
  Reverse(const Tensor& output, const Tensor& cotangent) {
    const NodePtr root = output.node();
    order_ = topological_order(std::span(&root, 1), [](const Node& node) { return node.is_leaf(); });
    needed_.assign(order_.size(), 0);
    cotangents_.resize(order_.size());
    cotangents_.back() = cotangent;
  }

  const PoolVector<Node*>& order() const { return order_; }

  void mark(const Node& node) {
    if (contains(node)) {
      needed_[static_cast<std::size_t>(node.index)] = 1;
      wanted_[static_cast<std::size_t>(node.index)] = true;
    }
  }

  // Builds the backward nodes. The cotangent of a marked node stays; those between are let go of.
  void run() {
    const AutocastPause pause;
    for (std::size_t i = 0; i < order_.size(); ++i) {
      refuse_spent(*order_[i]);
      // Nothing flows through constant ops and whole numbers, so what is only reached through them is not needed.
      if (!order_[i]->is_leaf() && !order_[i]->op->constant && is_floating(order_[i]->dtype)) {
        for (const NodePtr& input : order_[i]->inputs) {
          needed_[i] = static_cast<char>(needed_[i] | needed_[static_cast<std::size_t>(input->index)]);
        }
      }
    }
    for (std::size_t i = order_.size(); i-- > 0;) {
      if (needed_[i] != 0 && cotangents_[i].defined() && !order_[i]->is_leaf()) {
        pass_through(*order_[i], cotangents_[i]);
      }
      if (!wanted_.contains(i)) {
        cotangents_[i] = Tensor();
      }
    }
  }

  Tensor cotangent(const Node& node) const {
    return contains(node) ? cotangents_[static_cast<std::size_t>(node.index)] : Tensor();
  }

 private:
  bool contains(const Node& node) const {
    return static_cast<std::size_t>(node.index) < order_.size() &&
           order_[static_cast<std::size_t>(node.index)] == &node;
  }

  /// What a spent node was computed from is gone, so whether gradients would flow through it cannot be told any more.
  static void refuse_spent(const Node& node) {
    if (node.spent && !node.is_leaf()) {
      throw ArgumentError("gradients through " + std::string(node.op->name) + " made at " + to_string(node.where) +
                          ": an optimizer's step has spent this graph; build the loss again, or detach() the value");
    }
  }

  void pass_through(Node& node, const Tensor& cotangent) {
    if (node.op->constant) {
      return;
    }
    const WhereScope scope(node.where);
    if (node.inputs.empty()) {
      throw ArgumentError("gradients through " + std::string(node.op->name) + " made at " + to_string(node.where) +
                          ": its inputs were let go of when it was evaluated, since none required gradients; mark the "
                          "leaves with requires_grad, or ask for the gradients first");
    }
    std::vector<Tensor> inputs;
    // Not std::vector<bool>: rules take a span.
    const auto needed = std::make_unique<bool[]>(node.inputs.size());
    bool any = false;
    for (std::size_t j = 0; j < node.inputs.size(); ++j) {
      inputs.emplace_back(node.inputs[j]);
      needed[j] = needed_[static_cast<std::size_t>(node.inputs[j]->index)] != 0;
      any = any || needed[j];
    }
    if (!any) {
      return;
    }
    if (node.op->gradient == nullptr) {
      throw ArgumentError("gradients: " + std::string(node.op->name) + " made at " + to_string(node.where) +
                          " has no gradient; use detach() to keep gradients from flowing through it");
    }
    const Tensor output(node.shared_from_this());
    std::vector<Tensor> results = node.op->gradient(
        {inputs, output, cotangent, node.attributes, std::span<const bool>(needed.get(), inputs.size())});
    results.resize(inputs.size());
    for (std::size_t j = 0; j < inputs.size(); ++j) {
      if (needed[j] && results[j].defined()) {
        accumulate(node, *node.inputs[j], results[j]);
      }
    }
  }

  void accumulate(const Node& node, const Node& input, const Tensor& gradient) {
    if (!(gradient.shape() == input.shape) || gradient.dtype() != input.dtype) {
      throw ShapeError("gradients: the rule of " + std::string(node.op->name) + " gave " + to_string(gradient.shape()) +
                       " " + std::string(name(gradient.dtype())) + " for an input of " + to_string(input.shape) + " " +
                       std::string(name(input.dtype)) + "; used at " + to_string(node.where));
    }
    Tensor& sum = cotangents_[static_cast<std::size_t>(input.index)];
    sum = sum.defined() ? add(sum, gradient) : gradient;
  }

  PoolVector<Node*> order_;
  PoolVector<char> needed_;
  std::vector<Tensor> cotangents_;
  std::unordered_map<std::size_t, bool> wanted_;
};

Tensor start_cotangent(const Tensor& output, const Tensor& given, std::string_view what,
                       const std::source_location& where) {
  const std::string at = std::string(what) + " at " + to_string(where) + ": ";
  if (!output.defined()) {
    throw ArgumentError(at + "the output is an undefined tensor");
  }
  if (!is_floating(output.dtype())) {
    throw DtypeError(at + "the output is " + std::string(name(output.dtype())) +
                     "; only floating-point tensors have gradients");
  }
  if (!given.defined()) {
    if (output.numel() != 1) {
      throw ShapeError(at + "the output has shape " + to_string(output.shape()) +
                       "; reduce it to one element (sum, mean), or give a cotangent");
    }
    return ones(output.shape(), {.dtype = output.dtype(), .device = output.device()});
  }
  if (!(given.shape() == output.shape()) || given.dtype() != output.dtype() || !(given.device() == output.device())) {
    throw ShapeError(at + "the cotangent is " + to_string(given.shape()) + " " + std::string(name(given.dtype())) +
                     " on " + given.device().name() + ", the output " + to_string(output.shape()) + " " +
                     std::string(name(output.dtype())) + " on " + output.device().name() + "; they must be the same");
  }
  return given;
}

}  // namespace

std::vector<Tensor> gradients(const Tensor& output, const std::vector<Tensor>& inputs, GradientsOptions options,
                              std::source_location where) {
  const bool usual = !options.cotangent.defined() && !options.allow_unused;
  if (usual && output.defined()) {
    if (auto pending = pending_gradients(output, inputs)) {
      return *std::move(pending);
    }
  }
  where = WhereScope::current(where);
  const Tensor cotangent = start_cotangent(output, options.cotangent, "gradients", where);
  for (const Tensor& input : inputs) {
    input.node();  // builds one that is pending itself, before this graph is numbered
  }
  Reverse reverse(output, cotangent);
  for (const Tensor& input : inputs) {
    reverse.mark(*input.node());
  }
  reverse.run();
  std::vector<Tensor> results;
  results.reserve(inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    Tensor gradient = reverse.cotangent(*inputs[i].node());
    if (!gradient.defined()) {
      const Tensor& input = inputs[i];
      if (!options.allow_unused) {
        throw ArgumentError("gradients at " + to_string(where) + ": the output does not depend on input " +
                            std::to_string(i) + (input.label().empty() ? "" : " ('" + input.label() + "')") +
                            " of shape " + to_string(input.shape()) +
                            " through differentiable ops; leave it out, or set allow_unused");
      }
      gradient = zeros(input.shape(), {.dtype = input.dtype(), .device = input.device()});
    }
    results.push_back(std::move(gradient));
  }
  if (Capture* capture = CaptureScope::active(); capture != nullptr) {
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      capture->gradients.emplace_back(inputs[i], results[i]);
    }
  }
  if (usual) {
    remember_gradients(output, inputs);
  }
  return results;
}

std::vector<Tensor> built_gradients(const NodePtr& output, std::span<const NodePtr> inputs) {
  const Tensor of(output);
  Reverse reverse(of, ones(of.shape(), {.dtype = of.dtype(), .device = of.device()}));
  for (const NodePtr& input : inputs) {
    reverse.mark(*input);
  }
  reverse.run();
  std::vector<Tensor> results;
  for (const NodePtr& input : inputs) {
    results.push_back(reverse.cotangent(*input));
  }
  return results;
}

void Tensor::backward(std::source_location where) const {
  if (defined() && pending_backward(*this)) {
    return;
  }
  where = WhereScope::current(where);
  const Tensor cotangent = start_cotangent(*this, Tensor(), "backward", where);
  Reverse reverse(*this, cotangent);
  std::vector<std::shared_ptr<detail::TensorImpl>> receivers;
  for (const Node* node : reverse.order()) {
    const auto owner = node->owner.lock();
    if (owner != nullptr && node->requires_grad && (node->is_leaf() || owner->retain_grad)) {
      receivers.push_back(owner);
      reverse.mark(*node);
    }
  }
  if (receivers.empty()) {
    throw ArgumentError("backward at " + to_string(where) +
                        ": no leaf requires gradients; mark parameters with requires_grad(true) before they are used");
  }
  bool all_new = true;
  bool renumbered = false;
  for (const auto& receiver : receivers) {
    if (receiver->grad.defined()) {
      all_new = false;
      renumbered = renumbered || receiver->grad.impl()->node == nullptr;
      receiver->grad.node();  // builds one that is pending
    }
  }
  if (renumbered) {
    backward(where);
    return;
  }
  reverse.run();
  for (const auto& receiver : receivers) {
    const Tensor gradient = reverse.cotangent(*receiver->node);
    if (gradient.defined()) {
      receiver->grad = receiver->grad.defined() ? add(receiver->grad, gradient) : gradient;
      if (Capture* capture = CaptureScope::active(); capture != nullptr) {
        capture->with_grad.emplace_back(receiver);
      }
    }
  }
  if (all_new) {
    remember_backward(*this);
  }
}

}  // namespace twingrad
