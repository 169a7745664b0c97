// A comparison piece by piece: each piece is compared on any thread, then the parts are joined in order, so that the
// result does not depend on the number of threads. Private to the cross-check.
//
//   std::vector<PartialComparison> parts(expectation.pieces());   // compare_piece(..., parts[piece]) for each piece
//   for (const PartialComparison& part : parts) join(all, part);
//   Comparison result = concluded(all, options);
#pragma once

#include <twingrad/check/compare.h>
#include <twingrad/check/reference_pieces.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace twingrad::check {

/// How many elements round on their own, up to as many as the tile rule asks for. Equal elements with equal
/// predictions round alike and are one.
class Samples {
 public:
  void add(double actual, double due, double variance) {
    const Sample sample = {actual, due, variance};
    if (!full() && variance > 0 && std::find(begin(), end(), sample) == end()) {
      seen_[count_++] = sample;
    }
  }
  void add(const Samples& more) {
    for (const Sample* sample = more.begin(); sample != more.end(); ++sample) {
      add((*sample)[0], (*sample)[1], (*sample)[2]);
    }
  }
  bool full() const { return count_ == seen_.size(); }
  std::size_t count() const { return count_; }

 private:
  using Sample = std::array<double, 3>;
  const Sample* begin() const { return seen_.data(); }
  const Sample* end() const { return seen_.data() + count_; }
  std::array<Sample, 32> seen_{};
  std::size_t count_ = 0;
};

/// What the elements so far have shown.
struct PartialComparison {
  Comparison seen;
  double squares = 0;    ///< of errors
  double variances = 0;  ///< predicted
  Samples samples;
  bool not_finite = false;
  bool drift = false;
  bool outside = false;  ///< an element beyond its worst case
};

/// What rounds to an infinity in `dtype`: numbers from here on.
double edge_of(Dtype dtype);

/// How far an element of `bits` significant bits may be off. Errors are of the first order; what the second one adds is
/// a few units of roundoff of the bound itself.
double bound_of(const Tracked& due, int bits, double lambda);

/// One element, number `i` of its tensor.
void compare_element(double actual, const Tracked& due, std::int64_t i, Dtype dtype, double lambda,
                     PartialComparison& into);

/// due.count elements; actual[0] belongs to element due.begin.
void compare_piece(const double* actual, const Elements& due, Dtype dtype, double lambda, PartialComparison& into);

/// Takes what elements after those of `into` have shown.
void join(PartialComparison& into, const PartialComparison& next);

Comparison concluded(const PartialComparison& all, const CompareOptions& options);

}  // namespace twingrad::check
