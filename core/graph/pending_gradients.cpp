#include <twingrad/graph/capture.h>
#include <twingrad/graph/pending_gradients.h>
#include <twingrad/ops/rows.h>
#include <twingrad/precision.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

namespace twingrad {
namespace {

/// Patterns that a thread remembers, and nodes that they may have together.
constexpr std::size_t most_patterns = 16;
constexpr std::size_t most_entries = 8'000;

/// Whether neither gradients nor a run go below.
bool is_end(const Node& node) {
  return node.has_value() && (node.is_leaf() || node.inputs.empty());
}

/// Handles to the nodes that runs for some values would look at, inputs first. Numbers the nodes.
class Places {
 public:
  /// Nodes that gradients of `own` wait for are no hindrance.
  explicit Places(const PendingGradients* own) : own_(own) { order_.reserve(64); }

  /// A node whose inputs are there already.
  void push_back(const NodePtr* place) {
    (*place)->visit = visit_;
    (*place)->index = static_cast<int>(order_.size());
    order_.push_back(place);
  }

  /// False where a node makes the graph unfit.
  bool add(const NodePtr& root) {
    if (root->visit == visit_) {
      return true;
    }
    PoolVector<Frame> stack;
    stack.reserve(64);
    const auto enter = [&](const NodePtr& place) {
      place->visit = visit_;
      stack.push_back({&place, 0});
      return fits(*place);
    };
    if (!enter(root)) {
      return false;
    }
    while (!stack.empty()) {
      Frame& frame = stack.back();
      const Node& node = **frame.place;
      if (!is_end(node) && frame.next < node.inputs.size()) {
        const NodePtr& input = node.inputs[frame.next++];
        if (input->visit != visit_ && !enter(input)) {
          return false;
        }
        continue;
      }
      push_back(frame.place);
      stack.pop_back();
    }
    return true;
  }

  NodePlaces take() { return std::move(order_); }

 private:
  struct Frame {
    const NodePtr* place;
    std::size_t next;
  };

  // Other devices' values come by another plan, and the rule of a user's own op may give something else each time.
  bool fits(const Node& node) const {
    if (node.awaited_by != nullptr && node.awaited_by != own_) {
      return false;
    }
    if (is_end(node)) {
      return node.is_leaf() || !node.spent;
    }
    return node.op != nullptr && !node.spent && node.op != &to_device_op && node.op->family != Family::custom;
  }

  const PendingGradients* own_;
  std::uint64_t visit_ = next_visit();
  NodePlaces order_;
};

std::optional<NodePlaces> places_of(const NodePtr& root) {
  Places places(nullptr);
  return places.add(root) ? std::optional(places.take()) : std::nullopt;
}

/// Whether something watches what is done, or makes it differ from what it is elsewhere.
bool is_special() {
  return CaptureScope::active() != nullptr || AutocastScope::active() != nullptr || ScopesPause::any_scope();
}

bool same_line(const std::source_location& a, const std::source_location& b) {
  return a.line() == b.line() && a.file_name() == b.file_name();
}

// Bits, since a slope may be NaN.
bool same_attributes(const Attributes& a, const Attributes& b) {
  return a.ints == b.ints && std::memcmp(a.reals.data(), b.reals.data(), sizeof(a.reals)) == 0;
}

std::vector<std::shared_ptr<const GradientPattern>>& patterns() {
  static thread_local std::vector<std::shared_ptr<const GradientPattern>> the_patterns;
  return the_patterns;
}

}  // namespace

GradientPattern::GradientPattern(const NodePlaces& nodes, std::span<const Tensor> inputs) {
  entries_.reserve(nodes.size());
  edges_.reserve(2 * nodes.size());
  for (const NodePtr* place : nodes) {
    const Node& node = **place;
    Entry& entry = entries_.emplace_back();
    entry.op = node.op;
    entry.valued = node.has_value();
    entry.where = node.where;
    entry.device = node.device;
    entry.dtype = node.dtype;
    entry.requires_grad = node.requires_grad;
    entry.cut = node.cut;
    entry.literal_bytes = node.literal_bytes;
    entry.shape = node.shape;
    entry.attributes = node.attributes;
    entry.strides = node.strides;
    entry.offset = node.offset;
    entry.buffer_bytes = node.buffer == nullptr ? 0 : node.buffer->bytes;
    entry.first_edge = edges_.size();
    if (!is_end(node)) {
      entry.edges = node.inputs.size();
      for (const NodePtr& input : node.inputs) {
        edges_.push_back(input->index);
      }
    }
  }
  wanted_.reserve(inputs.size());
  for (const Tensor& input : inputs) {
    wanted_.push_back(input.node()->index);
  }
}

bool GradientPattern::same(const Entry& entry, const Node& node) const {
  // Of a value that is there the op counts, too: gradient rules look for some.
  if (entry.op != node.op || entry.valued != node.has_value() || entry.dtype != node.dtype ||
      !(entry.device == node.device) || entry.requires_grad != node.requires_grad || entry.cut != node.cut ||
      !(entry.shape == node.shape) || (node.op != nullptr && !same_attributes(entry.attributes, node.attributes))) {
    return false;
  }
  if (entry.valued && (entry.literal_bytes != node.literal_bytes ||
                       (node.buffer != nullptr && (entry.buffer_bytes != node.buffer->bytes ||
                                                   entry.offset != node.offset || !(entry.strides == node.strides))))) {
    return false;
  }
  if (is_end(node)) {
    return entry.edges == 0;
  }
  if (entry.edges != node.inputs.size() || !same_line(entry.where, node.where)) {
    return false;
  }
  for (std::size_t j = 0; j < entry.edges; ++j) {
    if (edges_[entry.first_edge + j] != node.inputs[j]->index) {
      return false;
    }
  }
  return true;
}

bool GradientPattern::fits(const NodePlaces& nodes, std::span<const Tensor> inputs) const {
  if (nodes.size() != entries_.size() || inputs.size() != wanted_.size()) {
    return false;
  }
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (!same(entries_[i], **nodes[i])) {
      return false;
    }
  }
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Node* const wanted = nodes[static_cast<std::size_t>(wanted_[i])]->get();
    if (inputs[i].node().get() != wanted) {
      return false;
    }
  }
  return true;
}

PendingGradients::PendingGradients(NodePtr root, NodePlaces nodes, std::shared_ptr<const GradientPattern> pattern)
    : root_(std::move(root)), nodes_(std::move(nodes)), pattern_(std::move(pattern)) {
  for (const NodePtr* place : nodes_) {
    (*place)->awaited_by = this;
  }
}

PendingGradients::~PendingGradients() {
  let_go();
}

void PendingGradients::let_go() {
  for (const NodePtr* place : nodes_) {
    (*place)->awaited_by = nullptr;
  }
  nodes_.clear();
}

void PendingGradients::build() {
  std::vector<NodePtr> inputs;
  for (const int position : pattern_->wanted()) {
    inputs.push_back(*nodes_[static_cast<std::size_t>(position)]);
  }
  std::vector<Tensor> gradients;
  {
    const ScopesPause outside;
    const AutocastPause as_they_are;
    const CapturePause unseen;
    gradients = built_gradients(root_, inputs);
    for (const GradientsTransform& transform : transforms_) {
      gradients = transform.apply(std::move(gradients), transform.argument, transform.where);
    }
  }
  let_go();
  const auto handles = std::move(handles_);
  for (std::size_t i = 0; i < handles.size(); ++i) {
    if (const auto handle = handles[i].lock(); handle != nullptr) {
      handle->node = gradients[i].node();
      if (handle->node->owner.lock() == gradients[i].impl()) {
        handle->node->owner = handle;
      }
      handle->pending.reset();  // of this, the last one may be the end
    }
  }
}

std::optional<NodePlaces> places_with(const PendingGradients& pending, std::span<const NodePtr> targets) {
  Places places(&pending);
  for (const NodePtr* place : pending.nodes()) {
    places.push_back(place);
  }
  const bool fit =
      std::all_of(targets.begin(), targets.end(), [&](const NodePtr& target) { return places.add(target); });
  return fit ? std::optional(places.take()) : std::nullopt;
}

std::optional<std::vector<Tensor>> pending_gradients(const Tensor& output, const std::vector<Tensor>& inputs) {
  auto& known = patterns();
  if (known.empty() || inputs.empty() || is_special()) {
    return std::nullopt;
  }
  for (const Tensor& input : inputs) {
    input.node();  // builds one that is pending itself, before this graph is numbered
  }
  std::optional<NodePlaces> nodes = places_of(output.node());
  if (!nodes) {
    return std::nullopt;
  }
  const auto found =
      std::find_if(known.begin(), known.end(), [&](const auto& pattern) { return pattern->fits(*nodes, inputs); });
  if (found == known.end()) {
    return std::nullopt;
  }
  std::rotate(known.begin(), found, found + 1);
  // The root's place is the handle's, which may be gone before this: the copy's takes it.
  const auto pending = std::allocate_shared<PendingGradients>(PoolAllocator<PendingGradients>(), output.node(),
                                                              std::move(*nodes), known.front());
  pending->nodes_.back() = &pending->root_;
  std::vector<Tensor> handles;
  handles.reserve(inputs.size());
  pending->handles_.reserve(inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    auto handle = std::allocate_shared<detail::TensorImpl>(PoolAllocator<detail::TensorImpl>());
    handle->pending = pending;
    handle->position = i;
    pending->handles_.emplace_back(handle);
    handles.emplace_back(std::move(handle));
  }
  return handles;
}

void remember_gradients(const Tensor& output, const std::vector<Tensor>& inputs) {
  if (inputs.empty() || is_special()) {
    return;
  }
  const std::optional<NodePlaces> nodes = places_of(output.node());
  if (!nodes || nodes->size() > most_entries) {
    return;
  }
  const auto read = [&](const Tensor& input) {
    const auto index = static_cast<std::size_t>(input.node()->index);
    return index < nodes->size() && *(*nodes)[index] == input.node();
  };
  if (!std::all_of(inputs.begin(), inputs.end(), read)) {
    return;
  }
  auto& known = patterns();
  known.insert(known.begin(), std::make_shared<GradientPattern>(*nodes, inputs));
  std::size_t entries = 0;
  std::size_t kept = 0;
  while (kept < known.size() && kept < most_patterns && (entries += known[kept]->size()) <= most_entries) {
    ++kept;
  }
  known.resize(kept);
}

namespace {

/// The handles that backward() gives a grad(), by the rule of Reverse; nothing where there may be others that it finds
/// by another order.
std::optional<std::vector<Tensor>> receivers_of(const Tensor& output) {
  const std::optional<NodePlaces> nodes = places_of(output.node());
  if (!nodes) {
    return std::nullopt;
  }
  std::vector<Tensor> receivers;
  for (const NodePtr* place : *nodes) {
    const Node& node = **place;
    if (node.is_leaf() && !node.has_value()) {
      return std::nullopt;
    }
    if (!node.requires_grad) {
      continue;
    }
    if (auto owner = node.owner.lock(); owner != nullptr && (node.is_leaf() || owner->retain_grad)) {
      if (owner->node != *place) {
        return std::nullopt;
      }
      receivers.emplace_back(std::move(owner));
    }
  }
  return receivers;
}

}  // namespace

bool pending_backward(const Tensor& output) {
  if (patterns().empty() || is_special()) {
    return false;
  }
  const std::optional<std::vector<Tensor>> receivers = receivers_of(output);
  if (!receivers || std::any_of(receivers->begin(), receivers->end(),
                                [](const Tensor& receiver) { return receiver.impl()->grad.defined(); })) {
    return false;
  }
  const std::optional<std::vector<Tensor>> handles = pending_gradients(output, *receivers);
  if (!handles) {
    return false;
  }
  for (std::size_t i = 0; i < handles->size(); ++i) {
    (*receivers)[i].impl()->grad = (*handles)[i];
  }
  return true;
}

void remember_backward(const Tensor& output) {
  if (const auto receivers = receivers_of(output);
      receivers && std::all_of(receivers->begin(), receivers->end(),
                               [](const Tensor& receiver) { return receiver.impl()->grad.defined(); })) {
    remember_gradients(output, *receivers);
  }
}

std::shared_ptr<PendingGradients> pending_of(const std::vector<Tensor>& gradients) {
  if (gradients.empty() || !gradients.front().defined()) {
    return nullptr;
  }
  const std::shared_ptr<PendingGradients>& pending = gradients.front().impl()->pending;
  if (pending == nullptr || pending->pattern()->wanted().size() != gradients.size()) {
    return nullptr;
  }
  const bool all = std::all_of(gradients.begin(), gradients.end(), [&](const Tensor& gradient) {
    return gradient.defined() && gradient.impl()->pending == pending;
  });
  return all ? pending : nullptr;
}

bool transform_pending(const std::vector<Tensor>& gradients, const GradientsTransform& transform) {
  const std::shared_ptr<PendingGradients> pending = is_special() ? nullptr : pending_of(gradients);
  if (pending == nullptr) {
    return false;
  }
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    if (gradients[i].impl().use_count() != 1 || gradients[i].impl()->position != i) {
      return false;
    }
  }
  pending->transforms_.push_back(transform);
  return true;
}

bool operator==(const GradientsTransform& a, const GradientsTransform& b) {
  return a.apply == b.apply && std::bit_cast<std::uint64_t>(a.argument) == std::bit_cast<std::uint64_t>(b.argument) &&
         same_line(a.where, b.where);
}

}  // namespace twingrad
