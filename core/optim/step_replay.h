// A training step that was taken before and that comes again: forward graph, gradients nobody looked at, and updates
// have the structure that they had then. Its plan is there, and so are the nodes of gradients and updates, so that only
// the leaves and the nodes of the new forward graph have to be put in their places. The optimizer keeps a few.
#pragma once

#include <twingrad/graph/pending_gradients.h>
#include <twingrad/graph/step_run.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace twingrad::optim {

/// A step that is asked for: gradients that are pending, in the order of the parameters, and what waits on this thread.
class ComingStep {
 public:
  ComingStep(std::shared_ptr<PendingGradients> pending, const std::vector<Tensor>& gradients);

  PendingGradients& pending() const { return *pending_; }
  const std::vector<Tensor>& gradients() const { return gradients_; }
  /// The forward graph, and what has to be computed along with it.
  const NodePlaces& nodes() const { return waiting_.empty() ? pending_->nodes() : with_waiting_; }
  bool something_waits() const { return !waiting_.empty(); }
  /// Whether what waits can be part of a replay.
  bool fit() const { return fit_; }

 private:
  std::shared_ptr<PendingGradients> pending_;
  const std::vector<Tensor>& gradients_;
  PoolVector<NodePtr> waiting_;
  NodePlaces with_waiting_;
  bool fit_ = true;
};

class StepReplay {
  /// A gradient among those that are pending.
  struct Held {
    std::size_t position;
    bool kept;      ///< somebody else holds it, too: a grad()
    NodePtr value;  ///< of one that is kept
  };

 public:
  using Assignments = std::vector<std::pair<Tensor, Tensor>>;

  /// What has to be noted before a step is run for the first time.
  class Recording {
   public:
    /// Before the gradients are built.
    explicit Recording(const ComingStep& step);
    /// Both before the assignments are made. Keeps no reference to what they hold.
    void note(const std::vector<Tensor>& gradients, const Assignments& assignments);

   private:
    friend class StepReplay;
    std::shared_ptr<const GradientPattern> pattern_;
    std::optional<GradientPattern> waiting_;
    PoolVector<GradientsTransform> transforms_;
    std::vector<Held> gradients_;
    std::vector<const Node*> gradient_nodes_;
    std::vector<const Node*> forward_;  ///< in the order of the pattern
    /// Of the same: while there is one, no new node can have the address of one that is gone.
    std::vector<std::weak_ptr<const Node>> addresses_;
    std::vector<Tensor> handles_;
    std::vector<const Node*> before_;  ///< what they name
    std::vector<const Node*> values_;  ///< what they are to name
  };

  /// The step that was run; nothing when it cannot be told what it would need the next time.
  static std::shared_ptr<StepReplay> of(Recording recording, StepRun ran);

  /// Whether the step is this one, given that its parameters are the same: the same graph, the same values held by
  /// others, buffers that lie as they did.
  bool fits(const ComingStep& step) const;
  const PlanCache::Found& plan() const { return plan_; }
  /// Nodes that it keeps.
  std::size_t size() const { return held_.size(); }
  /// Takes the step. Throws what the ops throw; then handles and graph are as they were.
  void run(const ComingStep& step);

 private:
  /// Which node of the forward graph stands at a position of the graph, and how many references to it the step
  /// explains.
  struct Forward {
    std::size_t position;
    std::size_t index;
    long explained;
  };
  /// A buffer of the optimizer's that is read at a position.
  struct Read {
    std::size_t position;
    std::size_t handle;
    Strides strides;
    std::int64_t offset;
    std::size_t bytes;
  };
  struct Assigned {
    Tensor handle;
    NodePtr value;
    std::optional<std::size_t> position;  ///< of what the handle names before; nothing where that is not read
  };

  PoolVector<long> references_of_idle_nodes(const ComingStep& step) const;
  bool fits_forward(const ComingStep& step) const;
  bool fits_buffers() const;
  void take_results(const std::vector<Tensor>& gradients);

  std::shared_ptr<const GradientPattern> pattern_;
  std::optional<GradientPattern> waiting_;  ///< of the graph with what waited, if anything did
  PoolVector<GradientsTransform> transforms_;
  std::vector<Held> gradients_;
  PlanCache::Found plan_;
  Graph graph_;  ///< its nodes of the forward graph and of buffers are those of the last step
  std::vector<NodePtr> held_;
  std::vector<Forward> forward_;
  std::vector<char> runs_;  ///< by node of the forward graph
  std::vector<Read> reads_;
  std::vector<Assigned> assigned_;
};

}  // namespace twingrad::optim
