// Finds steps that may run as one kernel and asks the device whether it has one. Used by the planner.
#pragma once

#include <twingrad/graph/plan.h>

#include <vector>

namespace twingrad {

/// Launches for all steps in order: neighbours that work element by element on one another's results are offered to
/// the backend as one. Marks the steps whose results need no memory any more as not stored. `kept`: per slot, whether
/// its value outlives the run.
std::vector<Plan::Launch> fused_launches(std::vector<Plan::Step>& steps, const std::vector<char>& kept,
                                         Backend& backend);

}  // namespace twingrad
