#include <twingrad/autograd.h>
#include <twingrad/error.h>
#include <twingrad/graph/node.h>
#include <twingrad/kernels.h>
#include <twingrad/ops.h>
#include <twingrad/ops/autocast.h>
#include <twingrad/precision.h>

#include <algorithm>
#include <array>
#include <utility>

namespace twingrad {
namespace {

constexpr std::array all_precisions = {Precision::fp32, Precision::tf32, Precision::mixed_bf16, Precision::mixed_fp16};

thread_local AutocastScope* innermost = nullptr;

bool is_half(Dtype dtype) {
  return dtype == Dtype::bf16 || dtype == Dtype::f16;
}
/// What a scope casts.
bool is_castable(const Operand& operand) {
  return !operand.is_number() && operand.tensor().defined() &&
         (operand.tensor().dtype() == Dtype::f32 || is_half(operand.tensor().dtype()));
}

Operand cast_operand(const Operand& operand, Dtype dtype) {
  const WhereScope scope(operand.where());
  return {innermost->cast_once(operand.tensor(), dtype), operand.where()};
}

}  // namespace

std::string_view name(Precision precision) {
  switch (precision) {
    case Precision::fp32:
      return "fp32";
    case Precision::tf32:
      return "tf32";
    case Precision::mixed_bf16:
      return "bf16";
    case Precision::mixed_fp16:
      return "fp16";
  }
  return "?";
}

Precision parse_precision(std::string_view text) {
  std::string names;
  for (const Precision precision : all_precisions) {
    if (text == name(precision)) {
      return precision;
    }
    names += (names.empty() ? "" : ", ") + std::string(name(precision));
  }
  throw ArgumentError("there is no precision '" + std::string(text) + "'; there are " + names);
}

std::string describe(Precision precision) {
  switch (precision) {
    case Precision::fp32:
      return "fp32: everything in float32";
    case Precision::tf32:
      return "tf32: products read 11 significant bits of float32 operands and sum in float32; all else in float32";
    case Precision::mixed_bf16:
      return "bf16: products in bfloat16, summed in float32; master weights, loss and statistics in float32";
    case Precision::mixed_fp16:
      return "fp16: products in float16, summed in float32, with a scaled loss; master weights, loss and statistics in "
             "float32";
  }
  return "?";
}

void require_precision(Precision precision, Device device) {
  if (precision == Precision::tf32 && device.kind() == DeviceKind::cpu) {
    throw DeviceError("the CPU has no TF32; take fp32 or bf16 there, or a CUDA device");
  }
}

Dtype product_dtype(Precision precision) {
  switch (precision) {
    case Precision::mixed_bf16:
      return Dtype::bf16;
    case Precision::mixed_fp16:
      return Dtype::f16;
    case Precision::fp32:
    case Precision::tf32:
      return Dtype::f32;
  }
  return Dtype::f32;
}

AutocastScope::AutocastScope(Precision precision) : precision_(precision), outer_(std::exchange(innermost, this)) {}
AutocastScope::~AutocastScope() {
  innermost = outer_;
}
AutocastScope* AutocastScope::active() {
  return innermost;
}

Tensor AutocastScope::cast_once(const Tensor& x, Dtype dtype) {
  if (x.dtype() == dtype) {
    return x;
  }
  // What is made under NoGrad passes no gradients, so it cannot stand in for what does.
  if (!x.node()->is_leaf() || !x.requires_grad() || NoGrad::active()) {
    return cast(x, dtype);
  }
  std::erase_if(casts_, [](const Cast& entry) { return entry.to.expired(); });
  for (const Cast& entry : casts_) {
    const NodePtr to = entry.to.lock();
    if (to != nullptr && entry.from.lock() == x.node() && to->dtype == dtype) {
      return Tensor(to);
    }
  }
  const Tensor result = cast(x, dtype);
  casts_.push_back({x.node(), result.node()});
  return result;
}

AutocastPause::AutocastPause() : paused_(std::exchange(innermost, nullptr)) {}
AutocastPause::~AutocastPause() {
  innermost = paused_;
}

Tensor widened(const Tensor& x) {
  return innermost != nullptr && is_half(x.dtype()) ? innermost->cast_once(x, Dtype::f32) : x;
}

PoolVector<Operand> autocast(Family family, std::span<const Operand> operands) {
  PoolVector<Operand> result(operands.begin(), operands.end());
  bool wide = false;
  switch (family) {
    case Family::reduce:
    case Family::scan:
    case Family::rows:
      wide = true;
      break;
    case Family::elementwise:
    case Family::index:
    case Family::copy:
    case Family::matmul: {
      const Operand* first = nullptr;
      for (const Operand& operand : operands) {
        if (is_castable(operand)) {
          first = first == nullptr ? &operand : first;
          wide = wide || operand.tensor().dtype() != first->tensor().dtype();
        }
      }
      break;
    }
    case Family::view:
    case Family::update:
    case Family::arg_reduce:
    case Family::random:
    case Family::custom:
      break;
  }
  if (wide) {
    for (Operand& operand : result) {
      if (is_castable(operand)) {
        operand = cast_operand(operand, Dtype::f32);
      }
    }
  }
  return result;
}

Operand autocast_product(const char* function, const Operand& operand) {
  if (innermost == nullptr || operand.is_number() || !operand.tensor().defined()) {
    return operand;
  }
  const Dtype dtype = product_dtype(innermost->precision());
  if (operand.tensor().dtype() == Dtype::f64 && innermost->precision() != Precision::fp32) {
    throw DtypeError(std::string(function) + " at " + to_string(WhereScope::current(operand.where())) +
                     ": a float64 operand in precision " + std::string(name(innermost->precision())) +
                     "; keep parameters and data in float32, or choose fp32, which leaves float64 alone");
  }
  // fp32 and tf32 take 16-bit operands as they are unless they meet float32 ones: apply() sees to that.
  return is_castable(operand) && is_half(dtype) ? cast_operand(operand, dtype) : operand;
}

Attributes product_attributes(Device device) {
  if (innermost == nullptr || innermost->precision() != Precision::tf32) {
    return {};
  }
  require_precision(Precision::tf32, device);
  return {.ints = {tf32_bits}};
}

}  // namespace twingrad
