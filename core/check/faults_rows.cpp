// Faults of the kernels that work along rows.
#include <twingrad/check/faults_list.h>

#include <cmath>

namespace twingrad::check {
namespace {

/// row(x, n, r) for each row of the first input.
template <class Row>
void each_row(FaultCall& fault, const Row& row) {
  const std::int64_t n = fault.inputs[0].type.shape.back();
  for (std::int64_t r = 0; r * n < fault.inputs[0].size(); ++r) {
    row(fault.inputs[0].data.data() + r * n, n, r);
  }
}

bool is_exponential(const KernelCall& call) {
  return (is_rows(call, Rows::softmax) || is_rows(call, Rows::log_softmax) || is_rows(call, Rows::logsumexp)) &&
         gives_float(call) && call.inputs[0].shape.back() > 1;
}

void without_maximum(FaultCall& fault) {
  each_row(fault, [&](const double* x, std::int64_t n, std::int64_t r) {
    double sum = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      sum = fault.rounded(sum + fault.rounded(std::exp(x[i])));
    }
    if (is_rows(fault.call, Rows::logsumexp)) {
      fault.output[at(r)] = fault.rounded(std::log(sum));
      return;
    }
    for (std::int64_t i = 0; i < n; ++i) {
      const double e = fault.rounded(std::exp(x[i]));
      fault.output[at(r * n + i)] =
          fault.rounded(is_rows(fault.call, Rows::softmax) ? e / sum : x[i] - fault.rounded(std::log(sum)));
    }
  });
}

void unbiased(FaultCall& fault) {
  each_row(fault, [&](const double* x, std::int64_t n, std::int64_t r) {
    double mean = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      mean += x[i] / static_cast<double>(n);
    }
    double squares = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      squares += (x[i] - mean) * (x[i] - mean);
    }
    const double deviation = std::sqrt(squares / static_cast<double>(n - 1) + fault.call.attributes.reals[0]);
    for (std::int64_t i = 0; i < n; ++i) {
      fault.output[at(r * n + i)] =
          fault.rounded((x[i] - mean) / deviation * fault.inputs[1].data[at(i)] + fault.inputs[2].data[at(i)]);
    }
  });
}

}  // namespace

std::vector<Fault> rows_faults() {
  constexpr std::string_view family = "rows";
  return {
      {.name = "softmax_without_maximum",
       .family = family,
       .description = "exponentials of a row are taken without subtracting its maximum first",
       .applies = is_exponential,
       .plant = without_maximum},
      {.name = "softmax_missing_last",
       .family = family,
       .description = "softmax leaves the last element of a row out of the sum",
       .applies = [](const KernelCall& call) { return is_exponential(call) && is_rows(call, Rows::softmax); },
       .plant =
           [](FaultCall& fault) {
             const std::int64_t n = fault.inputs[0].type.shape.back();
             for (std::size_t i = 0; i < fault.output.size(); ++i) {
               const double last = fault.output[i / static_cast<std::size_t>(n) * static_cast<std::size_t>(n) +
                                                static_cast<std::size_t>(n - 1)];
               fault.output[i] = static_cast<std::int64_t>(i) % n == n - 1
                                     ? fault.output[i]
                                     : fault.rounded(fault.output[i] / (1 - last));
             }
           }},
      {.name = "layer_norm_unbiased",
       .family = family,
       .description = "layer_norm divides the variance by N - 1",
       .applies =
           [](const KernelCall& call) {
             return is_rows(call, Rows::layer_norm) && gives_float(call) && call.inputs[0].shape.back() > 1;
           },
       .plant = unbiased},
  };
}

}  // namespace twingrad::check
