#include <twingrad/check/score_cases.h>

#include <twingrad/autograd.h>
#include <twingrad/ops.h>
#include <twingrad/ops/update.h>

#include <cmath>
#include <cstdint>
#include <memory>
#include <utility>

namespace twingrad::check {
namespace {

using Values = std::vector<float>;

/// Collects the inputs of one case and differentiates its outputs.
class Builder {
 public:
  Builder(Device device, Cotangent cotangent, std::int64_t seed)
      : device_(device), cotangent_(cotangent), seed_(seed) {}

  Tensor normal(const Shape& shape, double scale = 1) {
    Values values = random_normal({numel(shape)}, {seed_, stream_++}).to_vector<float>();
    for (float& value : values) {
      value *= static_cast<float>(scale);
    }
    return input(values, shape);
  }
  Tensor input(const Values& values, const Shape& shape) {
    inputs_.push_back(tensor(values, shape, {.device = device_, .requires_grad = true}));
    return inputs_.back();
  }
  Tensor index(const std::vector<std::int64_t>& values, const Shape& shape) const {
    return tensor(values, shape, {.device = device_});
  }
  Device device() const { return device_; }
  std::int64_t seed() const { return seed_; }

  /// The output and its gradients with respect to all inputs.
  std::vector<Tensor> with_gradients(const Tensor& output) {
    std::vector<Tensor> results = {output};
    const Tensor v = cotangent_ == Cotangent::ones
                         ? ones(output.shape(), {.dtype = output.dtype(), .device = device_})
                         : tensor(random_normal({output.numel()}, {seed_, 999}).to_vector<float>(), output.shape(),
                                  {.dtype = output.dtype(), .device = device_});
    for (const Tensor& gradient : gradients(output, inputs_, {.cotangent = v})) {
      results.push_back(gradient);
    }
    return results;
  }

 private:
  Device device_;
  Cotangent cotangent_;
  std::int64_t seed_;
  std::int64_t stream_ = 0;
  std::vector<Tensor> inputs_;
};

Values ramp(std::int64_t count, double first, double step) {
  Values values;
  for (std::int64_t i = 0; i < count; ++i) {
    values.push_back(static_cast<float>(first + step * static_cast<double>(i)));
  }
  return values;
}

std::vector<std::int64_t> every(std::int64_t count, std::int64_t factor, std::int64_t modulus) {
  std::vector<std::int64_t> values;
  for (std::int64_t i = 0; i < count; ++i) {
    values.push_back(i * factor % modulus);
  }
  return values;
}

std::vector<Tensor> product(Builder& b) {
  const Tensor x = b.normal({17, 65});
  const Tensor w = b.normal({7, 65});
  return b.with_gradients(linear(x, w, b.normal({7})));
}

std::vector<Tensor> long_product(Builder& b) {
  const Tensor x = b.normal({5, 4097});
  return b.with_gradients(matmul(x, b.normal({4097, 3})));
}

std::vector<Tensor> square_product(Builder& b) {
  const Tensor x = b.normal({31, 31});
  return b.with_gradients(matmul(x, x));
}

std::vector<Tensor> sums(Builder& b) {
  const Tensor x = b.normal({3, 1025});
  return b.with_gradients(sum(x, {.axes = {1}}) + mean(x, {.axes = {1}}) + mean(b.normal({7})));
}

std::vector<Tensor> arithmetic(Builder& b) {
  const Tensor x = b.normal({129});
  const Tensor y = b.normal({129});
  return b.with_gradients((x - y) * x / (1.5 + abs(y)) - x);
}

std::vector<Tensor> kinks(Builder& b) {
  Values values = ramp(33, -4, 0.25);  // 0 itself is among them
  values.push_back(-0.0F);
  values.push_back(1e-45F);
  values.push_back(-1e-45F);
  const auto count = static_cast<std::int64_t>(values.size());
  const Tensor x = b.input(values, {count});
  return b.with_gradients(relu(x) + where(greater(x, 0.0), x * 2.0, x * x));
}

std::vector<Tensor> steep(Builder& b) {
  return b.with_gradients(exp(b.input(ramp(67, -80, 2.4), {67})));
}

std::vector<Tensor> subnormal(Builder& b) {
  return b.with_gradients(b.input(ramp(35, 1e-38, 3e-39), {35}) * b.input(ramp(35, 0.9, -0.025), {35}));
}

std::vector<Tensor> rows(Builder& b) {
  const Tensor x = b.input(ramp(7 * 33, -1e4, 87.0), {7, 33});
  return b.with_gradients(softmax(x) + log_softmax(x) + logsumexp(x, {.axes = {1}, .keepdim = true}));
}

std::vector<Tensor> gentle_rows(Builder& b) {
  const Tensor x = b.normal({5, 31});
  return b.with_gradients(softmax(x) * log_softmax(x));
}

std::vector<Tensor> normalised(Builder& b) {
  const Tensor x = b.normal({9, 3});
  const Tensor weight = b.normal({3});
  return b.with_gradients(layer_norm(x, weight, b.normal({3})));
}

std::vector<Tensor> lookup(Builder& b) {
  const Tensor table = b.normal({19, 5});
  return b.with_gradients(square(embedding(table, b.index(every(37, 5, 13), {37}))));
}

std::vector<Tensor> scatter(Builder& b) {
  const Tensor x = b.normal({4, 9});
  const Tensor index = b.index(every(4 * 7, 3, 5), {4, 7});
  const Tensor y = scatter_add(x, 1, index, b.normal({4, 7}));
  return b.with_gradients(gather(y, 1, index));
}

std::vector<Tensor> running(Builder& b) {
  return b.with_gradients(cumsum(b.normal({3, 65}), 1));
}

std::vector<Tensor> rounded(Builder& b) {
  const Tensor x = b.normal({131});
  return b.with_gradients(cat({x, x * 3.0}).to(bf16).to(f32));
}

std::vector<Tensor> dropped(Builder& b) {
  return b.with_gradients(dropout(b.normal({123}), 0.5, {b.seed(), 77}));
}

std::vector<Tensor> ties(Builder& b) {
  const Tensor x = b.normal({13, 7});
  return {cast(argmax(sign(x)), f32)};
}

std::vector<Tensor> adam(Builder& b) {
  const Tensor p = b.normal({57});
  const Tensor m = b.normal({57}, 1e-3);
  return {update<formulas::Adam>({p, m, square(b.normal({57}, 1e-3))}, {1e-2, 0.03, 1e-8, 1e-4})};
}

std::vector<Tensor> reused(Builder& b) {
  const Tensor x = b.normal({8, 8});
  const Tensor y = tanh(x);
  const Tensor z = y * sigmoid(x);
  return b.with_gradients(matmul(z, y) + z * y);
}

std::vector<Tensor> far_lookup(Builder& b) {
  constexpr std::int64_t count = (std::int64_t{1} << 24) + 9;
  Values table(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < table.size(); ++i) {
    table[i] = static_cast<float>(i % 1013);
  }
  const Tensor x = tensor(table, {count}, {.device = b.device()});
  return {index_select(x, 0, b.index({count - 1, count - 2, count - 4, 3}, {4}))};
}

}  // namespace

std::vector<FaultCase> fault_cases(std::int64_t seed) {
  std::vector<FaultCase> cases;
  const auto add = [&](std::string name, std::vector<Tensor> (*body)(Builder&), bool large = false) {
    cases.push_back({std::move(name),
                     [body, seed](Device device, Cotangent cotangent) {
                       Builder builder(device, cotangent, seed);
                       return body(builder);
                     },
                     large});
  };
  add("linear (17, 65) x (65, 7)", product);
  add("matmul, K = 4097", long_product);
  add("matmul(x, x)", square_product);
  add("sums of 1025", sums);
  add("arithmetic", arithmetic);
  add("kinks at 0", kinks);
  add("exp from -80 to 80", steep);
  add("subnormal products", subnormal);
  add("softmax at -10^4 to 10^4", rows);
  add("softmax", gentle_rows);
  add("layer_norm of 3", normalised);
  add("lookup with duplicates", lookup);
  add("scatter with duplicates", scatter);
  add("running sums", running);
  add("cast to bfloat16", rounded);
  add("dropout", dropped);
  add("argmax with ties", ties);
  add("Adam's step", adam);
  add("tensors used twice", reused);
  add("lookup beyond 2^24", far_lookup, true);
  return cases;
}

}  // namespace twingrad::check
