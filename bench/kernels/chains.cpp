// Chains of elementwise ops beside a copy of the same memory: like the copy, a chain of any length reads its input once
// and writes its result once, so that what it takes longer is not traffic of the memory.
//
//   bench_kernels --benchmark_filter=chain
#include <benchmark/benchmark.h>
#include <twingrad/evaluate.h>
#include <twingrad/ops.h>

#include <string>
#include <vector>

#include "bench/kernels/registry.h"
#include "bench/systems/parallel_copy.h"

namespace tg = twingrad;

namespace kernelbench {
namespace {

/// Read once, written once.
void count_bytes(benchmark::State& state, std::int64_t elements) {
  state.counters["bytes/s"] = benchmark::Counter(2.0 * sizeof(float) * static_cast<double>(elements),
                                                 benchmark::Counter::kIsIterationInvariantRate);
}

/// `length` ops, each of one flop: times 0.5, plus 1, relu, and around again.
tg::Tensor chain(tg::Tensor x, int length) {
  for (int i = 0; i < length; ++i) {
    x = i % 3 == 0 ? x * 0.5 : i % 3 == 1 ? x + 1.0 : tg::relu(x);
  }
  return x;
}

void run_chain(benchmark::State& state, std::int64_t elements, int length) {
  const tg::Tensor x = tg::random_normal({elements}, {.key = 1});
  x.eval();
  for (auto _ : state) {
    chain(x, length).eval();
  }
  count_bytes(state, elements);
}

void run_copy(benchmark::State& state, std::int64_t elements) {
  const auto count = static_cast<std::size_t>(elements);
  std::vector<float> from(count, 1);
  std::vector<float> to(count, 2);
  for (auto _ : state) {
    bench::parallel_copy(to.data(), from.data(), count * sizeof(float));
    benchmark::ClobberMemory();
  }
  count_bytes(state, elements);
}

}  // namespace

void register_chains() {
  for (const int shift : {14, 18, 22, 25}) {
    const std::int64_t elements = std::int64_t{1} << shift;
    const std::string suffix = "/2^" + std::to_string(shift);
    benchmark::RegisterBenchmark(("chain/copy" + suffix).c_str(), [elements](benchmark::State& state) {
      run_copy(state, elements);
    })->UseRealTime();
    for (const int length : {1, 2, 4, 8, 16}) {
      benchmark::RegisterBenchmark(("chain/" + std::to_string(length) + suffix).c_str(), [elements, length](
                                                                                             benchmark::State& state) {
        run_chain(state, elements, length);
      })->UseRealTime();
    }
  }
}

}  // namespace kernelbench
