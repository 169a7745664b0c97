// Puts the optimizer's small launches side by side, one per parameter, and asks the device whether it has one kernel
// for them all. Used by fuse.cpp.
#pragma once

#include <twingrad/graph/plan.h>

#include <vector>

namespace twingrad {

/// Offers launches that update little memory in the same way to the backend, several as one; what it takes becomes one
/// launch, where the last of them stood, and steps are put in that order.
void merge_updates(std::vector<Plan::Step>& steps, std::vector<Plan::Launch>& launches, Backend& backend);

}  // namespace twingrad
