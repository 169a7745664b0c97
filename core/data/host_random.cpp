#include <twingrad/data/host_random.h>
#include <twingrad/philox.h>

#include <algorithm>
#include <numeric>

namespace twingrad::data::detail {

double uniform(std::int64_t seed, Stream stream, std::int64_t index) {
  constexpr int lanes = uniform_lanes<double>;
  return uniform_lane<double>(random_block(seed, static_cast<std::int64_t>(stream), index / lanes),
                              static_cast<int>(index % lanes));
}

double normal(std::int64_t seed, Stream stream, std::int64_t index) {
  return normal_lane<double>(random_block(seed, static_cast<std::int64_t>(stream), index / normal_lanes),
                             static_cast<int>(index % normal_lanes));
}

std::vector<std::int64_t> permutation(std::int64_t seed, std::int64_t stream, std::int64_t count) {
  std::vector<std::uint64_t> keys(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) {
    keys[static_cast<std::size_t>(i)] =
        permutation_key(random_block(seed, stream, i / permutation_lanes), static_cast<int>(i % permutation_lanes));
  }
  std::vector<std::int64_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  std::ranges::stable_sort(order, {}, [&](std::int64_t i) { return keys[static_cast<std::size_t>(i)]; });
  return order;
}

}  // namespace twingrad::data::detail
