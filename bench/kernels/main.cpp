// Kernels alone, on Google Benchmark. Its options choose and repeat: --benchmark_filter=product/wide,
// --benchmark_repetitions=5, --benchmark_enable_random_interleaving=true, --benchmark_out=kernels.json.
#include <benchmark/benchmark.h>

#include <iostream>

#include "bench/kernels/registry.h"

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
    return 2;
  }
  try {
    kernelbench::register_products(stepbench::choose_works(stepbench::read_works(KERNELBENCH_WORKS, "cpu"), {}));
    kernelbench::register_chains();
    benchmark::RunSpecifiedBenchmarks();
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << '\n';
  }
  return 2;
}
