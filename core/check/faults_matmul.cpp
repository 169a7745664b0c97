// Faults of matrix products. The wrong value is computed in double and rounded once, so that what is found is the fault
// and not a second rounding.
#include <twingrad/check/faults_list.h>
#include <twingrad/check/subject.h>

#include <cmath>

namespace twingrad::check {
namespace {

/// (batch, m, k) x (batch, k, n); the views a kernel gets have the output's batch axes.
struct Product {
  explicit Product(const FaultCall& fault)
      : m(fault.call.output.shape[fault.call.output.shape.size() - 2]),
        n(fault.call.output.shape.back()),
        k(fault.inputs[0].type.shape.back()),
        batch(fault.call.output.numel() / (m * n)),
        a_(fault.inputs[0].data),
        b_(fault.inputs[1].data),
        bias_(fault.inputs.size() > 2 ? fault.inputs[2].data.data() : nullptr) {}

  double a(std::int64_t q, std::int64_t i, std::int64_t p) const { return a_[at((q * m + i) * k + p)]; }
  double b(std::int64_t q, std::int64_t p, std::int64_t j) const { return b_[at((q * k + p) * n + j)]; }
  double bias(std::int64_t j) const { return bias_ == nullptr ? 0 : bias_[j]; }

  std::int64_t m, n, k, batch;

 private:
  const std::vector<double>& a_;
  const std::vector<double>& b_;
  const double* bias_;
};

/// output[q, i, j] = cell(product, q, i, j) + bias[j].
template <class Cell>
void each_cell(FaultCall& fault, const Cell& cell) {
  const Product product(fault);
  for (std::int64_t q = 0; q < product.batch; ++q) {
    for (std::int64_t i = 0; i < product.m; ++i) {
      for (std::int64_t j = 0; j < product.n; ++j) {
        fault.output[at((q * product.m + i) * product.n + j)] = fault.rounded(cell(product, q, i, j) + product.bias(j));
      }
    }
  }
}

template <class Term>
double sum(std::int64_t count, const Term& term) {
  double total = 0;
  for (std::int64_t p = 0; p < count; ++p) {
    total += term(p);
  }
  return total;
}

/// A product whose accumulator has the dtype `narrow`.
void accumulate_in(FaultCall& fault, Dtype narrow) {
  each_cell(fault, [narrow](const Product& x, std::int64_t q, std::int64_t i, std::int64_t j) {
    double total = 0;
    for (std::int64_t p = 0; p < x.k; ++p) {
      total = round_to(total + x.a(q, i, p) * x.b(q, p, j), narrow);
    }
    return total;
  });
}

/// x with 11 significant bits, the others cut off as tensor cores do.
double tf32(double x) {
  int exponent = 0;
  const double mantissa = std::frexp(x, &exponent);
  return std::ldexp(std::trunc(std::ldexp(mantissa, 11)), exponent - 11);
}

std::int64_t inner_length(const KernelCall& call) {
  return call.inputs[0].shape.back();
}
bool is_product(const KernelCall& call) {
  return call.op->family == Family::matmul && inner_length(call) > 0;
}
bool is_long_product(const KernelCall& call) {
  return is_product(call) && inner_length(call) >= 8 && call.output.dtype == Dtype::f32;
}

}  // namespace

std::vector<Fault> matmul_faults() {
  constexpr std::string_view family = "matmul";
  return {
      {.name = "matmul_drop_last_term",
       .family = family,
       .description = "the last term of every sum over K is left out",
       .applies = is_product,
       .plant =
           [](FaultCall& fault) {
             each_cell(fault, [](const Product& x, std::int64_t q, std::int64_t i, std::int64_t j) {
               return sum(x.k - 1, [&](std::int64_t p) { return x.a(q, i, p) * x.b(q, p, j); });
             });
           }},
      {.name = "matmul_drop_last_row",
       .family = family,
       .description = "the last row is not written",
       .applies = is_product,
       .plant =
           [](FaultCall& fault) {
             const Product x(fault);
             for (std::int64_t j = 0; j < x.n; ++j) {
               const std::size_t last = at((x.batch * x.m - 1) * x.n + j);
               fault.output[last] = fault.before[last];
             }
           }},
      {.name = "matmul_drop_last_column",
       .family = family,
       .description = "the last column is not written",
       .applies = is_product,
       .plant =
           [](FaultCall& fault) {
             const Product x(fault);
             for (std::int64_t row = 0; row < x.batch * x.m; ++row) {
               const std::size_t last = at((row + 1) * x.n - 1);
               fault.output[last] = fault.before[last];
             }
           }},
      {.name = "matmul_stride_off_by_one",
       .family = family,
       .description = "the rows of the first operand are read with a leading stride that is one too short",
       .applies =
           [](const KernelCall& call) {
             return is_product(call) && call.output.shape[call.output.shape.size() - 2] > 1 && inner_length(call) > 1;
           },
       .plant =
           [](FaultCall& fault) {
             each_cell(fault, [](const Product& x, std::int64_t q, std::int64_t i, std::int64_t j) {
               return sum(x.k, [&](std::int64_t p) {
                 const std::int64_t flat = i * (x.k - 1) + p;
                 return x.a(q, flat / x.k, flat % x.k) * x.b(q, p, j);
               });
             });
           }},
      {.name = "matmul_wrong_transpose",
       .family = family,
       .description = "the second operand is read as if it were stored transposed",
       .applies =
           [](const KernelCall& call) {
             return is_product(call) && inner_length(call) > 1 && call.output.shape.back() > 1;
           },
       .plant =
           [](FaultCall& fault) {
             each_cell(fault, [](const Product& x, std::int64_t q, std::int64_t i, std::int64_t j) {
               return sum(x.k, [&](std::int64_t p) {
                 const std::int64_t flat = j * x.k + p;
                 return x.a(q, i, p) * x.b(q, flat / x.n, flat % x.n);
               });
             });
           }},
      {.name = "matmul_tf32",
       .family = family,
       .description = "float32 operands are cut to TF32's 11 significant bits",
       .applies = is_long_product,
       .plant =
           [](FaultCall& fault) {
             each_cell(fault, [](const Product& x, std::int64_t q, std::int64_t i, std::int64_t j) {
               return sum(x.k, [&](std::int64_t p) { return tf32(x.a(q, i, p)) * tf32(x.b(q, p, j)); });
             });
           }},
      {.name = "matmul_bfloat16_sum",
       .family = family,
       .description = "float32 products are accumulated in bfloat16",
       .applies = is_long_product,
       .plant = [](FaultCall& fault) { accumulate_in(fault, Dtype::bf16); }},
      {.name = "matmul_float16_sum",
       .family = family,
       .description = "float32 products are accumulated in float16",
       .applies = is_long_product,
       .plant = [](FaultCall& fault) { accumulate_in(fault, Dtype::f16); }},
      {.name = "matmul_no_bias",
       .family = family,
       .description = "the bias is ignored",
       .applies = [](const KernelCall& call) { return is_product(call) && call.inputs.size() > 2; },
       .plant =
           [](FaultCall& fault) {
             each_cell(fault, [](const Product& x, std::int64_t q, std::int64_t i, std::int64_t j) {
               return sum(x.k, [&](std::int64_t p) { return x.a(q, i, p) * x.b(q, p, j); }) - x.bias(j);
             });
           }},
      {.name = "matmul_accumulate_for_assign",
       .family = family,
       .description = "the product is added to what the output's memory held (beta = 1)",
       .applies = is_product,
       .plant =
           [](FaultCall& fault) {
             for (std::size_t i = 0; i < fault.output.size(); ++i) {
               fault.output[i] = fault.rounded(fault.output[i] + fault.before[i]);
             }
           }},
  };
}

}  // namespace twingrad::check
