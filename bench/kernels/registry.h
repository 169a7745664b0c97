// What bench_kernels times: one function per file, called by main() before Google Benchmark takes over.
#pragma once

#include <vector>

#include "bench/step/work.h"

namespace kernelbench {

/// Every product of these works' steps, ours and oneDNN's.
void register_products(const std::vector<stepbench::Work>& works);
/// Chains of elementwise ops of several lengths and sizes, and a copy of each size.
void register_chains();

}  // namespace kernelbench
