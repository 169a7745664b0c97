// How far a float32 run may end from the float64 one: the two-layer net of the fixture in plain loops, with every
// rounding replaced by a random number of its size. Repeating that run shows what the roundings alone do to losses and
// weights; no tolerance is picked by hand.
//
// A sum of terms t_1 ... t_n with partial sums s_k, each product and each sum rounded to precision u, is off by about
// u * sqrt(sum t_k^2 + sum s_k^2) (the bound of a rounding, where its deviation is u / sqrt(3)).
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

namespace twingrad::tests {

class NoisyMlp {
 public:
  using Values = std::vector<double>;

  /// x (rows, in), y (rows, out), net: linear(in, hidden), tanh, linear(hidden, out). unit 0: no noise.
  NoisyMlp(Values x, Values y, std::size_t rows, double l1, double unit, std::uint64_t seed)
      : x_(std::move(x)), y_(std::move(y)), rows_(rows), l1_(l1), unit_(unit), random_(seed) {
    in_ = x_.size() / rows_;
    out_ = y_.size() / rows_;
    x_ = rounded(x_);
    y_ = rounded(y_);
  }

  struct Result {
    double loss = 0;
    std::vector<Values> gradients;
  };

  /// parameters: weight (hidden, in), bias, weight (out, hidden), bias. The loss is the mean squared error, with
  /// l1 * sum |p| added.
  Result step(const std::vector<Values>& parameters) {
    const Values& w1 = parameters[0];
    const Values& b1 = parameters[1];
    const Values& w2 = parameters[2];
    const Values& b2 = parameters[3];
    const std::size_t hidden = b1.size();
    Values h(rows_ * hidden);
    for (std::size_t r = 0; r < rows_; ++r) {
      for (std::size_t j = 0; j < hidden; ++j) {
        Sum z = sum();
        for (std::size_t i = 0; i < in_; ++i) {
          z.add(x_[r * in_ + i] * w1[j * in_ + i]);
        }
        z.add(b1[j]);
        h[r * hidden + j] = rounded(std::tanh(z.value()), 2);  // a library's tanh is good to two roundings
      }
    }
    Values residual(rows_ * out_);
    Sum loss = sum();
    for (std::size_t r = 0; r < rows_; ++r) {
      for (std::size_t k = 0; k < out_; ++k) {
        Sum z = sum();
        for (std::size_t j = 0; j < hidden; ++j) {
          z.add(h[r * hidden + j] * w2[k * hidden + j]);
        }
        z.add(b2[k]);
        z.add(-y_[r * out_ + k]);
        residual[r * out_ + k] = z.value();
        loss.add(residual[r * out_ + k] * residual[r * out_ + k]);
      }
    }
    const auto count = static_cast<double>(rows_ * out_);
    Result result;
    result.loss = rounded(loss.value() / count);
    for (const Values& parameter : parameters) {
      Sum penalty = sum();
      for (const double p : parameter) {
        penalty.add(std::abs(p));
      }
      result.loss = l1_ == 0 ? result.loss : rounded(result.loss + l1_ * penalty.value(), 2);
    }

    Values d_out(residual.size());
    for (std::size_t i = 0; i < d_out.size(); ++i) {
      d_out[i] = rounded(residual[i] * 2 / count, 2);
    }
    Values d_hidden(h.size());
    for (std::size_t r = 0; r < rows_; ++r) {
      for (std::size_t j = 0; j < hidden; ++j) {
        Sum z = sum();
        for (std::size_t k = 0; k < out_; ++k) {
          z.add(d_out[r * out_ + k] * w2[k * hidden + j]);
        }
        const double t = h[r * hidden + j];
        d_hidden[r * hidden + j] = rounded(z.value() * rounded(1 - rounded(t * t)));
      }
    }
    result.gradients = {outer(d_hidden, x_, hidden, in_), column_sums(d_hidden, hidden), outer(d_out, h, out_, hidden),
                        column_sums(d_out, out_)};
    for (std::size_t p = 0; p < parameters.size(); ++p) {
      for (std::size_t i = 0; l1_ != 0 && i < parameters[p].size(); ++i) {
        const double sign = parameters[p][i] > 0 ? 1.0 : (parameters[p][i] < 0 ? -1.0 : 0.0);
        result.gradients[p][i] = rounded(result.gradients[p][i] + l1_ * sign);
      }
    }
    return result;
  }

  /// The values after `roundings` roundings each.
  Values rounded(Values values, double roundings = 1) {
    for (double& value : values) {
      value = rounded(value, roundings);
    }
    return values;
  }
  double rounded(double value, double roundings = 1) {
    return value + unit_ * std::sqrt(roundings) * std::abs(value) * normal_(random_);
  }

 private:
  class Sum {
   public:
    explicit Sum(NoisyMlp& owner) : owner_(owner) {}
    void add(double term) {
      total_ += term;
      variance_ += term * term + total_ * total_;
    }
    double value() { return total_ + owner_.unit_ * std::sqrt(variance_) * owner_.normal_(owner_.random_); }

   private:
    NoisyMlp& owner_;
    double total_ = 0;
    double variance_ = 0;
  };
  Sum sum() { return Sum(*this); }

  // (rows, m)^T * (rows, n) -> (m, n)
  Values outer(const Values& a, const Values& b, std::size_t m, std::size_t n) {
    Values result(m * n);
    for (std::size_t i = 0; i < m; ++i) {
      for (std::size_t j = 0; j < n; ++j) {
        Sum z = sum();
        for (std::size_t r = 0; r < rows_; ++r) {
          z.add(a[r * m + i] * b[r * n + j]);
        }
        result[i * n + j] = z.value();
      }
    }
    return result;
  }

  Values column_sums(const Values& a, std::size_t n) { return outer(a, Values(rows_, 1.0), n, 1); }

  Values x_;
  Values y_;
  std::size_t rows_;
  std::size_t in_ = 0;
  std::size_t out_ = 0;
  double l1_;
  double unit_;
  std::mt19937_64 random_;
  std::normal_distribution<double> normal_;
};

}  // namespace twingrad::tests
