// Where tiles with a part of a vector, or turned ones, find and leave their results.
#include "cpu/float32_tile.h"

namespace twingrad::cpu::float32::detail {

void start_odd(const Tile& tile, float* sums, int height, int vectors) {
  const std::int64_t width = vectors * vector_length;
  const std::int64_t row_step = tile.turned ? 1 : tile.target_row;
  const std::int64_t column_step = tile.turned ? tile.target_row : 1;
  for (int r = 0; r < height; ++r) {
    for (std::int64_t c = 0; c < width; ++c) {
      sums[r * width + c] = c < tile.columns ? tile.target[r * row_step + c * column_step] : 0.0F;
    }
  }
}

void finish_odd(const Tile& tile, const float* sums, int height, int vectors) {
  const std::int64_t width = vectors * vector_length;
  const std::int64_t row_step = tile.turned ? 1 : tile.target_row;
  const std::int64_t column_step = tile.turned ? tile.target_row : 1;
  const std::int64_t columns = tile.columns;
  if (tile.activation == Activation::none && tile.turned) {
    for (int r = 0; r < height; ++r) {
      const float bias = tile.bias != nullptr ? tile.bias[r] : -0.0F;  // which adds nothing, not even to -0
      for (std::int64_t c = 0; c < columns; ++c) {
        tile.target[r + c * column_step] = sums[r * width + c] + bias;
      }
    }
    return;
  }
  if (tile.activation == Activation::none && !tile.turned) {
    // Without a question per element the compiler takes whole pieces of vectors.
    for (int r = 0; r < height; ++r) {
      float* target = tile.target + r * row_step;
      const float* from = sums + r * width;
      if (tile.bias != nullptr) {
        for (std::int64_t c = 0; c < columns; ++c) {
          target[c] = from[c] + tile.bias[c];
        }
      } else {
        for (std::int64_t c = 0; c < columns; ++c) {
          target[c] = from[c];
        }
      }
    }
    return;
  }
  for (std::int64_t c = 0; c < columns; ++c) {
    for (int r = 0; r < height; ++r) {
      const std::int64_t at = r * row_step + c * column_step;
      float value = sums[r * width + c];
      if (tile.bias != nullptr) {
        value += tile.turned ? tile.bias[r] : tile.bias[c];
      }
      tile.target[at] = activated(tile.activation, value, tile.saved, at);
    }
  }
}

}  // namespace twingrad::cpu::float32::detail
