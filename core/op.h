// One row per op: everything that is true of the op on every device. The rows stand in ops/*.cpp, one file per family,
// each with the public function that uses it. What a device adds is the kernel in its family's file.
#pragma once

#include <twingrad/kernel_call.h>

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace twingrad {

class Tensor;

/// Shape and dtype of a tensor, as shape rules see and give it.
struct TensorType {
  Shape shape;
  Dtype dtype = Dtype::f32;
};

/// A window on memory in elements: how a view op shows its input.
struct Window {
  std::int64_t offset = 0;
  Shape shape;
  Strides strides;
};

/// What a gradient rule gets: the use's inputs, its output, the cotangent (same shape and dtype as the output), and
/// which inputs need a gradient.
struct GradientCall {
  std::span<const Tensor> inputs;
  const Tensor& output;
  const Tensor& cotangent;
  const Attributes& attributes;
  std::span<const bool> needed;
};

/// Where sample inputs of one op are drawn from by the generated tests, and where its gradient is not defined.
struct Domain {
  double low = -2.0;
  double high = 2.0;
  /// Values at which the op is not differentiable; samples keep clear of them. Static memory, as rows are constants
  /// that must be there before the first dynamic initialiser runs.
  std::span<const double> kinks{};
};

/// One sample use of an op for generated tests: shapes and dtypes of the inputs with attributes. Inputs of integer
/// dtype are drawn from [0, index_limit).
struct Sample {
  std::vector<TensorType> inputs{};
  Attributes attributes{};
  std::int64_t index_limit = 1;
};

struct Op {
  std::string_view name{};
  Family family = Family::view;
  int kernel = 0;  ///< selects within the family
  int min_inputs = 1;
  int max_inputs = 1;
  std::string_view summary{};  ///< one line for the op reference: the formula

  /// Type of the output. Throws ShapeError, DtypeError or ArgumentError; the caller adds op name and source line.
  TensorType (*infer)(std::span<const TensorType> inputs, const Attributes& attributes) = nullptr;

  /// Gradients of the inputs, written in ops; an undefined Tensor where there is none. nullptr: not differentiable,
  /// and gradients() says so when asked through it; `constant` ops (comparisons, argmax) pass none and are no error.
  std::vector<Tensor> (*gradient)(const GradientCall& call) = nullptr;
  bool constant = false;

  /// Family::view only: turns the window on the input into the one that shows the output, or gives false when the input
  /// must be made contiguous first.
  bool (*view)(Window& window, const TensorType& output, const Attributes& attributes) = nullptr;

  Domain domain{};
  /// Sample uses; nullptr: the generated tests derive them from the arity.
  std::vector<Sample> (*samples)() = nullptr;

  /// Floating-point operations of one use, for plans and benchmarks; nullptr: one per output element.
  double (*flops)(std::span<const TensorType> inputs, const TensorType& output) = nullptr;

  /// Family::custom only: one kernel per device kind, given the call and the device's stream (nullptr on the CPU).
  void (*custom_cpu)(const KernelCall& call) = nullptr;
  void (*custom_cuda)(const KernelCall& call, void* stream) = nullptr;
  /// Family::custom only: the largest error of one output element in units in the last place, for inputs that are
  /// exact. The cross-check holds the kernels to it; the reference is custom_cpu in float64.
  double ulps = 4;
};

/// All built-in rows, in the order of the op reference.
std::vector<const Op*> all_ops();

}  // namespace twingrad
