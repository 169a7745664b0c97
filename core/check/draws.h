// Random numbers for the cross-check's cases: the same ones everywhere for the same seed. Private to the cross-check.
#pragma once

#include <twingrad/philox.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace twingrad::check {

class Draws {
 public:
  explicit Draws(std::uint64_t seed, std::uint64_t stream = 0x5eed)
      : seed_(static_cast<std::int64_t>(seed)), stream_(static_cast<std::int64_t>(stream)) {}

  double uniform(double low, double high) {
    const Philox4 block = random_block(seed_, stream_, next_ / 2);
    return low + (high - low) * uniform_lane<double>(block, static_cast<int>(next_++ % 2));
  }
  /// A whole number in [0, count).
  std::int64_t below(std::int64_t count) {
    return static_cast<std::int64_t>(uniform(0, 1) * static_cast<double>(count));
  }
  /// A whole number in [low, high].
  std::int64_t between(std::int64_t low, std::int64_t high) { return low + below(high - low + 1); }
  bool chance(double probability) { return uniform(0, 1) < probability; }
  template <class T>
  T pick(std::span<const T> choices) {
    return choices[static_cast<std::size_t>(below(static_cast<std::int64_t>(choices.size())))];
  }
  template <class T>
  T pick(const std::vector<T>& choices) {
    return pick(std::span<const T>(choices));
  }

 private:
  std::int64_t seed_;
  std::int64_t stream_;
  std::int64_t next_ = 0;
};

/// A stream of its own for each name and number (FNV-1a).
inline std::uint64_t stream_of(std::string_view name, std::uint64_t number) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : name) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  }
  return (hash ^ number) * 0x100000001b3ULL;
}

}  // namespace twingrad::check
