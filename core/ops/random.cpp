// Rows and functions of the random ops. The seed is data in the graph, so that a new one needs no new plan.
// Attributes: ints = the output's shape; reals[0] = its dtype.
#include <twingrad/graph/capture.h>
#include <twingrad/kernels.h>
#include <twingrad/ops/rows.h>
#include <twingrad/ops/use.h>

#include <array>

namespace twingrad {
namespace {

TensorType infer_random(std::span<const TensorType> inputs, const Attributes& attributes) {
  if (inputs[0].dtype != Dtype::i64 || !(inputs[0].shape == Shape{2})) {
    throw ShapeError("the seed must be int64 of shape (2): key and stream");
  }
  return {attributes.ints, static_cast<Dtype>(static_cast<int>(attributes.reals[0]))};
}

Attributes attributes_of(const Shape& shape, Dtype dtype) {
  return {.ints = shape, .reals = {static_cast<double>(dtype)}};
}

std::vector<Sample> float_samples() {
  return {{{sample_index({2})}, attributes_of({7, 5}, Dtype::f64), 1000},
          {{sample_index({2})}, attributes_of({33}, Dtype::f32), 1000}};
}

Tensor draw(const Op& row, const Shape& shape, Dtype dtype, Seed seed, Device device,
            const std::source_location& where) {
  for (const std::int64_t length : shape) {
    if (length < 0) {
      throw ShapeError(std::string(row.name) + " at " + to_string(WhereScope::current(where)) + ": the shape " +
                       to_string(shape) + " holds a negative length");
    }
  }
  const std::array<std::int64_t, 2> words = {seed.key, seed.stream};
  const Tensor literal = literal_integers(words, device);
  if (Capture* capture = CaptureScope::active(); capture != nullptr) {
    capture->note_seed(seed, literal.node());
  }
  return apply(row, {Operand(literal, where)}, attributes_of(shape, dtype));
}

Tensor draw_floats(const Op& row, const Shape& shape, Seed seed, const TensorOptions& options,
                   const std::source_location& where) {
  const Dtype dtype = options.dtype.value_or(Dtype::f32);
  if (!is_floating(dtype)) {
    throw DtypeError(std::string(row.name) + " at " + to_string(WhereScope::current(where)) +
                     ": draws floating-point numbers, not " + std::string(name(dtype)) +
                     "; cast the result with to(...)");
  }
  Tensor result = draw(row, shape, dtype, seed, options.device, where);
  if (options.requires_grad) {
    result.eval();
    result = result.detach().requires_grad(true);
  }
  return result;
}

}  // namespace

constexpr Op random_uniform_row = {
    .name = "random_uniform",
    .family = Family::random,
    .kernel = static_cast<int>(Random::uniform),
    .summary = "uniform in [0, 1)",
    .infer = infer_random,
    .constant = true,
    .samples = float_samples,
};
Tensor random_uniform(const Shape& shape, Seed seed, TensorOptions options, std::source_location where) {
  return draw_floats(random_uniform_row, shape, seed, options, where);
}

constexpr Op random_normal_row = {
    .name = "random_normal",
    .family = Family::random,
    .kernel = static_cast<int>(Random::normal),
    .summary = "standard normal",
    .infer = infer_random,
    .constant = true,
    .samples = float_samples,
};
Tensor random_normal(const Shape& shape, Seed seed, TensorOptions options, std::source_location where) {
  return draw_floats(random_normal_row, shape, seed, options, where);
}

constexpr Op random_permutation_row = {
    .name = "random_permutation",
    .family = Family::random,
    .kernel = static_cast<int>(Random::permutation),
    .summary = "0 .. count - 1 in random order",
    .infer = infer_random,
    .constant = true,
    .samples = []() -> std::vector<Sample> {
      return {{{sample_index({2})}, attributes_of({33}, Dtype::i64), 1000}};
    },
};
Tensor random_permutation(std::int64_t count, Seed seed, Device device, std::source_location where) {
  return draw(random_permutation_row, {count}, Dtype::i64, seed, device, where);
}

namespace {

/// `use` says what is done, and is asked only when the probability is none.
template <class Describe>
void require_probability(double probability, const Describe& use) {
  if (!(probability >= 0 && probability <= 1)) {
    throw ArgumentError(use() + ": the probability is " + std::to_string(probability) + "; give one from 0 to 1");
  }
}

}  // namespace

Tensor random_bernoulli(const Shape& shape, double probability, Seed seed, TensorOptions options,
                        std::source_location where) {
  const std::source_location line = WhereScope::current(where);
  const WhereScope scope(line);
  require_probability(probability, [&] { return "random_bernoulli at " + to_string(line); });
  // float64: a float32 literal would round the probability.
  const Tensor uniform = random_uniform(shape, seed, {.dtype = Dtype::f64, .device = options.device});
  return cast(less(uniform, probability), options.dtype.value_or(Dtype::boolean));
}

Tensor dropout(Operand x, double probability, Seed seed) {
  const Use use("dropout", {x});
  use.require_floats();
  require_probability(probability, [&] { return use.describe(); });
  const Tensor& input = use[0];
  if (probability == 0) {
    return input;
  }
  if (probability == 1) {
    // Not plain zeros: the input stays in the graph, with gradient 0.
    return where(full(Shape{}, 0, {.dtype = Dtype::boolean, .device = input.device()}), input, 0.0);
  }
  // float32 for every dtype of x, so that the mask does not depend on it.
  const Tensor uniform = random_uniform(input.shape(), seed, {.dtype = Dtype::f32, .device = input.device()});
  return where(greater_equal(uniform, probability), input * (1.0 / (1.0 - probability)), 0.0);
}

OpRows random_rows() {
  return {&random_uniform_row, &random_normal_row, &random_permutation_row};
}

}  // namespace twingrad
