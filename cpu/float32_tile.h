// The innermost loops of the float32 product: one tile of results held in registers while k runs from end to end, what
// is done to the results before they are stored, and the transposing copy that brings an operand into rows of vectors.
// float32_gemm.cpp cuts a product into tiles.
//
//   Tile tile{.k = k, .left = {x, row, step}, .right = v, .right_step = ldv, .target = c, .target_row = n, .columns =
//   20}; tile_kernel(12, 2, Rows::side_by_side, false)(tile);   // 12 x 20 results
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

namespace twingrad::cpu::float32 {

// `fast`: the products were measured to keep up with a library that knows the processor.
#if defined(__AVX512F__)
inline constexpr bool fast = true;
inline constexpr std::size_t vector_bytes = 64;
inline constexpr int tile_sums = 24;
inline constexpr int wide_vectors = 4;
#elif defined(__AVX2__) && defined(__FMA__)
inline constexpr bool fast = true;
inline constexpr std::size_t vector_bytes = 32;
inline constexpr int tile_sums = 12;
inline constexpr int wide_vectors = 2;
#else
inline constexpr bool fast = false;
inline constexpr std::size_t vector_bytes = 16;
inline constexpr int tile_sums = 12;
inline constexpr int wide_vectors = 2;
#endif
inline constexpr int vector_length = static_cast<int>(vector_bytes / sizeof(float));

/// The most rows of a tile of so many vectors: 24 sums of 32 registers, or 12 of 16, leave some for a row of the right
/// operand and an element of the left one. A wide tile loads less per product and stores longer lines.
constexpr int rows_of_tile(int vectors) {
  return tile_sums / vectors;
}
inline constexpr int most_rows = rows_of_tile(1);

typedef float Vector __attribute__((vector_size(vector_bytes)));
typedef std::int32_t Lanes __attribute__((vector_size(vector_bytes)));

[[gnu::always_inline]] inline Vector load(const float* from) {
  Vector result;
  std::memcpy(&result, from, sizeof(result));
  return result;
}
[[gnu::always_inline]] inline void store(const Vector& value, float* to) {
  std::memcpy(to, &value, sizeof(value));
}

/// `count` < vector_length elements, in pieces of fixed length: a copy of unknown length would be a call.
[[gnu::always_inline]] inline void copy_some(const float* from, int count, float* to) {
  if constexpr (vector_length > 8) {
    if ((count & 8) != 0) {
      std::memcpy(to, from, 8 * sizeof(float));
      from += 8;
      to += 8;
    }
  }
  if ((count & 4) != 0) {
    std::memcpy(to, from, 4 * sizeof(float));
    from += 4;
    to += 4;
  }
  if ((count & 2) != 0) {
    std::memcpy(to, from, 2 * sizeof(float));
    from += 2;
    to += 2;
  }
  if ((count & 1) != 0) {
    *to = *from;
  }
}

/// What a result becomes before it is stored.
enum class Activation : std::uint8_t {
  none,
  relu,       ///< formulas::Relu of it
  relu_grad,  ///< formulas::ReluGrad of the saved output of relu, and it
};

/// The result `value` where the output of relu was saved at saved[at], which relu_grad alone reads. NaN stays.
inline float activated(Activation activation, float value, const float* saved, std::int64_t at) {
  const bool zero = activation == Activation::relu        ? value <= 0.0F
                    : activation == Activation::relu_grad ? saved[at] <= 0.0F
                                                          : false;
  return zero ? 0.0F : value;
}

/// Where a tile's left operand lies: its elements are read one by one and multiplied with whole vectors of the right.
struct LeftOperand {
  const float* data = nullptr;
  std::int64_t row = 0;   ///< from one row of the tile to the next
  std::int64_t step = 0;  ///< from k to k + 1
};

/// target[r * target_row + c] = sum over k of left(r, k) * right[k * right_step + c],
/// for c < columns; or, when turned, target[c * target_row + r].
struct Tile {
  std::int64_t k = 0;
  LeftOperand left;
  const float* right = nullptr;  ///< rows of whole vectors
  std::int64_t right_step = 0;
  const float* bias = nullptr;   ///< per column (whole vectors), or per row when turned; or null
  const float* saved = nullptr;  ///< for relu_grad; it lies as the target does
  float* target = nullptr;
  std::int64_t target_row = 0;
  std::int64_t columns = 0;
  Activation activation = Activation::none;
  bool turned = false;
  // More tiles of the same height below: how many there are, and from one to the next.
  std::int64_t count = 1;
  std::int64_t next_left = 0;
  std::int64_t next_target = 0;
  std::int64_t next_bias = 0;
};

/// How the left operand's rows lie in memory: as neighbours (row == 1), or apart with k as neighbours (step == 1).
enum class Rows : std::uint8_t { side_by_side, apart };

namespace detail {

template <int count>
struct Vectors {
  Vector at[static_cast<std::size_t>(count)];
};
template <int height, int vectors>
struct Sums {
  Vectors<vectors> row[static_cast<std::size_t>(height)];
};

/// Vectors of sums, every one over k in order with one rounding per term (a fused multiply-add where there is one).
template <int height, int vectors, Rows rows>
[[gnu::always_inline]] inline void sum_products(const Tile& tile, Sums<height, vectors>& sums) {
  const float* right = tile.right;
  const std::int64_t right_step = tile.right_step;
  if constexpr (rows == Rows::side_by_side) {
    const float* left = tile.left.data;
    const std::int64_t step = tile.left.step;
    for (std::int64_t k = tile.k; k > 0; --k) {
      Vectors<vectors> line;
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) {
        line.at[v] = load(right + v * vector_length);
      }
#pragma GCC unroll 32
      for (int r = 0; r < height; ++r) {
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) {
          sums.row[r].at[v] += left[r] * line.at[v];
        }
      }
      left += step;
      right += right_step;
    }
  } else {
    // One pointer per three rows, the others by an index: more pointers than registers would live in memory.
    constexpr std::size_t groups = (height + 2) / 3;
    const std::int64_t row = tile.left.row;
    const float* left[groups];
    for (std::size_t g = 0; g < groups; ++g) {
      left[g] = tile.left.data + 3 * static_cast<std::int64_t>(g) * row;
    }
    for (std::int64_t k = tile.k; k > 0; --k) {
      Vectors<vectors> line;
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) {
        line.at[v] = load(right + v * vector_length);
      }
#pragma GCC unroll 32
      for (int r = 0; r < height; ++r) {
        const float element = left[r / 3][r % 3 * row];
        for (int v = 0; v < vectors; ++v) {
          sums.row[r].at[v] += element * line.at[v];
        }
      }
      for (std::size_t g = 0; g < groups; ++g) {
        ++left[g];
      }
      right += right_step;
    }
  }
}

/// Bias and activation in registers, for tiles of whole vectors.
template <int height, int vectors>
[[gnu::always_inline]] inline void finish_whole(const Tile& tile, Sums<height, vectors>& sums) {
  if (tile.bias != nullptr) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      const Vector bias = load(tile.bias + v * vector_length);
#pragma GCC unroll 32
      for (int r = 0; r < height; ++r) {
        sums.row[r].at[v] += bias;
      }
    }
  }
  const std::int64_t target_row = tile.target_row;
  if (tile.activation == Activation::relu) {
#pragma GCC unroll 32
    for (int r = 0; r < height; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) {
        sums.row[r].at[v] = sums.row[r].at[v] <= 0.0F ? Vector{} : sums.row[r].at[v];
      }
    }
  } else if (tile.activation == Activation::relu_grad) {
    const float* saved = tile.saved;
#pragma GCC unroll 32
    for (int r = 0; r < height; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) {
        sums.row[r].at[v] = load(saved + v * vector_length) <= 0.0F ? Vector{} : sums.row[r].at[v];
      }
      saved += target_row;
    }
  }
  float* target = tile.target;
#pragma GCC unroll 32
  for (int r = 0; r < height; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      store(sums.row[r].at[v], target + v * vector_length);
    }
    target += target_row;
  }
}

/// The same for tiles with a part of a vector, and turned ones. `sums`: `height` rows of `vectors` vectors.
void start_odd(const Tile& tile, float* sums, int height, int vectors);
void finish_odd(const Tile& tile, const float* sums, int height, int vectors);

template <int height, int vectors, Rows rows, bool resumed>
[[gnu::always_inline]] inline void run_tile(const Tile& tile) {
  Sums<height, vectors> sums;
  const bool whole = tile.columns == vectors * vector_length && !tile.turned;
  if constexpr (!resumed) {
#pragma GCC unroll 32
    for (int r = 0; r < height; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) {
        sums.row[r].at[v] = Vector{};
      }
    }
  } else {
    float in_memory[static_cast<std::size_t>(height * vectors * vector_length)];
    if (!whole) {
      start_odd(tile, in_memory, height, vectors);
    }
    const float* from = whole ? tile.target : in_memory;
    const std::int64_t row = whole ? tile.target_row : vectors * vector_length;
#pragma GCC unroll 32
    for (int r = 0; r < height; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) {
        sums.row[r].at[v] = load(from + v * vector_length);
      }
      from += row;
    }
  }
  sum_products<height, vectors, rows>(tile, sums);
  if (whole) {
    finish_whole<height, vectors>(tile, sums);
    return;
  }
  float in_memory[static_cast<std::size_t>(height * vectors * vector_length)];
#pragma GCC unroll 32
  for (int r = 0; r < height; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      store(sums.row[r].at[v], in_memory + (r * vectors + v) * vector_length);
    }
  }
  finish_odd(tile, in_memory, height, vectors);
}

template <int height, int vectors, Rows rows, bool resumed>
void run_tiles(const Tile& first) {
  Tile tile = first;
  for (std::int64_t i = 0; i < first.count; ++i) {
    run_tile<height, vectors, rows, resumed>(tile);
    tile.left.data += first.next_left;
    tile.target += first.next_target;
    tile.saved = tile.saved != nullptr ? tile.saved + first.next_target : nullptr;
    tile.bias = tile.bias != nullptr ? tile.bias + first.next_bias : nullptr;
  }
}

using Kernel = void (*)(const Tile&);

template <int vectors, Rows rows, bool resumed, std::size_t... height>
constexpr std::array<Kernel, sizeof...(height)> kernels_of(std::index_sequence<height...>) {
  return {&run_tiles<static_cast<int>(height) + 1, vectors, rows, resumed>...};
}

template <int vectors, Rows rows, bool resumed>
inline constexpr auto kernels =
    kernels_of<vectors, rows, resumed>(std::make_index_sequence<static_cast<std::size_t>(rows_of_tile(vectors))>());

template <Rows rows, bool resumed>
Kernel kernel_of(int height, int vectors) {
  const auto at = static_cast<std::size_t>(height - 1);
  if constexpr (wide_vectors == 4) {
    if (vectors > 2) {
      return vectors == 3 ? kernels<3, rows, resumed>[at] : kernels<4, rows, resumed>[at];
    }
  }
  return vectors == 1 ? kernels<1, rows, resumed>[at] : kernels<2, rows, resumed>[at];
}

}  // namespace detail

/// The kernel for tiles of `vectors` (1 to wide_vectors) vectors of columns and `height` (1 to rows_of_tile(vectors))
/// rows. `resumed`: the target holds the sums over the terms before these.
inline detail::Kernel tile_kernel(int height, int vectors, Rows rows, bool resumed) {
  if (resumed) {
    return rows == Rows::side_by_side ? detail::kernel_of<Rows::side_by_side, true>(height, vectors)
                                      : detail::kernel_of<Rows::apart, true>(height, vectors);
  }
  return rows == Rows::side_by_side ? detail::kernel_of<Rows::side_by_side, false>(height, vectors)
                                    : detail::kernel_of<Rows::apart, false>(height, vectors);
}

namespace detail {

/// Which element of two vectors side by side lane `i` takes, to swap blocks of `half` lanes between them: the first
/// vector keeps its even blocks and gets the second's, the second gets the odd ones of both.
constexpr int swapped_lane(int i, int half, bool second) {
  const bool odd = (i & half) != 0;
  return second ? (odd ? vector_length + i : i + half) : (odd ? vector_length + i - half : i);
}
template <std::size_t... i>
constexpr Lanes swapped(int half, bool second, std::index_sequence<i...>) {
  return Lanes{swapped_lane(static_cast<int>(i), half, second)...};
}

template <int half>
[[gnu::always_inline]] inline void swap_blocks(Vector (&rows)[vector_length]) {
  constexpr std::make_index_sequence<static_cast<std::size_t>(vector_length)> all;
  constexpr Lanes first = swapped(half, false, all);
  constexpr Lanes second = swapped(half, true, all);
  for (int r = 0; r < vector_length; ++r) {
    if ((r & half) == 0) {
      const Vector upper = rows[r];
      const Vector lower = rows[r + half];
      rows[r] = __builtin_shuffle(upper, lower, first);
      rows[r + half] = __builtin_shuffle(upper, lower, second);
    }
  }
  if constexpr (half > 1) {
    swap_blocks<half / 2>(rows);
  }
}

}  // namespace detail

/// Transposes a square of vectors in place, by halves (Eklundh, 1972).
[[gnu::always_inline]] inline void transpose(Vector (&rows)[vector_length]) {
  detail::swap_blocks<vector_length / 2>(rows);
}

}  // namespace twingrad::cpu::float32
