// The reference of what looks at whole rows: softmax and its logarithms, norms.
#include <twingrad/check/reference_interpreter.h>
#include <twingrad/check/reference_sum.h>
#include <twingrad/formulas.h>
#include <twingrad/kernels.h>

#include <cmath>
#include <limits>

namespace twingrad::check {

namespace {

template <class N>
N root(const N& x) {
  using std::sqrt;
  return sqrt(x);
}

}  // namespace

template <class N>
void Interpreter<N>::exponential_row(const N* x, std::int64_t n, std::int64_t r) {
  using std::exp;
  using std::log;
  const auto kernel = static_cast<Rows>(op_.kernel);
  N shift(-std::numeric_limits<double>::infinity());
  for (std::int64_t i = 0; i < n; ++i) {
    shift = formulas::Maximum::apply<N>(shift, x[i], formulas::Parameters{});
  }
  if (kernel == Rows::logsumexp && std::isinf(value_of(shift))) {
    out(r) = shift;
    return;
  }
  std::vector<N> e;
  for (std::int64_t i = 0; i < n; ++i) {
    e.push_back(exp(x[i] - shift));
  }
  const N sum = ordered_sum<N>(
      n, [&](std::int64_t i) -> const N& { return e[static_cast<std::size_t>(i)]; }, model_.order);
  if (kernel == Rows::logsumexp) {
    out(r) = shift + log(sum);
    return;
  }
  const N log_sum = kernel == Rows::log_softmax ? log(sum) : N(0);
  for (std::int64_t i = 0; i < n; ++i) {
    out(r * n + i) = kernel == Rows::softmax ? e[static_cast<std::size_t>(i)] / sum : (x[i] - shift) - log_sum;
  }
}

template <class N>
void Interpreter<N>::row(const N* x, std::int64_t n, std::int64_t r) {
  const auto term = [&](std::int64_t i) -> const N& { return x[i]; };
  switch (static_cast<Rows>(op_.kernel)) {
    case Rows::softmax:
    case Rows::log_softmax:
    case Rows::logsumexp:
      exponential_row(x, n, r);
      break;
    case Rows::layer_norm: {
      const N mean = ordered_sum<N>(n, term, model_.order) / N(n);
      const N variance = ordered_sum<N>(
                             n, [&](std::int64_t i) { return (x[i] - mean) * (x[i] - mean); }, model_.order) /
                         N(n);
      const N deviation = root(variance + N(attributes_.reals[0]));
      for (std::int64_t i = 0; i < n; ++i) {
        const auto at = static_cast<std::size_t>(i);
        out(r * n + i) = (x[i] - mean) / deviation * in(1).data[at] + in(2).data[at];
      }
      break;
    }
    case Rows::rms_norm: {
      const N square = ordered_sum<N>(
                           n, [&](std::int64_t i) { return x[i] * x[i]; }, model_.order) /
                       N(n);
      const N scale = root(square + N(attributes_.reals[0]));
      for (std::int64_t i = 0; i < n; ++i) {
        out(r * n + i) = x[i] / scale * in(1).data[static_cast<std::size_t>(i)];
      }
      break;
    }
  }
}

template <class N>
void Interpreter<N>::rows() {
  const std::int64_t n = in(0).type.shape.back();
  const std::int64_t count = n == 0 ? numel(output_.type.shape) : in(0).size() / n;
  for (std::int64_t r = 0; r < count; ++r) {
    row(in(0).data.data() + r * n, n, r);
  }
}

template void Interpreter<double>::rows();
template void Interpreter<Dual>::rows();
template void Interpreter<Tracked>::rows();

}  // namespace twingrad::check
