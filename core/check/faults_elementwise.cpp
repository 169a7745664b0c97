// Faults of elementwise kernels.
#include <twingrad/check/faults_list.h>

#include <cmath>
#include <limits>

namespace twingrad::check {
namespace {

/// output[i] = function(x[i], y[i]) of the first two inputs.
template <class Function>
void each_pair(FaultCall& fault, const Function& function) {
  for (std::size_t i = 0; i < fault.output.size(); ++i) {
    fault.output[i] = fault.rounded(function(fault.inputs[0].data[i], fault.inputs[1].data[i]));
  }
}

bool is_float32(const KernelCall& call) {
  return call.op->family == Family::elementwise && call.output.dtype == Dtype::f32;
}

double flushed(double x) {
  return std::abs(x) < static_cast<double>(std::numeric_limits<float>::min()) ? std::copysign(0.0, x) : x;
}

/// e^x as 2^(x log2(e)) with the product rounded to float32: what a fast exp does.
double fast_exp(double x) {
  return std::exp2(static_cast<double>(static_cast<float>(x) * 1.44269504F));
}

}  // namespace

std::vector<Fault> elementwise_faults() {
  constexpr std::string_view family = "elementwise";
  return {
      {.name = "mul_ignores_cotangent",
       .family = family,
       .description = "a product returns its second operand and ignores the first, the cotangent of most rules",
       .applies = [](const KernelCall& call) { return is_formula<formulas::Mul>(call) && gives_float(call); },
       .plant = [](FaultCall& fault) { each_pair(fault, [](double, double y) { return y; }); }},
      {.name = "wrong_sign",
       .family = family,
       .description = "differences and negations have the other sign",
       .applies =
           [](const KernelCall& call) {
             return (is_formula<formulas::Sub>(call) || is_formula<formulas::Neg>(call)) && gives_float(call);
           },
       .plant =
           [](FaultCall& fault) {
             for (double& element : fault.output) {
               element = -element;
             }
           }},
      {.name = "relu_mask_at_zero",
       .family = family,
       .description = "relu's gradient passes at 0: the mask is x >= 0 where it should be x > 0",
       .applies = [](const KernelCall& call) { return is_formula<formulas::ReluGrad>(call); },
       .plant = [](FaultCall& fault) { each_pair(fault, [](double x, double y) { return x < 0 ? 0.0 : y; }); }},
      {.name = "scale_off_by_1e-5",
       .family = family,
       .description = "products are 1.00001 times too large",
       .applies = [](const KernelCall& call) { return is_formula<formulas::Mul>(call) && is_float32(call); },
       .plant = [](FaultCall& fault) { each_pair(fault, [](double x, double y) { return x * y * 1.00001; }); }},
      {.name = "approximate_exp",
       .family = family,
       .description = "e^x is computed as 2^(x log2 e) with a rounded product",
       .applies = [](const KernelCall& call) { return is_formula<formulas::Exp>(call) && is_float32(call); },
       .plant =
           [](FaultCall& fault) {
             for (std::size_t i = 0; i < fault.output.size(); ++i) {
               fault.output[i] = fault.rounded(fast_exp(fault.inputs[0].data[i]));
             }
           }},
      {.name = "approximate_division",
       .family = family,
       .description = "x / y is computed as x * (1 / y), which rounds twice",
       .applies = [](const KernelCall& call) { return is_formula<formulas::Div>(call) && is_float32(call); },
       .plant =
           [](FaultCall& fault) { each_pair(fault, [&](double x, double y) { return x * fault.rounded(1 / y); }); }},
      {.name = "flushed_subnormals",
       .family = family,
       .description = "subnormal operands and results of products count as 0",
       .applies = [](const KernelCall& call) { return is_formula<formulas::Mul>(call) && is_float32(call); },
       .plant =
           [](FaultCall& fault) {
             each_pair(fault, [](double x, double y) { return flushed(flushed(x) * flushed(y)); });
           }},
      {.name = "where_swapped",
       .family = family,
       .description = "where takes the other branch",
       .applies = [](const KernelCall& call) { return is_formula<formulas::Where>(call) && gives_float(call); },
       .plant =
           [](FaultCall& fault) {
             for (std::size_t i = 0; i < fault.output.size(); ++i) {
               fault.output[i] = fault.inputs[fault.inputs[0].data[i] != 0 ? 2 : 1].data[i];
             }
           }},
      {.name = "uninitialised_tail",
       .family = family,
       .description = "the last elements, those beyond a multiple of four, are not written",
       .applies =
           [](const KernelCall& call) {
             return call.op->family == Family::elementwise && gives_float(call) && call.output.numel() % 4 != 0;
           },
       .plant =
           [](FaultCall& fault) {
             for (std::size_t i = fault.output.size() / 4 * 4; i < fault.output.size(); ++i) {
               fault.output[i] = fault.before[i];
             }
           }},
  };
}

}  // namespace twingrad::check
