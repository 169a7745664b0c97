#include <twingrad/kernel_call.h>
#include <twingrad/shape.h>

#include <algorithm>
#include <string_view>

namespace twingrad {

std::string to_string(const std::source_location& where) {
  const std::string_view file = where.file_name();
  const auto slash = file.find_last_of('/');
  return std::string(slash == std::string_view::npos ? file : file.substr(slash + 1)) + ":" +
         std::to_string(where.line());
}

void Dims::erase(int i) {
  std::copy(begin() + i + 1, end(), begin() + i);
  --size_;
}

void Dims::insert(int i, std::int64_t value) {
  push_back(0);
  std::copy_backward(begin() + i, end() - 1, end());
  (*this)[i] = value;
}

bool Dims::contains(std::int64_t value) const {
  return std::find(begin(), end(), value) != end();
}

std::int64_t numel(const Shape& shape) {
  std::int64_t count = 1;
  for (const std::int64_t length : shape) {
    count *= length;
  }
  return count;
}

Strides contiguous_strides(const Shape& shape) {
  Strides strides = Dims::filled(shape.size(), 1);
  for (int i = shape.size() - 2; i >= 0; --i) {
    strides[i] = strides[i + 1] * std::max<std::int64_t>(shape[i + 1], 1);
  }
  return strides;
}

std::string to_string(const Dims& dims) {
  std::string text = "(";
  for (int i = 0; i < dims.size(); ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(dims[i]);
  }
  return text + ")";
}

bool broadcasts_to(const Shape& from, const Shape& to) {
  const int shift = to.size() - from.size();
  if (shift < 0) {
    return false;
  }
  for (int i = 0; i < from.size(); ++i) {
    if (from[i] != to[i + shift] && from[i] != 1) {
      return false;
    }
  }
  return true;
}

Shape broadcast(const Shape& a, const Shape& b, std::string_view op) {
  Shape result = Dims::filled(std::max(a.size(), b.size()), 1);
  for (int i = 0; i < result.size(); ++i) {
    const int from_a = i - (result.size() - a.size());
    const int from_b = i - (result.size() - b.size());
    const std::int64_t length_a = from_a < 0 ? 1 : a[from_a];
    const std::int64_t length_b = from_b < 0 ? 1 : b[from_b];
    if (length_a != length_b && length_a != 1 && length_b != 1) {
      throw ShapeError(std::string(op) + ": shapes " + to_string(a) + " and " + to_string(b) +
                       " do not broadcast: axis " + std::to_string(i - result.size()) + " is " +
                       std::to_string(length_a) + " and " + std::to_string(length_b) +
                       "; lengths must be equal or 1 (reshape or unsqueeze one of them)");
    }
    result[i] = length_a == 1 ? length_b : length_a;
  }
  return result;
}

int normalize_axis(std::int64_t axis, int rank, std::string_view op) {
  if (axis < -rank || axis >= rank) {
    throw ShapeError(std::string(op) + ": axis " + std::to_string(axis) + " of a tensor of " + std::to_string(rank) +
                     (rank == 1 ? " axis" : " axes") +
                     (rank == 0 ? "; a scalar has none"
                                : "; give one from " + std::to_string(-rank) + " to " + std::to_string(rank - 1)));
  }
  return static_cast<int>(axis < 0 ? axis + rank : axis);
}

Axes normalize_axes(const Axes& axes, int rank, std::string_view op) {
  Axes result;
  if (axes.empty()) {
    for (int i = 0; i < rank; ++i) {
      result.push_back(i);
    }
    return result;
  }
  for (const std::int64_t axis : axes) {
    const int normal = normalize_axis(axis, rank, op);
    if (result.contains(normal)) {
      throw ShapeError(std::string(op) + ": axis " + std::to_string(normal) + " is given twice in " + to_string(axes));
    }
    result.push_back(normal);
  }
  std::sort(result.begin(), result.end());
  return result;
}

bool TensorView::contiguous() const {
  if (numel() == 0) {
    return true;
  }
  std::int64_t expected = 1;
  for (int i = shape.size() - 1; i >= 0; --i) {
    if (shape[i] != 1 && strides[i] != expected) {
      return false;
    }
    expected *= shape[i];
  }
  return true;
}

}  // namespace twingrad
