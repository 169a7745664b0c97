// What products are computed in, said in one place: by a model (nn::Module::set_precision) or by a scope. Parameters
// stay float32 whatever is chosen: they are the master weights that the optimizer updates; the narrow copies that
// products read are made in the graph, and gradients come back in float32 through them. docs/precision.md tells more.
//
//   const tg::Precision precision = tg::parse_precision("bf16");
//   tg::require_precision(precision, device);                  // TF32 on the CPU: an error that says so
//   std::cout << tg::describe(precision) << '\n';
//   model.set_precision(precision);                            // that is all; the training loop stays as it is
#pragma once

#include <twingrad/device.h>
#include <twingrad/tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace twingrad {

enum class Precision : std::uint8_t {
  fp32,        ///< float32 operands, all 24 bits of them: the default
  tf32,        ///< float32 operands, of which the product reads 11 significant bits; NVIDIA GPUs alone
  mixed_bf16,  ///< operands and results of products in bfloat16, summed in float32
  mixed_fp16,  ///< the same in float16; its range is small: use optim::LossScaler
};

/// "fp32", "tf32", "bf16", "fp16".
std::string_view name(Precision precision);
/// The one of that name. Throws ArgumentError that lists the names.
Precision parse_precision(std::string_view text);
/// One line for the start of a program: "bf16: products in bfloat16, summed in float32; ...".
std::string describe(Precision precision);
/// Throws DeviceError where the device has no such products: TF32 on the CPU. Whether a GPU has them is known when its
/// first product runs, which throws DeviceError then.
void require_precision(Precision precision, Device device);
/// What products of float32 operands take and give: bfloat16, float16 or float32.
Dtype product_dtype(Precision precision);

/// While one lives, ops made on this thread follow `precision`; the innermost scope counts. Of float32 and 16-bit
/// tensors
///   - matmul() and linear() take all operands in product_dtype() and give it. A parameter that is used again is cast
///     once. float64 throws DtypeError, except in fp32;
///   - reductions, softmax and its kin, and normalisations take float32;
///   - of other ops with several inputs of different dtypes all are cast to float32.
/// Gradients follow the ops they are of, wherever gradients() is called.
class AutocastScope {
 public:
  explicit AutocastScope(Precision precision);
  AutocastScope(const AutocastScope&) = delete;
  AutocastScope& operator=(const AutocastScope&) = delete;
  ~AutocastScope();

  Precision precision() const { return precision_; }
  /// The innermost one of this thread, or nullptr.
  static AutocastScope* active();

  /// x in `dtype`; a leaf that requires gradients is cast once while the scope lives.
  Tensor cast_once(const Tensor& x, Dtype dtype);

 private:
  struct Cast {
    std::weak_ptr<Node> from;
    std::weak_ptr<Node> to;  ///< weak: the scope keeps no memory that the graph lets go of
  };
  Precision precision_;
  AutocastScope* outer_;
  std::vector<Cast> casts_;
};

/// While one lives, no AutocastScope around it counts: gradient rules give what their ops took.
class AutocastPause {
 public:
  AutocastPause();
  AutocastPause(const AutocastPause&) = delete;
  AutocastPause& operator=(const AutocastPause&) = delete;
  ~AutocastPause();

 private:
  AutocastScope* paused_;
};

/// x, in float32 where an AutocastScope lives and x is 16-bit. For modules that compute statistics.
Tensor widened(const Tensor& x);

}  // namespace twingrad
