#include <twingrad/backend.h>
#include <twingrad/check/draws.h>
#include <twingrad/check/product_bits.h>
#include <twingrad/check/subject.h>
#include <twingrad/error.h>
#include <twingrad/graph/node.h>
#include <twingrad/ops.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace twingrad::check {
namespace {

/// Large enough for the kernels that large products get, small enough to take no time.
constexpr std::int64_t side = 64;

using Matrix = std::vector<double>;

template <class Element>
Matrix fill(std::int64_t rows, std::int64_t columns, const Element& element) {
  Matrix values;
  values.reserve(static_cast<std::size_t>(rows * columns));
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) {
      values.push_back(element(i, j));
    }
  }
  return values;
}

class Prober {
 public:
  Prober(Device device, Precision precision)
      : device_(device), precision_(precision), dtype_(product_dtype(precision)), bits_(significant_bits(dtype_)) {}

  ProductBits run() {
    ProductBits found;
    found.precision = precision_;
    try {
      require_precision(precision_, device_);
      found.read_of_a = bits_read(true);
    } catch (const DeviceError& error) {
      // A GPU without TF32 refuses when the product runs. All devices have the others: there it is a failure.
      if (precision_ != Precision::tf32) {
        throw;
      }
      found.missing = error.what();
      return found;
    }
    found.read_of_b = bits_read(false);
    found.declared = declared();
    found.sum_bits = log_large() + 1;
    found.lost_addends = lost_addends();
    found.wrong_products = wrong_products(found.declared);
    return found;
  }

 private:
  Tensor product(const Matrix& a, const Matrix& b, std::int64_t k) const {
    const AutocastScope scope(precision_);
    const TensorOptions options{.dtype = dtype_, .device = device_};
    return matmul(tensor(a, {side, k}, options), tensor(b, {k, side}, options));
  }

  /// How many bits of an operand the product reads: row (or column) i holds odd numbers of 1 + i % bits_ bits.
  int bits_read(bool of_a) const {
    const auto odd = [&](std::int64_t i) {
      return i % bits_ == 0 ? 1.0 : std::ldexp(1.0, static_cast<int>(i % bits_)) + 1;
    };
    const Matrix values = fill(side, side, [&](std::int64_t i, std::int64_t j) { return i == j ? odd(i) : 0.0; });
    const Matrix ones(static_cast<std::size_t>(side * side), 1.0);
    const auto result = (of_a ? product(values, ones, side) : product(ones, values, side)).to_vector<double>();
    int read = bits_;
    for (std::int64_t i = 0; i < side; ++i) {
      for (std::int64_t j = 0; j < side; ++j) {
        const std::int64_t at = of_a ? i : j;
        if (result[static_cast<std::size_t>(i * side + j)] != odd(at)) {
          read = std::min(read, static_cast<int>(at % bits_));
        }
      }
    }
    return read;
  }

  /// Of the large term's logarithm p: the sum of 2^p and 2^log_ones has no more bits than the dtype, and 2^p + 1 no
  /// more than float32.
  int log_large() const { return std::min(log_ones + bits_ - 1, significant_bits(Dtype::f32) - 1); }

  /// 2^p and 256 times 1, the large term in another place in each row. Each 1 alone would be lost beside 2^p in an
  /// accumulator of p bits; one of p + 1 bits keeps it.
  std::int64_t lost_addends() const {
    constexpr std::int64_t k = (std::int64_t{1} << log_ones) + 1;
    const int p = log_large();
    const double unit = dtype_ == Dtype::f16 ? std::ldexp(1.0, -log_ones) : 1.0;  // its largest number is 65504
    const Matrix a = fill(side, k, [&](std::int64_t i, std::int64_t j) {
      return (j == i * (k - 1) / (side - 1) ? std::ldexp(1.0, p) : 1.0) * unit;
    });
    const Matrix ones(static_cast<std::size_t>(k * side), 1.0);
    const auto result = product(a, ones, k).to_vector<double>();
    const double expected = (std::ldexp(1.0, p) + static_cast<double>(k - 1)) * unit;
    return std::count_if(result.begin(), result.end(), [&](double sum) { return sum != expected; });
  }

  /// Odd numbers with all the bits that are read times small ones.
  std::int64_t wrong_products(int declared_bits) const {
    const int bits = std::min(declared_bits, 13);
    const std::int64_t quarter = std::int64_t{1} << (bits - 2);
    const double unit = dtype_ == Dtype::f16 ? std::ldexp(1.0, -bits) : 1.0;
    Draws draws(1, stream_of(name(precision_), 0));
    const auto sign = [&] { return draws.chance(0.5) ? 1.0 : -1.0; };
    const Matrix a = fill(side, side, [&](std::int64_t, std::int64_t) {
      return sign() * static_cast<double>(2 * (quarter + draws.below(quarter)) + 1) * unit;
    });
    const Matrix b =
        fill(side, side, [&](std::int64_t, std::int64_t) { return sign() * static_cast<double>(draws.between(1, 3)); });
    const auto result = product(a, b, side).to_vector<double>();
    std::int64_t wrong = 0;
    for (std::int64_t i = 0; i < side; ++i) {
      for (std::int64_t j = 0; j < side; ++j) {
        double sum = 0;
        for (std::int64_t k = 0; k < side; ++k) {
          sum += a[static_cast<std::size_t>(i * side + k)] * b[static_cast<std::size_t>(k * side + j)];
        }
        wrong += result[static_cast<std::size_t>(i * side + j)] == round_to(sum, dtype_) ? 0 : 1;
      }
    }
    return wrong;
  }

  int declared() const {
    const Matrix zeros(static_cast<std::size_t>(side * side), 0.0);
    const Tensor use = product(zeros, zeros, side);
    const TensorType type{Shape{side, side}, dtype_};
    const std::vector<Array<double>> inputs(2, Array<double>{type, zeros, {}});
    const ErrorModel model = model_of(*use.node()->op, use.node()->attributes, inputs, type, device_);
    return model.operand_bits == 0 ? bits_ : std::min(model.operand_bits, bits_);
  }

  static constexpr int log_ones = 8;

  Device device_;
  Precision precision_;
  Dtype dtype_;
  int bits_;
};

}  // namespace

std::vector<ProductBits> product_bits(Device device) {
  backend(device);  // throws when the device is not there
  std::vector<ProductBits> result;
  for (const Precision precision : {Precision::fp32, Precision::tf32, Precision::mixed_bf16, Precision::mixed_fp16}) {
    result.push_back(Prober(device, precision).run());
  }
  return result;
}

std::string to_string(const ProductBits& found) {
  std::string text = std::string(name(found.precision));
  if (!found.missing.empty()) {
    return text + ": none: " + found.missing;
  }
  text += " reads ";
  text += found.read_of_a == found.read_of_b
              ? std::to_string(found.read_of_a)
              : std::to_string(found.read_of_a) + " and " + std::to_string(found.read_of_b);
  text += " bits (" + std::to_string(found.declared) + " declared), ";
  text += found.lost_addends == 0 ? "sums keep " + std::to_string(found.sum_bits) + " bits"
                                  : std::to_string(found.lost_addends) + " sums LOSE small terms";
  if (found.wrong_products != 0) {
    text += ", " + std::to_string(found.wrong_products) + " exact products are WRONG";
  }
  return text;
}

}  // namespace twingrad::check
