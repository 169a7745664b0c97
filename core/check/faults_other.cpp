// Faults of scans, positions of extremes, copies, random numbers and optimizer updates.
#include <twingrad/check/faults_list.h>
#include <twingrad/update_formulas.h>

#include <bit>
#include <cmath>
#include <cstdint>

namespace twingrad::check {
namespace {

void exclusive_scan(FaultCall& fault) {
  const AroundAxis x(fault.call.output.shape, fault.call.attributes.ints[0]);
  const bool reverse = fault.call.attributes.ints[1] == 1;
  const std::vector<double> right = fault.output;
  for (std::int64_t o = 0; o < x.outer; ++o) {
    for (std::int64_t l = 0; l < x.length; ++l) {
      for (std::int64_t i = 0; i < x.inner; ++i) {
        const std::int64_t from = reverse ? l + 1 : l - 1;
        fault.output[x.at(o, l, i)] = from < 0 || from >= x.length ? 0.0 : right[x.at(o, from, i)];
      }
    }
  }
}

void last_of_ties(FaultCall& fault) {
  const AroundAxis x(fault.inputs[0].type.shape, fault.call.attributes.ints[0]);
  for (std::int64_t o = 0; o < x.outer; ++o) {
    for (std::int64_t i = 0; i < x.inner; ++i) {
      double& found = fault.output[at(o * x.inner + i)];
      const double best = fault.inputs[0].data[x.at(o, static_cast<std::int64_t>(found), i)];
      for (std::int64_t l = static_cast<std::int64_t>(found) + 1; l < x.length; ++l) {
        found = fault.inputs[0].data[x.at(o, l, i)] == best ? static_cast<double>(l) : found;
      }
    }
  }
}

bool casts_to_bfloat16(const KernelCall& call) {
  return call.op->family == Family::copy && call.op->kernel == static_cast<int>(Copy::cast) &&
         call.output.dtype == Dtype::bf16 && call.inputs[0].dtype == Dtype::f32;
}

void cut_to_bfloat16(FaultCall& fault) {
  for (std::size_t i = 0; i < fault.output.size(); ++i) {
    const auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(fault.inputs[0].data[i]));
    fault.output[i] = static_cast<double>(std::bit_cast<float>(bits & 0xffff0000U));
  }
}

/// Pieces side by side, each but the first one place too early, so that it overwrites the end of the one before.
void cat_one_early(FaultCall& fault) {
  const AroundAxis y(fault.call.output.shape, fault.call.attributes.ints[0]);
  std::int64_t first = 0;
  for (const Array<double>& input : fault.inputs) {
    const AroundAxis x(input.type.shape, fault.call.attributes.ints[0]);
    for (std::int64_t o = 0; o < x.outer; ++o) {
      for (std::int64_t l = 0; l < x.length; ++l) {
        for (std::int64_t i = 0; i < x.inner; ++i) {
          fault.output[y.at(o, first + l - (first > 0 ? 1 : 0), i)] = input.data[x.at(o, l, i)];
        }
      }
    }
    first += x.length;
  }
}

bool is_adam(const KernelCall& call) {
  return call.op->family == Family::update &&
         call.op->kernel == formulas::index_in<formulas::Adam, formulas::UpdateFormulas>::value && gives_float(call);
}

/// eps under the root of Adam's denominator.
void adam_eps_inside(FaultCall& fault) {
  const std::vector<double>& h = fault.inputs[3].data;
  for (std::size_t i = 0; i < fault.output.size(); ++i) {
    const double p = fault.inputs[0].data[i];
    const double m = fault.inputs[1].data[i];
    const double v = fault.inputs[2].data[i];
    fault.output[i] = fault.rounded((p - h[3] * p) - h[0] * m / std::sqrt(v / (h[1] * h[1]) + h[2]));
  }
}

}  // namespace

std::vector<Fault> other_faults() {
  return {
      {.name = "cumsum_shifted",
       .family = "scan",
       .description = "a running sum is shifted by one place: each element lacks its own term",
       .applies = [](const KernelCall& call) { return call.op->family == Family::scan && gives_float(call); },
       .plant = exclusive_scan},
      {.name = "argmax_last_of_ties",
       .family = "arg_reduce",
       .description = "where several elements are largest, the last one is named instead of the first",
       .applies = [](const KernelCall& call) { return call.op->family == Family::arg_reduce; },
       .plant = last_of_ties},
      {.name = "cast_truncates",
       .family = "copy",
       .description = "a cast to bfloat16 cuts bits off instead of rounding to nearest",
       .applies = casts_to_bfloat16,
       .plant = cut_to_bfloat16},
      {.name = "cat_one_early",
       .family = "copy",
       .description = "joined pieces start one place too early",
       .applies =
           [](const KernelCall& call) {
             return call.op->family == Family::copy && call.op->kernel == static_cast<int>(Copy::cat) &&
                    gives_float(call) && call.inputs.size() > 1;
           },
       .plant = cat_one_early},
      {.name = "random_lanes_reversed",
       .family = "random",
       .description = "uniform numbers of one block of four come in reverse order, so that masks differ",
       .applies =
           [](const KernelCall& call) {
             return call.op->family == Family::random && call.op->kernel == static_cast<int>(Random::uniform) &&
                    call.output.numel() >= 4;
           },
       .plant =
           [](FaultCall& fault) {
             for (std::size_t i = 0; i + 4 <= fault.output.size(); i += 4) {
               std::swap(fault.output[i], fault.output[i + 3]);
               std::swap(fault.output[i + 1], fault.output[i + 2]);
             }
           }},
      {.name = "adam_eps_inside_root",
       .family = "update",
       .description = "Adam adds eps under the root instead of beside it",
       .applies = is_adam,
       .plant = adam_eps_inside},
  };
}

}  // namespace twingrad::check
