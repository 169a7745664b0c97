// An op of your own, outside the library, in one file: its forward kernel, its gradient rule, its type. It is used like
// a built-in op, differentiated, planned, and covered by the cross-check (check/check.h): its kernels against its CPU
// kernel in float64, its gradient rule against differences of the forward. examples/custom_op.cpp is a whole program.
//
//   static const tg::CustomOp cube({
//       .name = "cube",
//       .gradient = [](const tg::GradientCall& call) -> std::vector<tg::Tensor> {
//         return {call.cotangent * 3.0 * tg::square(call.inputs[0])};
//       },
//       .custom_cpu = [](const tg::KernelCall& call) { tg::map_elements(call, [](auto x) { return x * x * x; }); },
//   });
//   tg::Tensor y = cube({x});
//
// On CUDA the row's custom_cuda is called with the same views and the device's stream; write it in a .cu file of yours:
//
//   void cube_cuda(const tg::KernelCall& call, void* stream) {
//     const auto n = call.output.numel();
//     cube_kernel<<<(n + 255) / 256, 256, 0, static_cast<cudaStream_t>(stream)>>>(
//         call.inputs[0].as<const float>(), call.output.as<float>(), n);
//   }                                     // queue work on the stream and return; the launch is checked by the caller
//
// A step may be captured and replayed as one CUDA graph, custom_cuda included: it is not called for a replay then, so
// what it queues may depend on the call alone.
#pragma once

#include <twingrad/op.h>
#include <twingrad/tensor.h>

#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <type_traits>
#include <utility>

namespace twingrad {

/// A row that the library may use. The graph points to it: it must outlive every tensor made with it, so make it a
/// static constant.
class CustomOp {
 public:
  /// Takes a row (op.h) and completes it: the family is `custom`; without `infer` the output is as the first input.
  /// Kernels get contiguous inputs and a contiguous output of at least one element that may hold anything before.
  /// `custom_cpu` must take float64 too, which the checks run on. Throws ArgumentError when the name is missing or that
  /// of a built-in op, or when there is no CPU kernel.
  explicit CustomOp(const Op& row);
  CustomOp(const CustomOp&) = delete;
  CustomOp& operator=(const CustomOp&) = delete;

  /// A use of the op: a node with the line of the caller. Numbers take dtype and device of the tensors. Throws what
  /// `infer` throws, ArgumentError for a wrong number of inputs, DeviceError for inputs on two devices.
  Tensor operator()(std::initializer_list<Operand> inputs, Attributes attributes = {}) const {
    return use(std::span(inputs.begin(), inputs.size()), std::move(attributes));
  }

  const Op& row() const { return row_; }

 private:
  Tensor use(std::span<const Operand> inputs, Attributes attributes) const;
  Op row_;
};

/// For CPU kernels: output[i] = function(inputs[0][i], inputs[1][i], ...) for floating-point inputs with the output's
/// shape and dtype; 16-bit floats are computed in float. Throws DtypeError or ShapeError for others.
template <class Function>
void map_elements(const KernelCall& call, const Function& function);

// ---------------------------------------------------------------------------------------------------------------------

namespace detail {

void require_elementwise(const KernelCall& call);

template <class T, class Function, std::size_t... j>
void map_elements_of(const KernelCall& call, const Function& function, std::index_sequence<j...>) {
  using Number = compute_t<T>;
  const std::int64_t count = call.output.numel();
  for (std::int64_t i = 0; i < count; ++i) {
    call.output.as<T>()[i] = static_cast<T>(function(static_cast<Number>(call.inputs[j].as<T>()[i])...));
  }
}

template <class T, class Function>
void map_elements_with(const KernelCall& call, const Function& function) {
  using Number = compute_t<T>;
  if constexpr (std::is_invocable_v<Function, Number>) {
    map_elements_of<T>(call, function, std::make_index_sequence<1>{});
  } else if constexpr (std::is_invocable_v<Function, Number, Number>) {
    map_elements_of<T>(call, function, std::make_index_sequence<2>{});
  } else {
    static_assert(std::is_invocable_v<Function, Number, Number, Number>,
                  "map_elements takes functions of 1 to 3 numbers");
    map_elements_of<T>(call, function, std::make_index_sequence<3>{});
  }
}

}  // namespace detail

template <class Function>
void map_elements(const KernelCall& call, const Function& function) {
  detail::require_elementwise(call);
  visit(call.output.dtype, [&]<class T>(Type<T>) {
    if constexpr (std::is_floating_point_v<compute_t<T>>) {
      detail::map_elements_with<T>(call, function);
    }
  });
}

}  // namespace twingrad
