// Faults of reductions.
#include <twingrad/check/faults_list.h>
#include <twingrad/philox.h>

#include <algorithm>
#include <utility>

namespace twingrad::check {
namespace {

std::int64_t terms_of(const KernelCall& call) {
  const std::int64_t outputs = call.output.numel();
  return outputs == 0 ? 0 : call.inputs[0].numel() / outputs;
}

bool is_sum(const KernelCall& call) {
  return (is_reduce(call, Reduce::sum) || is_reduce(call, Reduce::mean)) && gives_float(call) && terms_of(call) > 1;
}

/// output[i] = reduce(terms of output i, in the order of memory).
template <class Function>
void each_sum(FaultCall& fault, const Function& reduce) {
  const Shape& shape = fault.inputs[0].type.shape;
  const Strides strides = contiguous_strides(shape);
  Strides target = Dims::filled(shape.size(), 0);
  std::int64_t stride = 1;
  for (int axis = shape.size() - 1; axis >= 0; --axis) {
    if (!fault.call.attributes.ints.contains(axis)) {
      target[axis] = stride;
      stride *= shape[axis];
    }
  }
  std::vector<std::vector<double>> terms(fault.output.size());
  for (std::int64_t i = 0; i < fault.inputs[0].size(); ++i) {
    std::int64_t to = 0;
    for (int axis = 0; axis < shape.size(); ++axis) {
      to += i / strides[axis] % shape[axis] * target[axis];
    }
    terms[at(to)].push_back(fault.inputs[0].data[at(i)]);
  }
  const bool mean = is_reduce(fault.call, Reduce::mean);
  for (std::size_t i = 0; i < terms.size(); ++i) {
    const double sum = reduce(terms[i]);
    fault.output[i] = fault.rounded(mean ? sum / static_cast<double>(terms[i].size()) : sum);
  }
}

double sum_of(const std::vector<double>& terms, std::size_t count) {
  double sum = 0;
  for (std::size_t i = 0; i < count; ++i) {
    sum += terms[i];
  }
  return sum;
}

void shuffle(std::vector<double>& terms, std::int64_t seed) {
  for (std::size_t i = terms.size(); i > 1; --i) {
    const Philox4 block = random_block(seed, 0xfa, static_cast<std::int64_t>(i));
    std::swap(terms[i - 1], terms[block.word[0] % i]);
  }
}

}  // namespace

std::vector<Fault> reduce_faults() {
  constexpr std::string_view family = "reduce";
  return {
      {.name = "reduce_drop_last_term",
       .family = family,
       .description = "the last term of a sum or mean is left out",
       .applies = is_sum,
       .plant =
           [](FaultCall& fault) {
             each_sum(fault, [](const std::vector<double>& terms) { return sum_of(terms, terms.size() - 1); });
           }},
      {.name = "reduce_first_slice_only",
       .family = family,
       .description = "the reduction is missed: the first slice is taken for the sum",
       .applies = is_sum,
       .plant =
           [](FaultCall& fault) { each_sum(fault, [](const std::vector<double>& terms) { return terms.front(); }); }},
      {.name = "mean_not_divided",
       .family = family,
       .description = "a mean is not divided by N",
       .applies = [](const KernelCall& call) { return is_sum(call) && is_reduce(call, Reduce::mean); },
       .plant =
           [](FaultCall& fault) {
             for (double& element : fault.output) {
               element = fault.rounded(element * static_cast<double>(terms_of(fault.call)));
             }
           }},
      {.name = "reduce_random_order",
       .family = family,
       .description = "terms are added in an order that differs from run to run, as with atomics",
       .applies = [](const KernelCall& call) { return is_sum(call) && terms_of(call) > 4; },
       .plant =
           [](FaultCall& fault) {
             const auto turn = static_cast<std::int64_t>(fault.turn);
             each_sum(fault, [&](std::vector<double> terms) {
               shuffle(terms, turn);
               double sum = 0;
               for (const double term : terms) {
                 sum = fault.rounded(sum + term);
               }
               return sum;
             });
           }},
  };
}

}  // namespace twingrad::check
