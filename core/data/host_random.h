// Seeded random numbers on the host for this room: the words and conversions of philox.h, by position.
//
//   double z = normal(seed, Stream::noise, i);   // the same number whoever asks, in any order
#pragma once

#include <cstdint>
#include <vector>

namespace twingrad::data::detail {

/// Keeps uses of one seed apart. Negative, as a Loader's shuffles take the streams from 0 on.
enum class Stream : std::int64_t { split = -1, position = -2, noise = -3, weight = -4, bias = -5 };

/// In [0, 1), in steps of 2^-53.
double uniform(std::int64_t seed, Stream stream, std::int64_t index);
/// Standard normal.
double normal(std::int64_t seed, Stream stream, std::int64_t index);
/// 0 to `count` - 1 in the order of the permutation op.
std::vector<std::int64_t> permutation(std::int64_t seed, std::int64_t stream, std::int64_t count);
inline std::vector<std::int64_t> permutation(std::int64_t seed, Stream stream, std::int64_t count) {
  return permutation(seed, static_cast<std::int64_t>(stream), count);
}

}  // namespace twingrad::data::detail
