// What a step ran, for an optimizer that may run it again (optim/step_replay.h).
#pragma once

#include <twingrad/graph/plan.h>
#include <twingrad/graph/plan_cache.h>

#include <cstddef>
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

/// Whether the next evaluation on this thread has to compute what assign_later() was given.
bool something_waits();

}  // namespace twingrad
