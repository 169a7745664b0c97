// The sources that kernels compiled at run time include, held in the library: a user's machine has none. Filled by
// cmake/EmbedSources.cmake from the very files that the other kernels are compiled from.
#pragma once

#include "cuda/runtime_compiler.h"

#include <vector>

namespace twingrad::cuda {

/// By the names they are included under.
const std::vector<Header>& fused_headers();

/// SHA-256 of them all, and the library's version.
const char* fused_headers_key();

}  // namespace twingrad::cuda
