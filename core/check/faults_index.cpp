// Faults of indexed reads and writes.
#include <twingrad/check/faults_list.h>

#include <algorithm>
#include <utility>

namespace twingrad::check {
namespace {

/// Calls visit(position in the index, position in x that it names) for a gather or scatter, row-major.
template <class Visit>
void each_named(const Shape& index_shape, const Shape& x_shape, int axis, const std::vector<double>& index,
                const Visit& visit) {
  const Strides strides = contiguous_strides(x_shape);
  const Strides own = contiguous_strides(index_shape);
  for (std::size_t i = 0; i < index.size(); ++i) {
    std::int64_t to = 0;
    for (int a = 0; a < index_shape.size(); ++a) {
      const std::int64_t coordinate = static_cast<std::int64_t>(i) / own[a] % index_shape[a];
      to += (a == axis ? static_cast<std::int64_t>(index[i]) : coordinate) * strides[a];
    }
    visit(i, at(to));
  }
}

/// Reads again with another index.
void read_with(FaultCall& fault, const std::vector<double>& index) {
  const std::int64_t axis = fault.call.attributes.ints[0];
  const Array<double>& x = fault.inputs[0];
  if (is_index(fault.call, Index::gather)) {
    each_named(fault.inputs[1].type.shape, x.type.shape, static_cast<int>(axis), index,
               [&](std::size_t i, std::size_t from) { fault.output[i] = x.data[from]; });
    return;
  }
  const AroundAxis from(x.type.shape, axis);
  const AroundAxis to(fault.call.output.shape, axis);
  for (std::int64_t o = 0; o < to.outer; ++o) {
    for (std::int64_t l = 0; l < to.length; ++l) {
      for (std::int64_t i = 0; i < to.inner; ++i) {
        fault.output[to.at(o, l, i)] = x.data[from.at(o, static_cast<std::int64_t>(index[at(l)]), i)];
      }
    }
  }
}

/// Adds again into `start`: add(target, source) for each source, in order; skips those that keep(i) refuses.
template <class Keep, class Add>
void add_with(FaultCall& fault, std::vector<double> start, const Keep& keep, const Add& add) {
  const std::int64_t axis = fault.call.attributes.ints[0];
  fault.output = std::move(start);
  if (is_index(fault.call, Index::scatter_add)) {
    const std::vector<double>& source = fault.inputs[2].data;
    each_named(fault.inputs[1].type.shape, fault.call.output.shape, static_cast<int>(axis), fault.inputs[1].data,
               [&](std::size_t i, std::size_t to) {
                 if (keep(to)) {
                   fault.output[to] = fault.rounded(add(fault.output[to], source[i]));
                 }
               });
    return;
  }
  const AroundAxis from(fault.inputs[1].type.shape, axis);
  const AroundAxis to(fault.call.output.shape, axis);
  for (std::int64_t l = 0; l < from.length; ++l) {
    const auto target = static_cast<std::int64_t>(fault.inputs[0].data[at(l)]);
    for (std::int64_t o = 0; o < from.outer; ++o) {
      for (std::int64_t i = 0; i < from.inner; ++i) {
        const std::size_t place = to.at(o, target, i);
        if (keep(place)) {
          fault.output[place] = fault.rounded(add(fault.output[place], fault.inputs[1].data[from.at(o, l, i)]));
        }
      }
    }
  }
}

std::vector<double> start_of(const FaultCall& fault) {
  return is_index(fault.call, Index::scatter_add) ? fault.inputs[0].data
                                                  : std::vector<double>(fault.output.size(), 0.0);
}

const auto every = [](std::size_t) { return true; };
const auto plus = [](double target, double source) { return target + source; };

bool reads(const KernelCall& call) {
  return (is_index(call, Index::index_select) || is_index(call, Index::gather)) && gives_float(call);
}
bool adds(const KernelCall& call) {
  return (is_index(call, Index::index_add) || is_index(call, Index::scatter_add)) && gives_float(call);
}

}  // namespace

std::vector<Fault> index_faults() {
  constexpr std::string_view family = "index";
  return {
      {.name = "index_swapped",
       .family = family,
       .description = "neighbouring indices are exchanged",
       .applies = [](const KernelCall& call) { return reads(call) && call.inputs[1].numel() > 1; },
       .plant =
           [](FaultCall& fault) {
             std::vector<double> index = fault.inputs[1].data;
             for (std::size_t i = 0; i + 1 < index.size(); i += 2) {
               std::swap(index[i], index[i + 1]);
             }
             read_with(fault, index);
           }},
      {.name = "index_through_float",
       .family = family,
       .description = "indices pass through float32, which has no odd numbers beyond 2^24",
       .applies =
           [](const KernelCall& call) {
             return reads(call) &&
                    call.inputs[0].shape[static_cast<int>(call.attributes.ints[0])] > (std::int64_t{1} << 24);
           },
       .plant =
           [](FaultCall& fault) {
             const std::int64_t axis = fault.call.attributes.ints[0];
             const auto last = static_cast<double>(fault.inputs[0].type.shape[static_cast<int>(axis)] - 1);
             std::vector<double> index = fault.inputs[1].data;
             for (double& i : index) {
               i = std::min(static_cast<double>(static_cast<float>(i)), last);
             }
             read_with(fault, index);
           }},
      {.name = "scatter_lost_duplicate",
       .family = family,
       .description = "where an index occurs twice, all but the first addition are lost",
       .applies = adds,
       .plant =
           [](FaultCall& fault) {
             std::vector<char> seen(fault.output.size(), 0);
             add_with(
                 fault, start_of(fault), [&](std::size_t to) { return std::exchange(seen[to], char{1}) == 0; }, plus);
           }},
      {.name = "scatter_assigns",
       .family = family,
       .description = "values are assigned where they should be added, so that the last duplicate wins",
       .applies = adds,
       .plant =
           [](FaultCall& fault) {
             add_with(fault, start_of(fault), every, [](double, double source) { return source; });
           }},
      {.name = "scatter_missing_memset",
       .family = family,
       .description = "sums start from what the output's memory held instead of zero",
       .applies = [](const KernelCall& call) { return adds(call) && is_index(call, Index::index_add); },
       .plant = [](FaultCall& fault) { add_with(fault, fault.before, every, plus); }},
  };
}

}  // namespace twingrad::check
