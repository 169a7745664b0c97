// The float64 matrix product, which oneDNN does not have. Blocked for the caches in the usual way (Goto and van de
// Geijn, "Anatomy of high-performance matrix multiplication", 2008): panels of a and b are packed, and a small kernel
// keeps a tile of the output in registers.
//
// The order over k is fixed: in blocks of 256, each summed in order from 0, blocks added in order, bias last. It does
// not depend on the number of threads or the layout.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "cpu/parallel.h"

namespace twingrad::cpu {

/// A matrix in memory: element (i, j) is data[i * row + j * column].
struct Matrix {
  const double* data = nullptr;
  std::int64_t row = 0;
  std::int64_t column = 0;
};

class Gemm {
 public:
  /// c (m, n), contiguous, = a (m, k) b (k, n) (+ bias (n), when not null). k > 0.
  static void run(std::int64_t m, std::int64_t n, std::int64_t k, Matrix a, Matrix b, const double* bias, double* c) {
    const int threads = threads_for(m * n * k, 0.02);
    // At least one task per thread: first by rows, then by columns.
    const std::int64_t row_block = std::clamp(round_up((m + threads - 1) / threads, tile_rows), tile_rows, rows_packed);
    const std::int64_t row_tasks = (m + row_block - 1) / row_block;
    const std::int64_t column_tasks = (threads + row_tasks - 1) / row_tasks;
    std::vector<double> packed_b(
        static_cast<std::size_t>(round_up(std::min(n, columns_packed), tile_columns) * std::min(k, depth)));
    for (std::int64_t j = 0; j < n; j += columns_packed) {
      const std::int64_t width = std::min(columns_packed, n - j);
      const std::int64_t panels = (width + tile_columns - 1) / tile_columns;
      for (std::int64_t p = 0; p < k; p += depth) {
        const std::int64_t deep = std::min(depth, k - p);
        const double pack_item = 0.5 * static_cast<double>(deep * tile_columns);
        parallel_for(panels, pack_item, [&](std::int64_t begin, std::int64_t end) {
          for (std::int64_t panel = begin; panel < end; ++panel) {
            pack<tile_columns>(deep, std::min(tile_columns, width - panel * tile_columns),
                               b.data + p * b.row + (j + panel * tile_columns) * b.column, b.column, b.row,
                               packed_b.data() + panel * tile_columns * deep);
          }
        });
        const Block block{
            .deep = deep, .columns = n, .bias = bias != nullptr && p + deep == k ? bias + j : nullptr, .first = p == 0};
        const double item = 0.02 * static_cast<double>(row_block * width * deep);
        parallel_for(row_tasks * column_tasks, item, [&](std::int64_t begin, std::int64_t end) {
          std::vector<double> packed_a(static_cast<std::size_t>(row_block * deep));
          std::int64_t packed = -1;
          for (std::int64_t task = begin; task < end; ++task) {
            const std::int64_t i = task / column_tasks * row_block;
            const std::int64_t height = std::min(row_block, m - i);
            if (packed != i) {
              for (std::int64_t r = 0; r < height; r += tile_rows) {
                pack<tile_rows>(deep, std::min(tile_rows, height - r), a.data + (i + r) * a.row + p * a.column, a.row,
                                a.column, packed_a.data() + r * deep);
              }
              packed = i;
            }
            const std::int64_t part = task % column_tasks;
            const std::int64_t from = panels * part / column_tasks;
            const std::int64_t to = panels * (part + 1) / column_tasks;
            for (std::int64_t panel = from; panel < to; ++panel) {
              for (std::int64_t r = 0; r < height; r += tile_rows) {
                tile(block, packed_a.data() + r * deep, packed_b.data() + panel * tile_columns * deep,
                     std::min(tile_rows, height - r), std::min(tile_columns, width - panel * tile_columns),
                     panel * tile_columns, c + (i + r) * n + j);
              }
            }
          }
        });
      }
    }
  }

 private:
  static constexpr std::size_t vector_bytes = 64;
  static constexpr std::int64_t vector_length = static_cast<std::int64_t>(vector_bytes / sizeof(double));
  typedef double Vector __attribute__((vector_size(vector_bytes)));

  // 8 x 2 vectors of sums leave registers for a row of b and one of a. The packed rows of a take half the second
  // cache, one panel of b lies in the first.
  static constexpr std::int64_t tile_rows = 8;
  static constexpr std::int64_t tile_vectors = 2;
  static constexpr std::int64_t tile_columns = tile_vectors * vector_length;
  static constexpr std::int64_t depth = 256;
  static constexpr std::int64_t rows_packed = 192;
  static constexpr std::int64_t columns_packed = 1024;

  struct Block {
    std::int64_t deep;
    std::int64_t columns;  // of the output
    const double* bias;    // to add after this block
    bool first;            // the output holds nothing yet
  };

  static std::int64_t round_up(std::int64_t value, std::int64_t unit) { return (value + unit - 1) / unit * unit; }

  /// Lays `count` <= Width lines side by side, step by step, and zeros for those that are missing.
  template <std::int64_t Width>
  static void pack(std::int64_t deep, std::int64_t count, const double* source, std::int64_t line, std::int64_t step,
                   double* target) {
    if (count < Width) {
      std::fill_n(target, Width * deep, double(0));
    }
    if (line == 1) {
      for (std::int64_t p = 0; p < deep; ++p) {
        std::copy_n(source + p * step, count, target + p * Width);
      }
    } else {
      for (std::int64_t l = 0; l < count; ++l) {
        for (std::int64_t p = 0; p < deep; ++p) {
          target[p * Width + l] = source[l * line + p * step];
        }
      }
    }
  }

  static void tile(const Block& block, const double* a, const double* b, std::int64_t height, std::int64_t width,
                   std::int64_t column, double* c) {
    Vector sums[tile_rows][tile_vectors] = {};
    for (std::int64_t p = 0; p < block.deep; ++p) {
      Vector right[tile_vectors];
      std::memcpy(&right, b + p * tile_columns, sizeof(right));
      for (std::int64_t i = 0; i < tile_rows; ++i) {
        const double left = a[p * tile_rows + i];
        for (std::int64_t v = 0; v < tile_vectors; ++v) {
          sums[i][v] = sums[i][v] + left * right[v];
        }
      }
    }
    double result[tile_rows][tile_columns];
    std::memcpy(&result, &sums, sizeof(result));
    for (std::int64_t i = 0; i < height; ++i) {
      double* out = c + i * block.columns + column;
      const double* row = result[i];
      for (std::int64_t j = 0; j < width; ++j) {
        const double value = row[j];
        out[j] = block.first ? value : out[j] + value;
      }
      if (block.bias != nullptr) {
        for (std::int64_t j = 0; j < width; ++j) {
          out[j] = out[j] + block.bias[column + j];
        }
      }
    }
  }
};

}  // namespace twingrad::cpu
