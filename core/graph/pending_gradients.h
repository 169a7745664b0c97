// Gradients that nobody has looked at. A training step asks for the same gradients of the same graph again and again,
// and hands them to its optimizer, which knows what it did with them the last time (optim/step_replay.h). So once a
// graph of some structure has been differentiated on a thread, gradients() gives handles without nodes for the next one
// like it. Whoever looks at such a handle, or changes what its nodes would be made from, has them built first: nothing
// but the time that it takes tells the two apart.
#pragma once

#include <twingrad/graph/node.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <source_location>
#include <span>
#include <vector>

namespace twingrad {

/// The nodes that a value needs and that are not computed yet, with the leaves they read; inputs first. Where a handle
/// lies is noted, not what it holds, so that no reference is counted; it stays while the graph stays as it is.
using NodePlaces = PoolVector<const NodePtr*>;

/// The structure of a graph, and which of its nodes gradients were asked for. Equal ones have equal gradients but for
/// the values of their leaves.
class GradientPattern {
 public:
  /// nodes[i]->index = i.
  GradientPattern(const NodePlaces& nodes, std::span<const Tensor> inputs);

  bool fits(const NodePlaces& nodes, std::span<const Tensor> inputs) const;
  std::size_t size() const { return entries_.size(); }
  /// Positions of a node's inputs.
  std::span<const int> inputs_of(std::size_t node) const {
    return std::span(edges_).subspan(entries_[node].first_edge, entries_[node].edges);
  }
  /// Positions of the nodes that gradients were asked for.
  const std::vector<int>& wanted() const { return wanted_; }

 private:
  struct Entry {
    const Op* op;
    bool valued;
    std::source_location where;
    Device device;
    Dtype dtype;
    bool requires_grad;
    bool cut;
    std::uint8_t literal_bytes;
    Shape shape;
    // Of a use.
    Attributes attributes;
    std::size_t first_edge;
    std::size_t edges;
    // Of a leaf in memory.
    Strides strides;
    std::int64_t offset;
    std::size_t buffer_bytes;
  };
  bool same(const Entry& entry, const Node& node) const;

  std::vector<Entry> entries_;
  std::vector<int> edges_;
  std::vector<int> wanted_;
};

/// What a function made of all gradients before anybody looked at one: clipping.
struct GradientsTransform {
  std::vector<Tensor> (*apply)(std::vector<Tensor> gradients, double argument, std::source_location where);
  double argument;
  std::source_location where;

  /// Equal in bits and line.
  friend bool operator==(const GradientsTransform& a, const GradientsTransform& b);
};

class PendingGradients {
 public:
  PendingGradients(NodePtr root, NodePlaces nodes, std::shared_ptr<const GradientPattern> pattern);
  PendingGradients(const PendingGradients&) = delete;
  PendingGradients& operator=(const PendingGradients&) = delete;
  ~PendingGradients();

  /// Gives every handle its node, as gradients() would have done.
  void build();

  const std::shared_ptr<const GradientPattern>& pattern() const { return pattern_; }
  /// In the order of the pattern.
  const NodePlaces& nodes() const { return nodes_; }
  const NodePtr& root() const { return root_; }

  const PoolVector<GradientsTransform>& transforms() const { return transforms_; }

  /// The nodes may change from here on: somebody else has done what the gradients were for.
  void let_go();

 private:
  friend std::optional<std::vector<Tensor>> pending_gradients(const Tensor& output, const std::vector<Tensor>& inputs);
  friend bool transform_pending(const std::vector<Tensor>& gradients, const GradientsTransform& transform);

  NodePtr root_;
  NodePlaces nodes_;
  std::shared_ptr<const GradientPattern> pattern_;
  PoolVector<std::weak_ptr<detail::TensorImpl>> handles_;
  PoolVector<GradientsTransform> transforms_;
};

/// The nodes of `pending`, and after them those that a run for `targets` needs besides; nothing where one of these
/// makes the graph unfit. Numbers them all.
std::optional<NodePlaces> places_with(const PendingGradients& pending, std::span<const NodePtr> targets);

/// Handles for gradients of a graph like one that remember_gradients() was told of; else nothing.
std::optional<std::vector<Tensor>> pending_gradients(const Tensor& output, const std::vector<Tensor>& inputs);
/// gradients() has built these. Few of the last ones are remembered, by this thread.
void remember_gradients(const Tensor& output, const std::vector<Tensor>& inputs);
/// backward() with such handles, where no leaf has a grad() yet; false: it has to build them.
bool pending_backward(const Tensor& output);
/// The same for backward(): the leaves that got a grad().
void remember_backward(const Tensor& output);

/// What the tensors name when that is all of some gradients that are pending, in any order; else nullptr.
std::shared_ptr<PendingGradients> pending_of(const std::vector<Tensor>& gradients);
/// Has a function called when somebody looks at one, if these are pending and nobody else holds one of them. False: it
/// has to be called now.
bool transform_pending(const std::vector<Tensor>& gradients, const GradientsTransform& transform);

/// Builds the gradients; defined beside gradients().
std::vector<Tensor> built_gradients(const NodePtr& output, std::span<const NodePtr> inputs);

/// While one lives, this thread makes nodes as if outside of every NoGrad and WhereScope.
class ScopesPause {
 public:
  ScopesPause();
  ScopesPause(const ScopesPause&) = delete;
  ScopesPause& operator=(const ScopesPause&) = delete;
  ~ScopesPause();
  /// Whether there is any.
  static bool any_scope();

 private:
  const std::source_location* where_;
  bool no_grad_;
};

}  // namespace twingrad
