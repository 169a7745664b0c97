// Family::random: loops around philox.h, which says what element e is.
#include <twingrad/kernels.h>
#include <twingrad/op.h>
#include <twingrad/philox.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

#include "cpu/families.h"
#include "cpu/parallel.h"

namespace twingrad::cpu {
namespace {

struct Seed {
  std::int64_t seed = 0;
  std::int64_t stream = 0;
};

/// write(e, block, lane) for every element e < n.
template <class Write>
void for_each_lane(const Seed& seed, std::int64_t n, int lanes_per_block, double nanoseconds, const Write& write) {
  const std::int64_t blocks = (n + lanes_per_block - 1) / lanes_per_block;
  parallel_for(blocks, nanoseconds, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t b = begin; b < end; ++b) {
      const Philox4 words = random_block(seed.seed, seed.stream, b);
      const std::int64_t first = b * lanes_per_block;
      const auto count = static_cast<int>(std::min<std::int64_t>(lanes_per_block, n - first));
      for (int lane = 0; lane < count; ++lane) {
        write(first + lane, words, lane);
      }
    }
  });
}

void permutation(const Seed& seed, std::int64_t n, std::int64_t* out) {
  std::vector<std::pair<std::uint64_t, std::int64_t>> keyed(static_cast<std::size_t>(n));
  for_each_lane(seed, n, permutation_lanes, 10.0, [&](std::int64_t e, const Philox4& words, int lane) {
    keyed[static_cast<std::size_t>(e)] = {permutation_key(words, lane), e};
  });
  std::sort(keyed.begin(), keyed.end());
  std::transform(keyed.begin(), keyed.end(), out, [](const auto& entry) { return entry.second; });
}

template <class T>
void random_as(const KernelCall& call, const Seed& seed) {
  const std::int64_t n = call.output.numel();
  T* out = call.output.as<T>();
  switch (static_cast<Random>(call.op->kernel)) {
    case Random::uniform:
      if constexpr (std::is_floating_point_v<compute_t<T>>) {
        return for_each_lane(seed, n, uniform_lanes<T>, 10.0, [out](std::int64_t e, const Philox4& words, int lane) {
          out[e] = uniform_lane<T>(words, lane);
        });
      }
      break;
    case Random::normal:
      if constexpr (std::is_floating_point_v<compute_t<T>>) {
        return for_each_lane(seed, n, normal_lanes, 40.0, [out](std::int64_t e, const Philox4& words, int lane) {
          out[e] = normal_lane<T>(words, lane);
        });
      }
      break;
    case Random::permutation:
      if constexpr (std::is_same_v<T, std::int64_t>) {
        return permutation(seed, n, out);
      }
      break;
  }
  refuse_dtype(call, call.output.dtype);
}

}  // namespace

void random(const KernelCall& call) {
  const auto* seed = call.inputs[0].as<const std::int64_t>();
  visit(call.output.dtype, [&]<class T>(Type<T>) { random_as<T>(call, Seed{seed[0], seed[1]}); });
}

}  // namespace twingrad::cpu
