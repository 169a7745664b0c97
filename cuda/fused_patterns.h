// Fused kernels that are compiled with the library: the groups of ops that training an MLP makes, so that such a step
// needs no compiler at run time. fused.cpp asks here before it asks NVRTC.
#pragma once

#include <cuda_runtime_api.h>

#include <string>
#include <vector>

namespace twingrad::cuda {

/// Queues one kernel; `arguments` points at a pointer to its argument.
using FusedPattern = cudaError_t (*)(dim3 blocks, void** arguments, cudaStream_t stream);

/// The kernel of the type that `text` names (FusedPlan::text), or nullptr.
FusedPattern find_fused_pattern(const std::string& text);

/// All of them, for tests.
std::vector<std::string> fused_pattern_texts();

}  // namespace twingrad::cuda
