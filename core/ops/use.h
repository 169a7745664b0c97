// One call of a public op function: its operands as tensors, and errors that name the function, the shapes and the
// caller's line. Every function that looks at shapes before it adds nodes starts with one. While it lives, the nodes
// made carry the caller's line.
//
//   Tensor flip(Operand x, int axis) {
//     const Use use("flip", {x});
//     return slice(use[0], use.axis(axis, use[0].rank()), ...);
//   }
#pragma once

#include <twingrad/graph/node.h>
#include <twingrad/tensor.h>

#include <array>
#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>

namespace twingrad {

class Use {
 public:
  /// Numbers become scalars with dtype and device of the first tensor beside them. Throws ArgumentError for an
  /// undefined tensor and DeviceError for mixed devices.
  Use(std::string_view name, std::initializer_list<Operand> operands);

  const Tensor& operator[](std::size_t i) const { return tensors_[i]; }
  /// Whether operand i was given as a number.
  bool is_number(std::size_t i) const { return is_number_[i]; }
  const std::source_location& where() const { return where_; }

  /// The axis from the front. Throws ShapeError.
  int axis(std::int64_t axis, int rank) const;
  /// Sorted axes from the front; all of them when `axes` is empty. Throws ShapeError.
  Axes axes(const Axes& axes, int rank) const;

  /// Throws DtypeError unless all operands are floating-point numbers of one dtype.
  void require_floats() const;
  /// Throws ShapeError unless all operands that are tensors have one shape.
  void require_same_shape() const;

  /// "mse_loss((2, 3) float32, (3) float32) at model.cpp:12".
  std::string describe() const;
  template <class E>
  [[noreturn]] void fail(const std::string& message) const {
    throw E(describe() + ": " + message);
  }

 private:
  static constexpr std::size_t max_operands = 5;

  std::string_view name_;
  std::source_location where_;
  WhereScope scope_;
  std::array<Tensor, max_operands> tensors_;
  std::array<bool, max_operands> is_number_{};
  std::size_t count_ = 0;
};

}  // namespace twingrad
