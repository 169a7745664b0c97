// What computes the pieces of an Expectation: sources for formulas, matrix products and sums. Private to the
// cross-check.
#pragma once

#include <twingrad/check/reference_pieces.h>
#include <twingrad/check/tracked_lanes.h>

#include <memory>
#include <span>

namespace twingrad::check {

/// One use of a kernel, as Expectation was given it.
struct Use {
  const Op& op;
  const Attributes& attributes;
  std::span<const Array<double>* const> inputs;
  const TensorType& type;
  const ErrorModel& model;
};

class Expectation::Source {
 public:
  Source() = default;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;
  virtual ~Source() = default;
  /// Fills in the elements that `into` names.
  virtual void compute(Elements& into) const = 0;
  /// All elements, of a move only.
  virtual std::vector<double> take_all() { return {}; }

  std::int64_t rows_of = 0;  ///< pieces are whole rows of so many elements; 0: any elements
  double nanoseconds = 4;    ///< a guess for one element
};

/// Elementwise formulas and updates.
std::unique_ptr<Expectation::Source> formula_source(const Use& use);

/// A matrix product of finite operands, summed one term after the other; null for any other one.
std::unique_ptr<Expectation::Source> product_source(const Use& use);

/// Sums and means of floats; null for other reductions.
std::unique_ptr<Expectation::Source> sum_source(const Use& use);

/// Eight elements from position `i`.
[[gnu::always_inline]] inline TrackedLanes lanes_at(const Elements& elements, std::int64_t i) {
  TrackedLanes lanes(load(elements.value.data() + i));
  lanes.variance = load(elements.variance.data() + i);
  lanes.library = load(elements.library.data() + i);
  lanes.worst = load(elements.worst.data() + i);
  lanes.overflow = load(elements.overflow.data() + i);
  lanes.exact = false;
  return lanes;
}
template <class A>
[[gnu::always_inline]] inline void put_lanes(const BasicTrackedLanes<A>& lanes, Elements& elements, std::int64_t i) {
  store(lanes.value, elements.value.data() + i);
  store(lanes.variance, elements.variance.data() + i);
  store(lanes.library, elements.library.data() + i);
  store(lanes.worst, elements.worst.data() + i);
  store(lanes.overflow, elements.overflow.data() + i);
}

/// The rounding to the output's dtype where the arithmetic had more bits.
void round_to_storage(const Use& use, Elements& elements);

}  // namespace twingrad::check
