// Fused kernels that are compiled with the library: the groups of ops that training an MLP makes, so that such a step
// needs no compiler at run time. fused.cu asks here before it asks NVRTC.
#pragma once

#include <string>
#include <vector>

namespace twingrad::cuda {

/// The kernel of the type that `text` names (FusedPlan::text), for cudaLaunchKernel, or nullptr.
const void* find_fused_pattern(const std::string& text);

/// All of them, for tests.
std::vector<std::string> fused_pattern_texts();

}  // namespace twingrad::cuda
