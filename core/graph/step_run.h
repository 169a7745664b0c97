// What a step ran, for an optimizer that may run it again (optim/step_replay.h).
#pragma once

#include <twingrad/graph/plan.h>
#include <twingrad/graph/plan_cache.h>

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace twingrad {

struct StepRun {
  std::size_t plans = 0;  ///< how many were run; what follows is of the last one
  Graph graph;
  PlanCache::Found plan;
  std::vector<NodePtr> held;               ///< the graph's nodes
  std::vector<std::pair<int, int>> edges;  ///< positions of a node that was computed and of an input of it
};

/// assign_all(), with a record of what was run.
void assign_all(const std::vector<std::pair<Tensor, Tensor>>& handles_and_values, StepRun* record);

/// What a step leaves of a node that it computed and that is still held.
void spend(Node& node);

/// A handle that assign_later() gave a value that no plan has run yet, and what it named before.
struct Waiting {
  std::weak_ptr<detail::TensorImpl> handle;
  NodePtr before;
};

/// What the next evaluation on this thread has to compute, too.
PoolVector<NodePtr> waiting_nodes();

/// Takes what waits over. Unless that has been computed when this ends, the handles go back to what they named: one bad
/// batch must neither spoil running statistics nor stop every later evaluation.
class TakenWaiting {
 public:
  TakenWaiting();
  TakenWaiting(const TakenWaiting&) = delete;
  TakenWaiting& operator=(const TakenWaiting&) = delete;
  ~TakenWaiting();
  void computed() { taken_.clear(); }

 private:
  PoolVector<Waiting> taken_;
};

}  // namespace twingrad
