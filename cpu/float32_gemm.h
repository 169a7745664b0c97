// Our own float32 product: c = a b (+ bias) for row- and column-major operands, with relu or its gradient applied
// before a result leaves its register. Every result is a sum over k in order, cut into chunks only where k is long and
// the result small, so the bits depend on the shape and layout alone, not on threads. matmul.cpp takes it where it was
// measured to be no slower than oneDNN.
//
//   const Float32Gemm gemm({.m = 100, .n = 16, .k = 16, .a_row = 16, .a_column = 1, .b_row = 1, .b_column = 16});
//   gemm.run({.a = x, .b = w, .bias = bias, .saved = nullptr, .c = y});
#pragma once

#include <twingrad/error_model.h>

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

class Float32Gemm {
 public:
  explicit Float32Gemm(const Float32Product& product, float32::Activation activation = float32::Activation::none);

  /// Whether these kernels are the ones to take; else oneDNN is faster, by measurement.
  static bool suits(const Float32Product& product);

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
  };

  void orient();
  int threads() const;
  void run_whole(const Float32Operands& operands) const;
  void run_chunks(const Float32Operands& operands) const;
  void compute(const float* left, const float* right, const Part& part, const Target& target) const;
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
