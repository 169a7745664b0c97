#include <twingrad/autograd.h>
#include <twingrad/dot.h>
#include <twingrad/evaluate.h>
#include <twingrad/graph/node.h>

#include <algorithm>
#include <cstdio>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace twingrad {
namespace {

constexpr std::size_t shown_elements = 4;

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.5g", value);
  return text;
}

// The first elements of a computed tensor.
std::string elements(const Tensor& tensor) {
  const std::vector<double> values = tensor.to_vector<double>();
  std::string text;
  for (std::size_t i = 0; i < std::min(values.size(), shown_elements); ++i) {
    text += (i == 0 ? "" : ", ") + number(values[i]);
  }
  return values.size() > shown_elements ? text + ", ..." : text;
}

// Quotes, and what record labels give a meaning to, are escaped.
std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (std::string_view("\"\\{}|<>").find(c) != std::string_view::npos) {
      result += '\\';
    }
    result += c;
  }
  return result;
}

class Drawing {
 public:
  explicit Drawing(const DotOptions& options) : options_(options) {}

  std::string draw(const Tensor& output) {
    const NodePtr root = output.node();
    add(root, forward_);
    if (options_.gradients) {
      differentiate(output);
    }
    if (options_.backward) {
      for (const NodePtr& node : forward_) {
        if (const auto found = gradients_.find(node.get()); found != gradients_.end()) {
          add(found->second.node(), backward_);
        }
      }
    }
    // Edges are read now: computing values may let go of them.
    for (const Node* node : all()) {
      std::vector<const Node*> inputs;
      for (const NodePtr& input : node->inputs) {
        inputs.push_back(input.get());
      }
      edges_[node] = std::move(inputs);
    }
    compute();
    return text();
  }

 private:
  void add(const NodePtr& root, std::vector<NodePtr>& into) {
    for (Node* node : topological_order(std::span(&root, 1), [](const Node&) { return false; })) {
      if (known_.insert(node).second) {
        into.push_back(node->shared_from_this());
      }
    }
  }

  std::vector<const Node*> all() const {
    std::vector<const Node*> nodes;
    for (const NodePtr& node : forward_) {
      nodes.push_back(node.get());
    }
    for (const NodePtr& node : backward_) {
      nodes.push_back(node.get());
    }
    return nodes;
  }

  void differentiate(const Tensor& output) {
    std::vector<Tensor> inputs;
    for (const NodePtr& node : forward_) {
      // Numbers in formulas get no gradient shown.
      if (is_floating(node->dtype) && (node->literal_bytes == 0 || node->requires_grad)) {
        inputs.emplace_back(node);
      }
    }
    // Nodes the gradient does not reach show zeros.
    std::vector<Tensor> results = gradients(output, inputs, {.allow_unused = true});
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      gradients_.emplace(inputs[i].node().get(), results[i]);
    }
  }

  void compute() {
    std::vector<Tensor> wanted;
    if (options_.values) {
      for (const NodePtr& node : forward_) {
        wanted.emplace_back(node);
      }
      for (const NodePtr& node : backward_) {
        wanted.emplace_back(node);
      }
    }
    for (const auto& [node, gradient] : gradients_) {
      wanted.push_back(gradient);
    }
    if (!wanted.empty()) {
      eval(wanted);
    }
  }

  std::string label(const NodePtr& node, bool is_backward) const {
    std::string text = node->label.empty() ? "" : node->label + ": ";
    text += node->op == nullptr ? (node->literal_bytes != 0 ? "number" : "leaf") : std::string(node->op->name);
    text += "|" + to_string(node->shape) + " " + std::string(name(node->dtype)) + " " + node->device.name();
    if (node->op != nullptr) {
      text += "|" + to_string(node->where);
    }
    if (options_.values && node->has_value()) {
      text += "|value " + elements(Tensor(node));
    }
    if (const auto found = gradients_.find(node.get()); !is_backward && found != gradients_.end()) {
      text += "|grad " + elements(found->second);
    }
    return text;
  }

  std::string box(const NodePtr& node, bool is_backward) const {
    // Field separators stay; what stands inside the fields is escaped.
    std::string fields;
    std::string rest = label(node, is_backward);
    for (std::size_t at = rest.find('|'); at != std::string::npos; at = rest.find('|')) {
      fields += escaped(rest.substr(0, at)) + "|";
      rest = rest.substr(at + 1);
    }
    fields += escaped(rest);
    const char* fill = is_backward ? "#fde8d7" : (node->op == nullptr ? "#e3f0e3" : "#e2ebf7");
    return "  n" + id(node.get()) + " [label=\"{" + fields + "}\", fillcolor=\"" + fill + "\"];\n";
  }

  std::string id(const Node* node) const { return std::to_string(ids_.at(node)); }

  std::string text() {
    for (const Node* node : all()) {
      ids_.emplace(node, ids_.size());
    }
    std::string result =
        "digraph twingrad {\n  rankdir=LR;\n  node [shape=record, style=filled, fontname=\"Helvetica\", "
        "fontsize=10];\n";
    for (const NodePtr& node : forward_) {
      result += box(node, false);
    }
    for (const NodePtr& node : backward_) {
      result += box(node, true);
    }
    for (const Node* node : all()) {
      for (const Node* input : edges_.at(node)) {
        if (ids_.contains(input)) {
          result += "  n" + id(input) + " -> n" + id(node) + ";\n";
        }
      }
    }
    return result + "}\n";
  }

  DotOptions options_;
  std::vector<NodePtr> forward_;
  std::vector<NodePtr> backward_;
  std::unordered_set<const Node*> known_;
  std::unordered_map<const Node*, Tensor> gradients_;
  std::unordered_map<const Node*, std::vector<const Node*>> edges_;
  std::unordered_map<const Node*, std::size_t> ids_;
};

}  // namespace

std::string to_dot(const Tensor& output, DotOptions options) {
  return Drawing(options).draw(output);
}

}  // namespace twingrad
