// Finds steps that may run as one kernel and asks the device whether it has one. Used by the planner.
#pragma once

#include <twingrad/graph/plan.h>

#include <vector>

namespace twingrad {

/// Orders the steps so that those that work element by element on one another's results stand together, and offers them
/// to the backend as one, with sums of their results if it takes these, too. Gives launches for all steps in order;
/// steps whose results need no memory any more are marked as not stored. `kept`: per slot, whether its value outlives
/// the run.
std::vector<Plan::Launch> fused_launches(std::vector<Plan::Step>& steps, const std::vector<Plan::Slot>& slots,
                                         const std::vector<char>& kept, Backend& backend);

}  // namespace twingrad
