// Softmax and its relatives, and the normalisations: one result row or value per row of the last axis.
#include "cuda/rows.cuh"

#include "cuda/families.h"

#include <twingrad/kernels.h>

namespace twingrad::cuda {
namespace {

using rows::Arguments;
using rows::LargestOf;
using rows::SumOf;

template <class Row>
__device__ auto largest(const Row& row) {
  return row.template combine<LargestOf>([](auto x) { return x; });
}
template <class Row, class A>
__device__ A sum_of_exponentials(const Row& row, A shift) {
  return row.template combine<SumOf>([shift](A x) { return std::exp(x - shift); });
}

struct Softmax {
  template <class T, class Row>
  __device__ static void run(const Row& row, std::int64_t index, const Arguments<T>& arguments) {
    using A = compute_t<T>;
    const A shift = largest(row);
    const A sum = sum_of_exponentials(row, shift);
    T* out = arguments.out + index * arguments.n;
    row.each([&](std::int64_t i, A x) { out[i] = from_compute<T>(std::exp(x - shift) / sum); });
  }
};

struct LogSoftmax {
  template <class T, class Row>
  __device__ static void run(const Row& row, std::int64_t index, const Arguments<T>& arguments) {
    using A = compute_t<T>;
    const A shift = largest(row);
    const A log_sum = std::log(sum_of_exponentials(row, shift));
    T* out = arguments.out + index * arguments.n;
    row.each([&](std::int64_t i, A x) { out[i] = from_compute<T>(x - shift - log_sum); });
  }
};

struct LogSumExp {
  template <class T, class Row>
  __device__ static void run(const Row& row, std::int64_t index, const Arguments<T>& arguments) {
    using A = compute_t<T>;
    const A shift = largest(row);
    // Of an infinite or NaN maximum the sum has nothing to add, and inf - inf would make it NaN.
    const A result = isfinite(shift) ? shift + std::log(sum_of_exponentials(row, shift)) : shift;
    if (row.thread == 0) {
      arguments.out[index] = from_compute<T>(result);
    }
  }
};

struct LayerNorm {
  template <class T, class Row>
  __device__ static void run(const Row& row, std::int64_t index, const Arguments<T>& arguments) {
    using A = compute_t<T>;
    const A n = static_cast<A>(arguments.n);
    const A mean = row.template combine<SumOf>([](A x) { return x; }) / n;
    const A variance = row.template combine<SumOf>([mean](A x) { return (x - mean) * (x - mean); }) / n;
    const A deviation = std::sqrt(variance + static_cast<A>(arguments.epsilon));
    T* out = arguments.out + index * arguments.n;
    row.each([&](std::int64_t i, A x) {
      out[i] =
          from_compute<T>((x - mean) / deviation * to_compute(arguments.weight[i]) + to_compute(arguments.bias[i]));
    });
  }
};

struct RmsNorm {
  template <class T, class Row>
  __device__ static void run(const Row& row, std::int64_t index, const Arguments<T>& arguments) {
    using A = compute_t<T>;
    const A mean_square = row.template combine<SumOf>([](A x) { return x * x; }) / static_cast<A>(arguments.n);
    const A root = std::sqrt(mean_square + static_cast<A>(arguments.epsilon));
    T* out = arguments.out + index * arguments.n;
    row.each([&](std::int64_t i, A x) { out[i] = from_compute<T>(x / root * to_compute(arguments.weight[i])); });
  }
};

template <class T>
void run(const KernelCall& call, Context& context) {
  const TensorView& x = call.inputs[0];
  Arguments<T> arguments{};
  arguments.x = static_cast<const T*>(x.data);
  arguments.out = call.output.as<T>();
  arguments.n = x.shape.back();
  arguments.rows = 1;
  for (int axis = 0; axis + 1 < x.shape.size(); ++axis) {
    arguments.rows *= x.shape[axis];
  }
  arguments.epsilon = call.attributes.reals[0];
  if (call.inputs.size() > 1) {
    arguments.weight = static_cast<const T*>(call.inputs[1].data);
  }
  if (call.inputs.size() > 2) {
    arguments.bias = static_cast<const T*>(call.inputs[2].data);
  }
  switch (static_cast<Rows>(call.op->kernel)) {
    case Rows::softmax:
      return rows::run<Softmax>(call, context, arguments);
    case Rows::log_softmax:
      return rows::run<LogSoftmax>(call, context, arguments);
    case Rows::logsumexp:
      return rows::run<LogSumExp>(call, context, arguments);
    case Rows::layer_norm:
      return rows::run<LayerNorm>(call, context, arguments);
    case Rows::rms_norm:
      return rows::run<RmsNorm>(call, context, arguments);
  }
}

}  // namespace

void run_rows(const KernelCall& call, Context& context) {
  visit(call.inputs[0].dtype, [&]<class T>(Type<T>) {
    if constexpr (std::is_floating_point_v<compute_t<T>>) {
      run<T>(call, context);
    } else {
      throw DtypeError(std::string(call.op->name) + ": takes floating dtypes, not " +
                       std::string(name(call.inputs[0].dtype)));
    }
  });
}

}  // namespace twingrad::cuda
