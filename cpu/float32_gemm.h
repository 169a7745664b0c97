// Our own float32 product: c = a b (+ bias) for row- and column-major operands, with relu or its gradient applied
// before a result leaves its register. Every result is a sum over k in order, cut into chunks only where k is long and
// the result small, so the bits depend on the shape and layout alone, not on threads. matmul.cpp takes it where it was
// measured to be no slower than oneDNN.
//
//   const Float32Gemm gemm({.m = 100, .n = 16, .k = 16, .a_row = 16, .a_column = 1, .b_row = 1, .b_column = 16});
//   gemm.run({.a = x, .b = w, .bias = bias, .saved = nullptr, .c = y});
#pragma once

#include <twingrad/error_model.h>

#include <algorithm>
#include <cstdint>

#include "cpu/float32_tile.h"

namespace twingrad::cpu {

/// Sizes, and strides in elements; one of each operand's strides is 1. c is contiguous. All sizes are at least 1.
struct Float32Product {
  std::int64_t m = 1, n = 1, k = 1;
  std::int64_t a_row = 1, a_column = 1;
  std::int64_t b_row = 1, b_column = 1;
};

struct Float32Operands {
  const float* a = nullptr;
  const float* b = nullptr;
  const float* bias = nullptr;   ///< n elements, or null
  const float* saved = nullptr;  ///< m x n, for Activation::relu_grad
  float* c = nullptr;
};

/// [0, length) in the fewest parts of at most `most`, all of nearly the same length.
struct Cut {
  Cut(std::int64_t length, std::int64_t most) : Cut(length, most, length <= most ? 1 : (length + most - 1) / most) {}
  static Cut into(std::int64_t parts, std::int64_t length) { return {length, 0, parts}; }
  std::int64_t begin(std::int64_t part) const { return shorter * part + std::min(part, longer); }

  std::int64_t count;
  std::int64_t shorter;  ///< length of the parts but for
  std::int64_t longer;   ///< so many first ones, which have one more

 private:
  Cut(std::int64_t length, std::int64_t, std::int64_t parts)
      : count(parts), shorter(parts == 1 ? length : length / parts), longer(parts == 1 ? 0 : length % parts) {}
};

class Float32Gemm {
 public:
  explicit Float32Gemm(const Float32Product& product, float32::Activation activation = float32::Activation::none);

  /// Whether these kernels are the ones to take; else oneDNN is faster, by measurement.
  static bool suits(const Float32Product& product);
  /// Whether they should also apply the activation, where they are the ones to take.
  static bool suits(const Float32Product& product, float32::Activation activation);

  void run(const Float32Operands& operands) const;

  /// How a result's terms are summed.
  SumOrder order() const;

 private:
  /// Results [row, row_end) x [column, column_end) of terms [k, k_end), in the orientation that the tiles have.
  struct Part {
    std::int64_t row, row_end, column, column_end, k, k_end;
  };
  /// Where results go: c itself with bias and activation, or partial sums of one chunk.
  struct Target {
    float* data = nullptr;
    std::int64_t row = 0;
    bool turned = false;
    const float* bias = nullptr;
    const float* saved = nullptr;
    float32::Activation activation = float32::Activation::none;
    bool resumed = false;
  };
  /// Where a block of tiles finds its rows of the left operand.
  struct Left {
    const float* data;
    std::int64_t row, step;
    bool tiled;  ///< tile after tile, k after k, row after row
  };

  void orient();
  int threads() const;
  void run_whole(const Float32Operands& operands) const;
  void run_chunks(const Float32Operands& operands) const;
  void compute_all_terms(const float* left, const float* right, const Part& part, const Target& target) const;
  void compute(const float* left, const float* right, const Part& part, const Target& target) const;
  std::int64_t tiles_of_block(std::int64_t depth, std::int64_t columns) const;
  Left left_block(const float* left, const Part& part, const Cut& tiles, std::int64_t first, std::int64_t end) const;
  const float* bias_of(const Target& target, std::int64_t column, std::int64_t columns, float* padded) const;
  bool splits_columns(std::int64_t parts) const;
  void pack_panel(const float* right, const Part& part, std::int64_t column, std::int64_t column_end,
                  float* packed) const;

  Float32Product product_;
  float32::Activation activation_;
  // The tiles' orientation: vectors lie along n, or along m when turned.
  bool turned_ = false;
  std::int64_t rows_ = 0, columns_ = 0;
  std::int64_t left_row_ = 0, left_step_ = 0;
  std::int64_t right_step_ = 0, right_column_ = 0;
  bool pack_left_ = false;
  bool pack_right_ = false;
  int vectors_ = 1;  // of a panel
  std::int64_t chunk_ = 0;
  int worth_ = 1;  // threads that the work is worth
};

}  // namespace twingrad::cpu
