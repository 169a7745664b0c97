// The fixed order in which the CPU backend sums, whatever the number of threads and the layout of the input.
//
// R values in row-major order of the reduced axes are cut into chunks of 2048. Within a chunk, value r goes to lane
// r % 16; each lane is accumulated in order, starting from the operation's neutral element. The lanes are folded by
// halves (lane l takes l + 8, then l + 4, l + 2, l + 1), the chunks' results by neighbours (0 with 1, 2 with 3, ...,
// an odd one out is carried on) until one is left. So a sum's rounding error is at most
// (128 + 4 + ceil(log2(ceil(R / 2048)))) units of roundoff of the sum of the absolute values, and for R <= 2048
// (ceil(R / 16) + 4) of them.
#pragma once

#include <twingrad/formulas.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace twingrad::cpu {

inline constexpr std::int64_t lanes = 16;
inline constexpr std::int64_t chunk = 2048;

/// Combines of a reduction: a neutral element and an associative step.
struct AddStep {
  template <class C>
  static constexpr C neutral() {
    return C(0);
  }
  template <class C>
  static C combine(C a, C b) {
    return a + b;
  }
};
struct MultiplyStep {
  template <class C>
  static constexpr C neutral() {
    return C(1);
  }
  template <class C>
  static C combine(C a, C b) {
    return a * b;
  }
};
struct MaximumStep {
  template <class C>
  static constexpr C neutral() {
    return std::numeric_limits<C>::has_infinity ? -std::numeric_limits<C>::infinity()
                                                : std::numeric_limits<C>::lowest();
  }
  template <class C>
  static C combine(C a, C b) {
    return formulas::Maximum::apply(a, b, formulas::Parameters{});
  }
};
struct MinimumStep {
  template <class C>
  static constexpr C neutral() {
    return std::numeric_limits<C>::has_infinity ? std::numeric_limits<C>::infinity() : std::numeric_limits<C>::max();
  }
  template <class C>
  static C combine(C a, C b) {
    return formulas::Minimum::apply(a, b, formulas::Parameters{});
  }
};

/// One chunk: value(r) for r < n <= chunk, by lanes.
template <class Step, class C, class Value>
C reduce_chunk(std::int64_t n, const Value& value) {
  C lane[lanes];
  std::fill_n(lane, lanes, Step::template neutral<C>());
  const std::int64_t whole = n / lanes * lanes;
  for (std::int64_t r = 0; r < whole; r += lanes) {
    for (std::int64_t l = 0; l < lanes; ++l) {
      lane[l] = Step::combine(lane[l], static_cast<C>(value(r + l)));
    }
  }
  for (std::int64_t l = 0; l < n - whole; ++l) {
    lane[l] = Step::combine(lane[l], static_cast<C>(value(whole + l)));
  }
  for (std::int64_t half = lanes / 2; half > 0; half /= 2) {
    for (std::int64_t l = 0; l < half; ++l) {
      lane[l] = Step::combine(lane[l], lane[l + half]);
    }
  }
  return lane[0];
}

/// The chunks' results, folded in place by neighbours.
template <class Step, class C>
C fold_chunks(C* partial, std::int64_t count) {
  while (count > 1) {
    const std::int64_t pairs = count / 2;
    for (std::int64_t i = 0; i < pairs; ++i) {
      partial[i] = Step::combine(partial[2 * i], partial[2 * i + 1]);
    }
    if (count % 2 != 0) {
      partial[pairs] = partial[count - 1];
    }
    count = pairs + count % 2;
  }
  return partial[0];
}

/// The same for `width` results side by side: chunk c of them begins at partial[c * stride]; they are left in chunk 0.
template <class Step, class C>
void fold_chunk_rows(C* partial, std::int64_t count, std::int64_t width, std::int64_t stride) {
  while (count > 1) {
    const std::int64_t pairs = count / 2;
    for (std::int64_t pair = 0; pair < pairs; ++pair) {
      C* const folded = partial + pair * stride;
      const C* const first = partial + 2 * pair * stride;
      const C* const second = first + stride;
#pragma GCC ivdep
      for (std::int64_t i = 0; i < width; ++i) {
        folded[i] = Step::combine(first[i], second[i]);
      }
    }
    if (count % 2 != 0) {
      std::copy_n(partial + (count - 1) * stride, width, partial + pairs * stride);
    }
    count = pairs + count % 2;
  }
}

/// All of value(r) for r < n. Chunks are folded as they come, by the same pairs as fold_chunks(): `level[k]` holds a
/// finished group of 2^k chunks.
template <class Step, class C, class Value>
C reduce_values(std::int64_t n, const Value& value) {
  if (n <= chunk) {
    return reduce_chunk<Step, C>(n, value);
  }
  std::array<C, 64> level{};
  const std::int64_t chunks = (n + chunk - 1) / chunk;
  for (std::int64_t c = 0; c < chunks; ++c) {
    const std::int64_t begin = c * chunk;
    C result = reduce_chunk<Step, C>(std::min(chunk, n - begin), [&](std::int64_t r) { return value(begin + r); });
    std::size_t k = 0;
    for (; ((c >> k) & 1) != 0; ++k) {
      result = Step::combine(level[k], result);
    }
    level[k] = result;
  }
  // What is left are the groups of the bits of `chunks`, smallest last.
  std::size_t k = 0;
  while (((chunks >> k) & 1) == 0) {
    ++k;
  }
  C total = level[k];
  for (++k; (chunks >> k) != 0; ++k) {
    if (((chunks >> k) & 1) != 0) {
      total = Step::combine(level[k], total);
    }
  }
  return total;
}

}  // namespace twingrad::cpu
