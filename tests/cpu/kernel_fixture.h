// Runs single kernels of the CPU backend on host values: operands in several memory layouts, results as doubles.
//
//   KernelTest::KernelOperand x = operand(f32, {3, 5}, Layout::transposed);
//   Result y = run(op(Family::reduce, Reduce::sum), {x}, f32, {3}, {.ints = {1}});
#pragma once

#include <gtest/gtest.h>
#include <twingrad/backend.h>
#include <twingrad/op.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <source_location>
#include <string>
#include <vector>

namespace twingrad {

/// How an operand lies in memory. `gapped`: every second element of the last axis. `reversed`: all strides negative.
enum class Layout { contiguous, transposed, gapped, reversed };
inline constexpr Layout all_layouts[] = {Layout::contiguous, Layout::transposed, Layout::gapped, Layout::reversed};

inline constexpr Dtype all_dtypes[] = {f32, f64, bf16, f16, i32, i64, u8, boolean};
inline constexpr Dtype float_dtypes[] = {f32, f64, bf16, f16};

/// Half a unit in the last place, relative.
inline double roundoff(Dtype dtype) {
  return dtype == f64 ? 0x1p-53 : (dtype == f32 ? 0x1p-24 : (dtype == f16 ? 0x1p-11 : 0x1p-8));
}
/// The type sums are kept in.
inline double sum_roundoff(Dtype dtype) {
  return dtype == f64 ? 0x1p-53 : 0x1p-24;
}

inline double load(const void* data, Dtype dtype, std::int64_t i) {
  return visit(dtype, [&]<class T>(Type<T>) {
    return static_cast<double>(static_cast<compute_t<T>>(static_cast<const T*>(data)[i]));
  });
}
inline void store(void* data, Dtype dtype, std::int64_t i, double value) {
  visit(dtype, [&]<class T>(Type<T>) { static_cast<T*>(data)[i] = static_cast<T>(static_cast<compute_t<T>>(value)); });
}

/// A view with the memory it looks at, and its values in row-major order as the dtype holds them.
struct KernelOperand {
  std::vector<std::byte> memory;
  TensorView view;
  std::vector<double> values;
};

/// A kernel's output.
struct Result {
  std::vector<std::byte> memory;
  std::vector<double> values;
};

class KernelTest : public testing::Test {
 protected:
  /// `values` in row-major order, laid out as asked.
  static KernelOperand operand(Dtype dtype, const Shape& shape, Layout layout, const std::vector<double>& values) {
    KernelOperand result;
    const int rank = shape.size();
    Shape stored = shape;
    if (layout == Layout::transposed) {
      std::reverse(stored.begin(), stored.end());
    }
    Strides strides = contiguous_strides(stored);
    if (layout == Layout::transposed) {
      std::reverse(strides.begin(), strides.end());
    }
    std::int64_t origin = 0;
    for (int axis = 0; axis < rank; ++axis) {
      if (layout == Layout::gapped) {
        strides[axis] *= 2;
      } else if (layout == Layout::reversed) {
        origin += strides[axis] * std::max<std::int64_t>(0, shape[axis] - 1);
        strides[axis] = -strides[axis];
      }
    }
    const std::int64_t n = numel(shape);
    result.memory.resize(static_cast<std::size_t>(2 * n + 1) * size_of(dtype));
    result.view = {result.memory.data() + static_cast<std::size_t>(origin) * size_of(dtype), dtype, shape, strides};
    for (std::int64_t i = 0; i < n; ++i) {
      std::int64_t offset = origin;
      std::int64_t rest = i;
      for (int axis = rank - 1; axis >= 0; --axis) {
        offset += rest % shape[axis] * strides[axis];
        rest /= shape[axis];
      }
      store(result.memory.data(), dtype, offset, values[static_cast<std::size_t>(i)]);
      result.values.push_back(load(result.memory.data(), dtype, offset));
    }
    return result;
  }

  /// Random values in [-2, 2), rounded down for integers; bool gets both.
  KernelOperand operand(Dtype dtype, const Shape& shape, Layout layout = Layout::contiguous, double low = -2.0,
                        double high = 2.0) {
    std::uniform_real_distribution<double> draw(dtype == u8 || dtype == boolean ? 0.0 : low, high);
    std::vector<double> values(static_cast<std::size_t>(numel(shape)));
    for (double& value : values) {
      value = is_floating(dtype) ? draw(generator_) : std::floor(draw(generator_));
    }
    return operand(dtype, shape, layout, values);
  }

  /// The same values seen with stride 0 along a new length of `axis`, which must be 1.
  static void broadcast(KernelOperand& x, int axis, std::int64_t length) {
    std::int64_t inner = 1;
    for (int i = axis + 1; i < x.view.shape.size(); ++i) {
      inner *= x.view.shape[i];
    }
    std::vector<double> values;
    for (std::int64_t begin = 0; begin < static_cast<std::int64_t>(x.values.size()); begin += inner) {
      for (std::int64_t copy = 0; copy < length; ++copy) {
        values.insert(values.end(), x.values.begin() + begin, x.values.begin() + begin + inner);
      }
    }
    x.values = values;
    x.view.shape[axis] = length;
    x.view.strides[axis] = 0;
  }

  template <class Kernel>
  static Op op(Family family, Kernel kernel) {
    Op row;
    row.name = "tested_op";
    row.family = family;
    row.kernel = static_cast<int>(kernel);
    return row;
  }

  /// Of the inputs, in the order that prepared kernels take; the output's is the next.
  static std::vector<void*> addresses_of(const KernelCall& call) {
    std::vector<void*> addresses;
    for (const TensorView& input : call.inputs) {
      addresses.push_back(input.data);
    }
    return addresses;
  }

  /// Runs one kernel into memory that is full of NaN (all bits set), with a guard behind the output; and the one that
  /// plans run in its place, which must leave the same bytes there.
  Result run(const Op& row, const std::vector<TensorView>& inputs, Dtype dtype, const Shape& shape,
             const Attributes& attributes = {}) {
    Result result;
    const std::size_t bytes = static_cast<std::size_t>(numel(shape)) * size_of(dtype);
    result.memory.assign(bytes + guard, std::byte{0xff});
    KernelCall call;
    call.op = &row;
    call.attributes = attributes;
    call.inputs = inputs;
    call.output = {result.memory.data(), dtype, shape, contiguous_strides(shape)};
    backend_->run(call);
    backend_->synchronize();
    for (std::size_t i = bytes; i < bytes + guard; ++i) {
      EXPECT_EQ(result.memory[i], std::byte{0xff}) << "written beyond the output";
    }
    std::vector<std::byte> prepared(bytes + guard, std::byte{0xff});
    std::vector<void*> addresses = addresses_of(call);
    addresses.push_back(prepared.data());
    backend_->prepare(call)->run(addresses, std::source_location::current());
    backend_->synchronize();
    const auto differs = std::mismatch(prepared.begin(), prepared.end(), result.memory.begin()).first;
    EXPECT_EQ(differs - prepared.begin(), static_cast<std::ptrdiff_t>(prepared.size()))
        << "the first byte (the guard begins at " << bytes << ") that the prepared kernel leaves different";
    for (std::int64_t i = 0; i < numel(shape); ++i) {
      result.values.push_back(load(result.memory.data(), dtype, i));
    }
    return result;
  }

  std::unique_ptr<Backend> backend_ = make_cpu_backend();
  std::mt19937_64 generator_{20240607};

 private:
  static constexpr std::size_t guard = 64;
};

/// Equal values, NaN being equal to NaN.
inline bool same(double a, double b) {
  return a == b || (std::isnan(a) && std::isnan(b));
}

}  // namespace twingrad
