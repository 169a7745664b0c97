// Puts the optimizer's small launches side by side, one per parameter, and asks the device whether it has one kernel
// for them all. Used by fuse.cpp.
#pragma once

#include <twingrad/graph/plan.h>

#include <vector>

namespace twingrad {

/// Offers launches that do the same with little memory to the backend, several as one, where none waits for another;
/// what it takes becomes one launch, and steps are put in that order.
void merge_launches(std::vector<Plan::Step>& steps, std::vector<Plan::Launch>& launches,
                    const std::vector<Plan::Slot>& slots, Backend& backend);

}  // namespace twingrad
