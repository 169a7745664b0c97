// The limit for `moons`: the step that a C++ programmer writes for this one net, in plain loops with sizes known to the
// compiler, on one thread, with everything allocated before the first step. Weights lie as (in, out), so that every
// inner loop runs over neighbouring floats; the compiler is told to vectorise just those, without which it is four
// times slower.
#include <array>
#include <cmath>

#include "bench/systems/serve.h"

namespace {

constexpr std::size_t inputs = 2;
constexpr std::size_t width = 16;

/// One weight matrix or bias with its gradient and Adam's moments.
template <std::size_t n>
struct Parameter {
  std::array<float, n> value{}, gradient{}, first{}, second{};

  void update(float step_size, float root_correction, float beta1, float beta2, float eps) {
#pragma omp simd
    for (std::size_t i = 0; i < n; ++i) {
      first[i] = beta1 * first[i] + (1 - beta1) * gradient[i];
      second[i] = beta2 * second[i] + (1 - beta2) * gradient[i] * gradient[i];
      value[i] -= step_size * first[i] / (std::sqrt(second[i]) / root_correction + eps);
    }
  }
};

/// x (rows, in) -> y (rows, out), ReLU unless it is the last layer; backward from dy, which it overwrites.
template <std::size_t in, std::size_t out, bool relu>
struct Layer {
  Parameter<in * out> weight;
  Parameter<out> bias;

  void forward(const float* __restrict x, float* __restrict y, std::size_t rows) const {
    for (std::size_t r = 0; r < rows; ++r) {
      std::array<float, out> sum = bias.value;
      for (std::size_t i = 0; i < in; ++i) {
#pragma omp simd
        for (std::size_t o = 0; o < out; ++o) {
          sum[o] += x[r * in + i] * weight.value[i * out + o];
        }
      }
#pragma omp simd
      for (std::size_t o = 0; o < out; ++o) {
        y[r * out + o] = relu && sum[o] < 0 ? 0 : sum[o];
      }
    }
  }

  /// dx may be null for the first layer.
  void backward(const float* __restrict x, const float* __restrict y, float* __restrict dy, float* __restrict dx,
                std::size_t rows) {
    weight.gradient.fill(0);
    bias.gradient.fill(0);
    for (std::size_t r = 0; r < rows; ++r) {
      if (relu) {
#pragma omp simd
        for (std::size_t o = 0; o < out; ++o) {
          dy[r * out + o] = y[r * out + o] > 0 ? dy[r * out + o] : 0;
        }
      }
#pragma omp simd
      for (std::size_t o = 0; o < out; ++o) {
        bias.gradient[o] += dy[r * out + o];
      }
      for (std::size_t i = 0; i < in; ++i) {
#pragma omp simd
        for (std::size_t o = 0; o < out; ++o) {
          weight.gradient[i * out + o] += x[r * in + i] * dy[r * out + o];
        }
      }
    }
    if (dx == nullptr) {
      return;
    }
    std::array<float, in * out> transposed;  // (out, in): the sum over outputs then runs along neighbours, too
    for (std::size_t i = 0; i < in; ++i) {
#pragma omp simd
      for (std::size_t o = 0; o < out; ++o) {
        transposed[o * in + i] = weight.value[i * out + o];
      }
    }
    for (std::size_t r = 0; r < rows; ++r) {
      std::array<float, in> sum{};
      for (std::size_t o = 0; o < out; ++o) {
#pragma omp simd
        for (std::size_t i = 0; i < in; ++i) {
          sum[i] += dy[r * out + o] * transposed[o * in + i];
        }
      }
#pragma omp simd
      for (std::size_t i = 0; i < in; ++i) {
        dx[r * in + i] = sum[i];
      }
    }
  }
};

class HandwrittenMoons : public bench::System {
 public:
  explicit HandwrittenMoons(const bench::Arguments& arguments) : work_(arguments.work), data_(arguments.data) {
    if (work_.sizes != std::vector<std::int64_t>{2, 16, 16, 1} || work_.loss != "binary_cross_entropy") {
      throw std::runtime_error("the hand-written step is for 2-16-16-1 with binary_cross_entropy, not for " +
                               work_.name);
    }
    if (work_.precision != "float32") {
      throw std::runtime_error("the hand-written step computes in float32, not in " + work_.precision);
    }
    if (arguments.threads != 1) {
      throw std::runtime_error("the hand-written step has one thread");
    }
    const auto rows = static_cast<std::size_t>(work_.batch);
    for (std::vector<float>* buffer : {&h1_, &h2_, &d1_, &d2_}) {
      buffer->resize(rows * width);
    }
    x_ = data_.floats("x");
    y_ = data_.floats("y");
    z_.resize(rows);
    dz_.resize(rows);
    reset();
  }

  nlohmann::json describe() const override {
    return {{"version", "GCC " __VERSION__}, {"flags", "-O3 -march=native -fopenmp-simd, no -ffast-math"}};
  }

  void reset() override {
    load(one_, "layer0");
    load(two_, "layer1");
    load(three_, "layer2");
    steps_ = 0;
  }

  void step_many(std::int64_t count) override {
    for (std::int64_t i = 0; i < count; ++i) {
      step();
    }
  }

  double last_loss() override { return loss_; }

  std::vector<std::vector<float>> weights() override {
    std::vector<std::vector<float>> all;
    store(one_, all);
    store(two_, all);
    store(three_, all);
    return all;
  }

  std::vector<double> outputs(std::int64_t rows) override {
    forward(x_.data());
    return {z_.begin(), z_.begin() + std::min(rows, work_.batch)};
  }

 private:
  template <std::size_t in, std::size_t out, bool relu>
  void load(Layer<in, out, relu>& layer, const std::string& name) {
    layer = {};
    const auto weight = data_.floats(name + ".weight");
    const auto bias = data_.floats(name + ".bias");
    for (std::size_t o = 0; o < out; ++o) {
      layer.bias.value[o] = bias[o];
      for (std::size_t i = 0; i < in; ++i) {
        layer.weight.value[i * out + o] = weight[o * in + i];
      }
    }
  }

  template <std::size_t in, std::size_t out, bool relu>
  static void store(const Layer<in, out, relu>& layer, std::vector<std::vector<float>>& all) {
    std::vector<float> weight;
    for (std::size_t o = 0; o < out; ++o) {
      for (std::size_t i = 0; i < in; ++i) {
        weight.push_back(layer.weight.value[i * out + o]);
      }
    }
    all.push_back(weight);
    all.emplace_back(layer.bias.value.begin(), layer.bias.value.end());
  }

  void forward(const float* x) {
    one_.forward(x, h1_.data(), z_.size());
    two_.forward(h1_.data(), h2_.data(), z_.size());
    three_.forward(h2_.data(), z_.data(), z_.size());
  }

  /// Mean of max(z, 0) - z * y + log(1 + exp(-|z|)), and its gradient (sigmoid(z) - y) / rows.
  void loss(const float* y) {
    float sum = 0;
    const auto rows = static_cast<float>(work_.batch);
    for (std::size_t r = 0; r < z_.size(); ++r) {
      const float e = std::exp(-std::abs(z_[r]));
      sum += std::max(z_[r], 0.0F) - z_[r] * y[r] + std::log1p(e);
      dz_[r] = ((z_[r] < 0 ? e : 1.0F) / (1 + e) - y[r]) / rows;
    }
    loss_ = sum / rows;
  }

  void step() {
    const std::size_t batch = steps_ % static_cast<std::size_t>(work_.batches);
    const float* const x = x_.data() + batch * z_.size() * inputs;
    const float* const y = y_.data() + batch * z_.size();
    forward(x);
    loss(y);
    three_.backward(h2_.data(), z_.data(), dz_.data(), d2_.data(), z_.size());
    two_.backward(h1_.data(), h2_.data(), d2_.data(), d1_.data(), z_.size());
    one_.backward(x, h1_.data(), d1_.data(), nullptr, z_.size());

    ++steps_;
    const auto t = static_cast<double>(steps_);
    const auto step_size = static_cast<float>(work_.lr / (1 - std::pow(work_.beta1, t)));
    const auto root = static_cast<float>(std::sqrt(1 - std::pow(work_.beta2, t)));
    const auto update = [&](auto& parameter) {
      parameter.update(step_size, root, static_cast<float>(work_.beta1), static_cast<float>(work_.beta2),
                       static_cast<float>(work_.eps));
    };
    update(one_.weight);
    update(one_.bias);
    update(two_.weight);
    update(two_.bias);
    update(three_.weight);
    update(three_.bias);
  }

  bench::WorkFile work_;
  bench::DataFile data_;
  Layer<inputs, width, true> one_;
  Layer<width, width, true> two_;
  Layer<width, 1, false> three_;
  std::vector<float> h1_, h2_, z_, d1_, d2_, dz_;
  std::span<const float> x_, y_;
  std::size_t steps_ = 0;
  double loss_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  return bench::serve(argc, argv, {"plain"},
                      [](const bench::Arguments& arguments) { return std::make_unique<HandwrittenMoons>(arguments); });
}
