// Shapes, strides and axis lists: up to eight integers, stored in place.
#pragma once

#include <twingrad/error.h>

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace twingrad {

/// At most this many axes.
inline constexpr int max_rank = 8;

/// A short list of integers, used as shape (rows first), as strides (in elements) and as axis list.
class Dims {
 public:
  Dims() = default;
  Dims(std::initializer_list<std::int64_t> values) : Dims(std::span(values.begin(), values.size())) {}
  explicit Dims(std::span<const std::int64_t> values) {
    for (const std::int64_t value : values) {
      push_back(value);
    }
  }
  /// `count` times `value`.
  static Dims filled(int count, std::int64_t value) {
    Dims dims;
    for (int i = 0; i < count; ++i) {
      dims.push_back(value);
    }
    return dims;
  }

  int size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::int64_t operator[](int i) const { return values_[static_cast<std::size_t>(i)]; }
  std::int64_t& operator[](int i) { return values_[static_cast<std::size_t>(i)]; }
  std::int64_t back() const { return (*this)[size_ - 1]; }
  const std::int64_t* begin() const { return values_.data(); }
  const std::int64_t* end() const { return values_.data() + size_; }
  std::int64_t* begin() { return values_.data(); }
  std::int64_t* end() { return values_.data() + size_; }

  /// Throws ShapeError beyond max_rank.
  void push_back(std::int64_t value) {
    if (size_ == max_rank) {
      throw ShapeError("a tensor has at most 8 axes");
    }
    values_[static_cast<std::size_t>(size_++)] = value;
  }
  void erase(int i);
  void insert(int i, std::int64_t value);
  bool contains(std::int64_t value) const;

  friend bool operator==(const Dims& a, const Dims& b) {
    if (a.size_ != b.size_) {
      return false;
    }
    for (int i = 0; i < a.size_; ++i) {
      if (a[i] != b[i]) {
        return false;
      }
    }
    return true;
  }

 private:
  std::array<std::int64_t, max_rank> values_{};
  int size_ = 0;
};

using Shape = Dims;
using Strides = Dims;
using Axes = Dims;

/// Number of elements; 1 for the scalar shape (), 0 where an axis is empty.
std::int64_t numel(const Shape& shape);

/// Row-major strides in elements.
Strides contiguous_strides(const Shape& shape);

/// "(2, 3)", "()".
std::string to_string(const Dims& dims);

/// NumPy's broadcast of two shapes. Throws ShapeError that names `op` and both shapes.
Shape broadcast(const Shape& a, const Shape& b, std::string_view op);

/// Whether `from` broadcasts to exactly `to`.
bool broadcasts_to(const Shape& from, const Shape& to);

/// Maps a negative axis from the end. Throws ShapeError that names `op` when out of range.
int normalize_axis(std::int64_t axis, int rank, std::string_view op);

/// Sorted, distinct, non-negative axes; all axes when `axes` is empty. Throws ShapeError.
Axes normalize_axes(const Axes& axes, int rank, std::string_view op);

}  // namespace twingrad
