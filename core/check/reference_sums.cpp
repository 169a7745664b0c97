// Sums and means over axes, eight results at a time.
#include <twingrad/check/reference_interpreter.h>
#include <twingrad/check/reference_sources.h>
#include <twingrad/kernels.h>

#include <algorithm>

namespace twingrad::check {

/// Like Sum<Tracked>, lane by lane.
template <>
class Sum<TrackedLanes> {
 public:
  Sum() = default;
  explicit Sum(const TrackedLanes& first) : sum_(first), rounded_(first.value) {}
  void add(const Sum& other) {
    sum_ = sum_ + other.sum_;
    rounded_ = rounded_ + other.rounded_;
    if (Rounding::current().bits == 24) {
      rounded_ = in_float(rounded_);
    }
  }
  TrackedLanes result() const {
    const Doubles off = magnitude(rounded_ - sum_.value);
    TrackedLanes result = sum_;
    result.library += select(is_finite(off), smaller(off, result.worst), Doubles{});
    return result;
  }

 private:
  TrackedLanes sum_;
  Doubles rounded_{};
};

namespace {

class SumSource final : public Expectation::Source {
 public:
  explicit SumSource(const Use& use) : use_(use), reduction_(use.inputs[0]->type.shape, use.attributes) {
    nanoseconds = 2 * static_cast<double>(reduction_.terms.size());
    for_each_element(reduction_.kept.shape, std::span(&reduction_.kept, 1),
                     [&](std::int64_t, const auto& offsets) { firsts_.push_back(offsets[0]); });
  }

  void compute(Elements& into) const override {
    const RoundingScope scope(arithmetic_bits(use_.op, use_.type.dtype, use_.model), use_.model);
    for (std::int64_t i = 0; i < into.count; i += lane_count) {
      put_lanes(summed(into.begin + i), into, i);
    }
    round_to_storage(use_, into);
  }

 private:
  TrackedLanes summed(std::int64_t first) const {
    const auto n = static_cast<std::int64_t>(reduction_.terms.size());
    const double* from[lane_count];
    bool neighbours = true;
    for (std::int64_t l = 0; l < lane_count; ++l) {
      // Lanes beyond the last result repeat it.
      const std::int64_t at = std::min(first + l, static_cast<std::int64_t>(firsts_.size()) - 1);
      from[l] = use_.inputs[0]->data.data() + firsts_[static_cast<std::size_t>(at)];
      neighbours = neighbours && from[l] == from[0] + l;
    }
    const auto term = [&](std::int64_t r) {
      const std::int64_t offset = reduction_.terms[static_cast<std::size_t>(r)];
      if (neighbours) {
        return TrackedLanes(load(from[0] + offset));
      }
      double each[lane_count];
      for (int l = 0; l < lane_count; ++l) {
        each[l] = from[l][offset];
      }
      return TrackedLanes(load(each));
    };
    const TrackedLanes sum = ordered_sum<TrackedLanes>(n, term, use_.model.order);
    return static_cast<Reduce>(use_.op.kernel) == Reduce::mean ? sum / TrackedLanes(n) : sum;
  }

  Use use_;
  Reduction reduction_;
  std::vector<std::int64_t> firsts_;  ///< where the first term of every result is
};

}  // namespace

std::unique_ptr<Expectation::Source> sum_source(const Use& use) {
  const auto kernel = static_cast<Reduce>(use.op.kernel);
  const bool sums = kernel == Reduce::sum || kernel == Reduce::mean;
  return sums && is_floating(use.type.dtype) && use.inputs[0]->size() > 0 ? std::make_unique<SumSource>(use) : nullptr;
}

}  // namespace twingrad::check
