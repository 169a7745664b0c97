// The reference of matrix products: operands as the kernel takes them, batch by batch.
#include <twingrad/check/reference_interpreter.h>
#include <twingrad/check/reference_sum.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace twingrad::check {

Product::Product(const Shape& a_shape, const Shape& b_shape, const Shape& output)
    : m(a_shape[a_shape.size() - 2]), k(a_shape.back()), n(b_shape.back()), batches(0) {
  const auto leading = [](const Shape& shape) {
    Shape result;
    for (int i = 0; i + 2 < shape.size(); ++i) {
      result.push_back(shape[i]);
    }
    return result;
  };
  const Shape batch = leading(output);
  const std::array<Window, 2> windows = {broadcast_window(leading(a_shape), batch),
                                         broadcast_window(leading(b_shape), batch)};
  for_each_element(batch, windows, [&](std::int64_t, const auto& offsets) {
    ++batches;
    a.push_back(offsets[0]);
    b.push_back(offsets[1]);
  });
}

namespace {

/// x with the range of float32 and fewer bits: an operand of a product in TF32.
double shortened(double x, int /*bits*/, const ErrorModel& /*model*/) {
  return x;
}
Dual shortened(const Dual& x, int /*bits*/, const ErrorModel& /*model*/) {
  return x;
}
Tracked shortened(const Tracked& x, int bits, const ErrorModel& model) {
  const RoundingScope scope(bits, one_by_one(model));
  // Below the smallest normal, which is float32's, steps no longer shrink with x: half of one is an absolute error.
  Rounding& rounding = Rounding::current();
  rounding.underflow =
      std::max(rounding.underflow, std::ldexp(1.0, std::numeric_limits<float>::min_exponent - 1 - bits));
  // A whole unit in the last place, not half of one: tensor cores may cut the other bits off instead of rounding.
  Tracked result = Tracked::unary(x, x.value, 1, 1.0);
  // Rounded to nearest it may leave the range that it stays in when cut off.
  const double largest = std::ldexp(2.0 - std::ldexp(1.0, 1 - bits), std::numeric_limits<float>::max_exponent - 1);
  result.overflow = result.overflow || (std::isfinite(x.value) && std::abs(x.value) > largest);
  return result;
}

/// A subnormal operand may count as 0.
template <class N>
N flushed(const N& x, Dtype dtype) {
  const double size = std::abs(value_of(x));
  const double normal = smallest_normal(dtype);
  if constexpr (std::is_same_v<N, Tracked>) {
    return size > 0 && size < normal ? Tracked::widened(x, size) : x;
  } else {
    return x;
  }
}

}  // namespace

template <class N>
std::vector<N> Interpreter<N>::product_operand(const Array<N>& array) const {
  std::vector<N> result = array.data;
  for (N& element : result) {
    if (model_.operand_bits != 0) {
      element = shortened(element, model_.operand_bits, model_);
    }
    if (model_.flushes_subnormals) {
      element = flushed(element, array.type.dtype);
    }
  }
  return result;
}

template <class N>
void Interpreter<N>::matmul() {
  const Product p(in(0).type.shape, in(1).type.shape, output_.type.shape);
  const std::vector<N> a = product_operand(in(0));
  const std::vector<N> b = product_operand(in(1));
  const N* bias = inputs_.size() > 2 ? in(2).data.data() : nullptr;
  for (std::int64_t i = 0; i < p.batches; ++i) {
    const auto at = static_cast<std::size_t>(i);
    matrix_product(p.m, p.n, p.k, a.data() + p.a[at] * p.m * p.k, b.data() + p.b[at] * p.k * p.n, bias,
                   output_.data.data() + i * p.m * p.n, model_.order);
  }
}

template void Interpreter<double>::matmul();
template void Interpreter<Dual>::matmul();
template void Interpreter<Tracked>::matmul();

}  // namespace twingrad::check
