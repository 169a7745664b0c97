// The reference of reductions, searches and running sums along axes.
#include <twingrad/check/reference_interpreter.h>
#include <twingrad/check/reference_sum.h>
#include <twingrad/formulas.h>
#include <twingrad/kernels.h>

#include <cmath>

namespace twingrad::check {

Reduction::Reduction(const Shape& shape, const Attributes& attributes) {
  const Strides strides = contiguous_strides(shape);
  Window reduced;
  for (int i = 0; i < shape.size(); ++i) {
    Window& window = attributes.ints.contains(i) ? reduced : kept;
    window.shape.push_back(shape[i]);
    window.strides.push_back(strides[i]);
  }
  for_each_element(reduced.shape, std::span(&reduced, 1),
                   [&](std::int64_t, const auto& offsets) { terms.push_back(offsets[0]); });
}

namespace {

template <class Formula, class N, class Term>
N extreme(std::int64_t n, const Term& term) {
  N best = term(0);
  for (std::int64_t r = 1; r < n; ++r) {
    best = Formula::template apply<N>(best, term(r), formulas::Parameters{});
  }
  return best;
}

}  // namespace

template <class N>
template <class Term>
N Interpreter<N>::reduced(std::int64_t n, const Term& term) const {
  switch (static_cast<Reduce>(op_.kernel)) {
    case Reduce::sum:
      return ordered_sum<N>(n, term, model_.order);
    case Reduce::mean:
      return ordered_sum<N>(n, term, model_.order) / N(n);
    case Reduce::prod:
      return n == 0 ? N(1) : ordered_fold<N>(n, term, model_.order, [](N& into, const N& from) { into = into * from; });
    case Reduce::amax:
      return extreme<formulas::Maximum, N>(n, term);
    case Reduce::amin:
      return extreme<formulas::Minimum, N>(n, term);
  }
  return N(0);
}

template <class N>
void Interpreter<N>::reduce() {
  const Reduction reduction(in(0).type.shape, attributes_);
  for_each_element(reduction.kept.shape, std::span(&reduction.kept, 1), [&](std::int64_t i, const auto& offsets) {
    const N* first = in(0).data.data() + offsets[0];
    out(i) = reduced(static_cast<std::int64_t>(reduction.terms.size()),
                     [&](std::int64_t r) -> const N& { return first[reduction.terms[static_cast<std::size_t>(r)]]; });
  });
}

template <class N>
void Interpreter<N>::arg_reduce() {
  const bool largest = static_cast<ArgReduce>(op_.kernel) == ArgReduce::argmax;
  const Around x(in(0).type.shape, attributes_.ints[0]);
  for (std::int64_t o = 0; o < x.outer; ++o) {
    for (std::int64_t i = 0; i < x.inner; ++i) {
      std::int64_t found = 0;
      double best = value_of(in(0).data[x.at(o, 0, i)]);
      for (std::int64_t l = 1; l < x.length; ++l) {
        const double candidate = value_of(in(0).data[x.at(o, l, i)]);
        const bool better = std::isnan(candidate) || (largest ? candidate > best : candidate < best);
        if (!std::isnan(best) && better) {
          best = candidate;
          found = l;
        }
      }
      out(o * x.inner + i) = N(found);
    }
  }
}

template <class N>
void Interpreter<N>::scan() {
  const Around x(in(0).type.shape, attributes_.ints[0]);
  const bool reverse = attributes_.ints[1] == 1;
  for (std::int64_t o = 0; o < x.outer; ++o) {
    for (std::int64_t i = 0; i < x.inner; ++i) {
      Sum<N> sum;
      AnyOrder any_order;
      for (std::int64_t r = 0; r < x.length; ++r) {
        const std::int64_t l = reverse ? x.length - 1 - r : r;
        sum.add(Sum<N>(in(0).data[x.at(o, l, i)]));
        if constexpr (std::is_same_v<N, Tracked>) {
          any_order.add(in(0).data[x.at(o, l, i)]);
          output_.data[x.at(o, l, i)] = any_order.widened(sum.result());
        } else {
          output_.data[x.at(o, l, i)] = sum.result();
        }
      }
    }
  }
}

template void Interpreter<double>::reduce();
template void Interpreter<Dual>::reduce();
template void Interpreter<Tracked>::reduce();
template void Interpreter<double>::arg_reduce();
template void Interpreter<Dual>::arg_reduce();
template void Interpreter<Tracked>::arg_reduce();
template void Interpreter<double>::scan();
template void Interpreter<Dual>::scan();
template void Interpreter<Tracked>::scan();

}  // namespace twingrad::check
