// Chains of elementwise ops beside a copy of the same memory. A chain of any length reads its input once and writes its
// result once, so the goal is at most 1.2 times the copy's time, however long it is, until arithmetic is the limit.
//
//   bench_kernels --benchmark_filter=chain
#include <benchmark/benchmark.h>
#include <omp.h>
#include <twingrad/evaluate.h>
#include <twingrad/ops.h>

#include <cstring>
#include <string>
#include <vector>

#include "bench/kernels/registry.h"

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
  constexpr std::size_t worth_a_thread = std::size_t{1} << 16;
  const int threads = count < worth_a_thread ? 1 : omp_get_max_threads();
  for (auto _ : state) {
#pragma omp parallel num_threads(threads)
    {
      const auto part = static_cast<std::size_t>(omp_get_thread_num());
      const auto parts = static_cast<std::size_t>(omp_get_num_threads());
      const std::size_t begin = count / parts * part;
      const std::size_t end = part + 1 == parts ? count : begin + count / parts;
      std::memcpy(to.data() + begin, from.data() + begin, (end - begin) * sizeof(float));
    }
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
