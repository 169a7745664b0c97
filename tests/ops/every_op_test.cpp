// Tests that the rows generate: for every row and every device, values against the CPU in float64 within a derived
// bound, gradients and second derivatives against differences with a computed tolerance, in every memory layout.
#include <twingrad/autograd.h>
#include <twingrad/evaluate.h>

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "tests/ops/derivative.h"
#include "tests/ops/roundoff.h"
#include "tests/ops/samples.h"

namespace twingrad::tests {
namespace {

constexpr std::uint64_t seed = 20250101;
/// Relative roundoffs that one element of a sample's output may hold: see roundoff.h; no sample sums more than 257.
constexpr double sample_roundoffs = 16 + 257;

bool differentiable(const Op& op) {
  return op.gradient != nullptr && !op.constant;
}

std::vector<Drawn> draws_of(const Op& op) {
  std::vector<Drawn> draws;
  for (const Sample& sample : samples_of(op)) {
    draws.push_back(draw(sample, op.domain, seed + draws.size()));
  }
  return draws;
}

/// The drawn inputs; floating-point ones in `dtype`, requiring gradients.
std::vector<Tensor> make_inputs(const Drawn& drawn, const std::vector<std::vector<double>>& values, Dtype dtype,
                                Device device, Layout layout = Layout::contiguous) {
  std::vector<Tensor> inputs;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const TensorType& type = drawn.sample.inputs[i];
    const bool floating = drawn.floating(i);
    inputs.push_back(lay_out(values[i], type.shape,
                             {.dtype = floating ? dtype : type.dtype, .device = device, .requires_grad = floating},
                             layout));
  }
  return inputs;
}

std::vector<Tensor> floats_of(const std::vector<Tensor>& inputs) {
  std::vector<Tensor> floats;
  for (const Tensor& input : inputs) {
    if (is_floating(input.dtype())) {
      floats.push_back(input);
    }
  }
  return floats;
}

/// The values as `dtype` holds them.
std::vector<std::vector<double>> rounded(const Drawn& drawn, Dtype dtype) {
  std::vector<std::vector<double>> values = drawn.values;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (drawn.floating(i)) {
      values[i] = tensor(values[i], {.dtype = dtype}).to_vector<double>();
    }
  }
  return values;
}

std::vector<double> evaluate(const Op& op, const Drawn& drawn, const std::vector<std::vector<double>>& values) {
  return use_op(op, make_inputs(drawn, values, f64, Device::cpu()), drawn.sample.attributes, Device::cpu())
      .to_vector<double>();
}

/// The bound of roundoff.h where there is no gradient to derive it from: elementwise updates, whose sensitivity to each
/// input is found by changing that input alone.
std::vector<double> bound_by_differences(const Op& op, const Drawn& drawn,
                                         const std::vector<std::vector<double>>& values, double u) {
  const std::vector<double> centre = evaluate(op, drawn, values);
  std::vector<double> bound(centre.size());
  for (std::size_t j = 0; j < centre.size(); ++j) {
    bound[j] = 16 * u * std::abs(centre[j]);
  }
  const double change = 1e-6;
  const auto add = [&](std::size_t i, std::size_t from, std::size_t to) {
    std::vector<std::vector<double>> changed = values;
    for (std::size_t k = from; k < to; ++k) {
      changed[i][k] *= 1 + change;
    }
    const std::vector<double> result = evaluate(op, drawn, changed);
    for (std::size_t j = 0; j < centre.size(); ++j) {
      bound[j] += 16 * u * std::abs(result[j] - centre[j]) / change;
    }
  };
  for (std::size_t i = 0; i + 1 < values.size(); ++i) {
    add(i, 0, values[i].size());
  }
  for (std::size_t k = 0; k < values.back().size(); ++k) {
    add(values.size() - 1, k, k + 1);
  }
  return bound;
}

void expect_forward(const Op& op, const Drawn& drawn, Dtype dtype, Device device, Layout layout) {
  const std::vector<std::vector<double>> values = rounded(drawn, dtype);
  const Tensor found = use_op(op, make_inputs(drawn, values, dtype, device, layout), drawn.sample.attributes, device);
  const Tensor reference =
      use_op(op, make_inputs(drawn, values, f64, Device::cpu()), drawn.sample.attributes, Device::cpu());
  ASSERT_EQ(found.shape(), reference.shape());
  std::vector<double> bound(static_cast<std::size_t>(reference.numel()), 0);  // 0: the same bits
  if (reference.requires_grad()) {
    const bool narrow = dtype == bf16 || dtype == f16;
    const Tensor on_cpu = reference.to(Device::cpu());
    bound = op.gradient == nullptr
                ? bound_by_differences(op, drawn, values, unit_roundoff(dtype))
                : roundoff_bound(on_cpu, unit_roundoff(narrow ? f32 : dtype), narrow ? unit_roundoff(dtype) : 0);
  }
  const std::vector<double> got = found.to_vector<double>();
  const std::vector<double> want = reference.to_vector<double>();
  for (std::size_t i = 0; i < want.size(); ++i) {
    ASSERT_TRUE(std::isfinite(want[i])) << "a sample's value is not finite: element " << i;
    EXPECT_NEAR(got[i], want[i], bound[i]) << name(dtype) << ", element " << i;
  }
}

std::vector<double> cotangent_of(const Drawn& drawn, const Tensor& output) {
  std::mt19937_64 random(seed + drawn.values.size());
  return random_weights(static_cast<std::size_t>(output.numel()), random);
}

/// Elements whose derivative is taken one by one; of long inputs every few.
std::vector<std::size_t> chosen_elements(std::size_t count) {
  const std::size_t stride = std::max<std::size_t>(1, count / 48);
  std::vector<std::size_t> chosen;
  for (std::size_t i = 0; i < count; i += stride) {
    chosen.push_back(i);
  }
  return chosen;
}

/// Differences of sum(cotangent * output) by each chosen element of each floating-point input, on the CPU.
using Derivatives = std::vector<std::map<std::size_t, Derivative>>;

Derivatives differences(const Op& op, const Drawn& drawn) {
  const Tensor output =
      use_op(op, make_inputs(drawn, drawn.values, f64, Device::cpu()), drawn.sample.attributes, Device::cpu());
  const std::vector<double> cotangent = cotangent_of(drawn, output);
  Derivatives derivatives(drawn.values.size());
  for (std::size_t i = 0; i < drawn.values.size(); ++i) {
    if (!drawn.floating(i)) {
      continue;
    }
    for (const std::size_t k : chosen_elements(drawn.values[i].size())) {
      derivatives[i][k] = derivative(
          [&](double t) {
            std::vector<std::vector<double>> moved = drawn.values;
            moved[i][k] += t;
            return evaluate(op, drawn, moved);
          },
          cotangent, drawn.step, sample_roundoffs);
    }
  }
  return derivatives;
}

const Derivatives& cached_differences(const Op& op, std::size_t sample, const Drawn& drawn) {
  static std::map<std::pair<const Op*, std::size_t>, Derivatives> cache;
  const auto [entry, fresh] = cache.try_emplace({&op, sample});
  if (fresh) {
    entry->second = differences(op, drawn);
  }
  return entry->second;
}

void expect_gradients(const Op& op, const Drawn& drawn, const Derivatives& expected, Device device, Layout layout) {
  const std::vector<Tensor> inputs = make_inputs(drawn, drawn.values, f64, device, layout);
  const Tensor output = use_op(op, inputs, drawn.sample.attributes, device);
  const Tensor cotangent =
      tensor(cotangent_of(drawn, output), output.shape(), {.dtype = output.dtype(), .device = output.device()});
  const std::vector<Tensor> found = gradients(output, floats_of(inputs), {.cotangent = cotangent});
  eval(found);
  std::size_t next = 0;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!drawn.floating(i)) {
      continue;
    }
    const std::vector<double> gradient = found[next++].to_vector<double>();
    for (const auto& [k, by_differences] : expected[i]) {
      EXPECT_NEAR(gradient[k], by_differences.value, by_differences.tolerance) << "input " << i << ", element " << k;
      // The cotangents are about 1: a tolerance far below is one that a wrong gradient does not pass.
      EXPECT_LT(by_differences.tolerance, 1e-5) << "input " << i << ", element " << k;
    }
  }
}

/// Directions for all floating-point inputs, then for the cotangent.
std::vector<std::vector<double>> directions(const Drawn& drawn, std::size_t outputs) {
  std::mt19937_64 random(seed + 1);
  std::vector<std::vector<double>> result;
  for (std::size_t i = 0; i < drawn.values.size(); ++i) {
    result.push_back(drawn.floating(i) ? random_weights(drawn.values[i].size(), random)
                                       : std::vector<double>(drawn.values[i].size(), 0));
  }
  result.push_back(random_weights(outputs, random));
  return result;
}

/// One use of the gradient rule, ready to be differentiated again.
struct SecondOrder {
  std::vector<Tensor> variables;  ///< floating-point inputs, then the cotangent
  std::vector<Tensor> gradients;
};

SecondOrder build_second_order(const Op& op, const Drawn& drawn, const std::vector<std::vector<double>>& values,
                               const std::vector<double>& cotangent, Device device) {
  const std::vector<Tensor> inputs = make_inputs(drawn, values, f64, device);
  const Tensor output = use_op(op, inputs, drawn.sample.attributes, device);
  SecondOrder result;
  result.variables = floats_of(inputs);
  const Tensor v =
      tensor(cotangent, output.shape(), {.dtype = output.dtype(), .device = output.device(), .requires_grad = true});
  result.gradients = gradients(output, result.variables, {.cotangent = v});
  result.variables.push_back(v);
  return result;
}

std::vector<std::vector<double>> weights_of(const SecondOrder& second) {
  std::mt19937_64 random(seed + 2);
  std::vector<std::vector<double>> weights;
  for (const Tensor& gradient : second.gradients) {
    weights.push_back(random_weights(static_cast<std::size_t>(gradient.numel()), random));
  }
  return weights;
}

/// The derivative of sum(weights * gradients) along the directions, by differences on the CPU.
Derivative second_by_differences(const Op& op, const Drawn& drawn, const std::vector<double>& cotangent) {
  const std::vector<std::vector<double>> along = directions(drawn, cotangent.size());
  const auto at = [&](double t) {
    std::vector<std::vector<double>> values = drawn.values;
    std::vector<double> moved = cotangent;
    for (std::size_t i = 0; i < values.size(); ++i) {
      for (std::size_t k = 0; k < values[i].size(); ++k) {
        values[i][k] += t * along[i][k];
      }
    }
    for (std::size_t k = 0; k < moved.size(); ++k) {
      moved[k] += t * along.back()[k];
    }
    const SecondOrder second = build_second_order(op, drawn, values, moved, Device::cpu());
    eval(second.gradients);
    std::vector<double> all;
    for (const Tensor& gradient : second.gradients) {
      const std::vector<double> values_of = gradient.to_vector<double>();
      all.insert(all.end(), values_of.begin(), values_of.end());
    }
    return all;
  };
  std::vector<double> weights;
  for (const auto& part : weights_of(build_second_order(op, drawn, drawn.values, cotangent, Device::cpu()))) {
    weights.insert(weights.end(), part.begin(), part.end());
  }
  // The directions' elements are below 1.5, and two values may move towards each other.
  return derivative(at, weights, drawn.step / 3, sample_roundoffs);
}

void expect_second_derivative(const Op& op, const Drawn& drawn, const Derivative& expected,
                              const std::vector<double>& cotangent, Device device) {
  const SecondOrder second = build_second_order(op, drawn, drawn.values, cotangent, device);
  const std::vector<std::vector<double>> weights = weights_of(second);
  const std::vector<std::vector<double>> along = directions(drawn, cotangent.size());
  Tensor total = tensor(0.0, {.dtype = f64, .device = device});
  for (std::size_t i = 0; i < second.gradients.size(); ++i) {
    const Tensor weight = tensor(weights[i], second.gradients[i].shape(), {.dtype = f64, .device = device});
    total = total + sum(second.gradients[i] * weight);
  }
  const std::vector<Tensor> slopes = gradients(total, second.variables, {.allow_unused = true});
  eval(slopes);
  long double found = 0;
  double noise = 0;
  std::size_t next = 0;
  for (std::size_t i = 0; i < along.size(); ++i) {
    const bool is_cotangent = i + 1 == along.size();
    if (!is_cotangent && !drawn.floating(i)) {
      continue;
    }
    const std::vector<double> slope = slopes[next++].to_vector<double>();
    for (std::size_t k = 0; k < slope.size(); ++k) {
      found += static_cast<long double>(slope[k]) * along[i][k];
      noise += std::abs(slope[k] * along[i][k]);
    }
  }
  const double tolerance = expected.tolerance + sample_roundoffs * unit_roundoff(f64) * noise;
  EXPECT_NEAR(static_cast<double>(found), expected.value, tolerance);
  EXPECT_LT(tolerance, 1e-5 * (1 + noise));  // no wrong rule hides below that
}

std::string test_name(const testing::TestParamInfo<std::tuple<const Op*, Device>>& info) {
  return std::string(std::get<0>(info.param)->name) + "_" + device_label(std::get<1>(info.param));
}

std::vector<const Op*> elementwise_ops() {
  std::vector<const Op*> ops;
  for (const Op* op : all_ops()) {
    if (op->family == Family::elementwise) {
      ops.push_back(op);
    }
  }
  return ops;
}

class EveryOp : public testing::TestWithParam<std::tuple<const Op*, Device>> {
 protected:
  void SetUp() override {
    if (!device().available()) {
      GTEST_SKIP() << "no CUDA device: this test waits for a GPU";
    }
  }
  const Op& op() const { return *std::get<0>(GetParam()); }
  Device device() const { return std::get<1>(GetParam()); }
};

TEST_P(EveryOp, ValuesAgreeWithFloat64OnTheCpu) {
  for (const Drawn& drawn : draws_of(op())) {
    for (const Dtype dtype : {f64, f32, bf16, f16}) {
      expect_forward(op(), drawn, dtype, device(), Layout::contiguous);
    }
  }
}

TEST_P(EveryOp, TakesStridedInputs) {
  const std::vector<Drawn> draws = draws_of(op());
  for (std::size_t i = 0; i < draws.size(); ++i) {
    for (const Layout layout : {Layout::transposed, Layout::stepped, Layout::reversed}) {
      SCOPED_TRACE("sample " + std::to_string(i) + ", layout " + std::to_string(static_cast<int>(layout)));
      expect_forward(op(), draws[i], f64, device(), layout);
      expect_forward(op(), draws[i], f32, device(), layout);
      if (differentiable(op())) {
        expect_gradients(op(), draws[i], cached_differences(op(), i, draws[i]), device(), layout);
      }
    }
  }
}

// A tensor of stride 0 shows the same values as its copy in full.
TEST_P(EveryOp, TakesExpandedInputs) {
  for (const Drawn& drawn : draws_of(op())) {
    std::vector<Tensor> expanded;
    std::vector<Tensor> full;
    for (std::size_t i = 0; i < drawn.values.size(); ++i) {
      const TensorType& type = drawn.sample.inputs[i];
      Shape one = type.shape;
      std::size_t count = drawn.values[i].size();
      if (!one.empty() && one[0] > 0) {
        count /= static_cast<std::size_t>(one[0]);
        one[0] = 1;
      }
      const std::vector<double> row(drawn.values[i].begin(),
                                    drawn.values[i].begin() + static_cast<std::ptrdiff_t>(count));
      expanded.push_back(broadcast_to(tensor(row, one, {.dtype = type.dtype, .device = device()}), type.shape));
      full.push_back(
          tensor(expanded.back().to_vector<double>(), type.shape, {.dtype = type.dtype, .device = device()}));
    }
    const Tensor found = use_op(op(), expanded, drawn.sample.attributes, device());
    const Tensor reference = use_op(op(), full, drawn.sample.attributes, device());
    const std::vector<double> got = found.to_vector<double>();
    const std::vector<double> want = reference.to_vector<double>();
    double scale = 0;
    for (const double value : want) {
      scale = std::max(scale, std::abs(value));
    }
    for (std::size_t i = 0; i < want.size(); ++i) {
      // The order of a sum may depend on the layout.
      EXPECT_NEAR(got[i], want[i], 2 * sample_roundoffs * unit_roundoff(f64) * scale) << "element " << i;
    }
  }
}

TEST_P(EveryOp, GradientsAgreeWithDifferences) {
  const std::vector<Drawn> draws = draws_of(op());
  for (std::size_t i = 0; i < draws.size(); ++i) {
    SCOPED_TRACE("sample " + std::to_string(i));
    if (differentiable(op())) {
      expect_gradients(op(), draws[i], cached_differences(op(), i, draws[i]), device(), Layout::contiguous);
      continue;
    }
    const std::vector<Tensor> inputs = make_inputs(draws[i], draws[i].values, f64, device());
    const Tensor output = use_op(op(), inputs, draws[i].sample.attributes, device());
    if (op().constant) {
      EXPECT_FALSE(output.requires_grad());
    } else {
      EXPECT_THROW(gradients(sum(output), floats_of(inputs)), ArgumentError);
    }
  }
}

TEST_P(EveryOp, SecondDerivativesAgreeWithDifferences) {
  static std::map<std::pair<const Op*, std::size_t>, Derivative> cache;
  if (!differentiable(op())) {
    return;
  }
  const std::vector<Drawn> draws = draws_of(op());
  for (std::size_t i = 0; i < draws.size(); ++i) {
    SCOPED_TRACE("sample " + std::to_string(i));
    const Tensor output = use_op(op(), make_inputs(draws[i], draws[i].values, f64, Device::cpu()),
                                 draws[i].sample.attributes, Device::cpu());
    const std::vector<double> cotangent = cotangent_of(draws[i], output);
    const auto [entry, fresh] = cache.try_emplace({&op(), i});
    if (fresh) {
      entry->second = second_by_differences(op(), draws[i], cotangent);
    }
    expect_second_derivative(op(), draws[i], entry->second, cotangent, device());
  }
}

// What an op gives for whole numbers in int64 and int32 is what it gives for them in float64.
TEST_P(EveryOp, TakesIntegersWhereItsTypeRuleDoes) {
  for (const Sample& sample : samples_of(op())) {
    for (const Dtype dtype : {i64, i32}) {
      std::vector<Tensor> integers;
      std::vector<Tensor> floats;
      std::vector<TensorType> types;
      std::mt19937_64 random(seed);
      bool any = false;
      for (const TensorType& type : sample.inputs) {
        std::vector<double> values(static_cast<std::size_t>(numel(type.shape)));
        for (double& value : values) {
          // Long products of anything else would leave the whole numbers that float64 holds.
          value = is_floating(type.dtype) ? (op().name == "prod" ? 1.0 - 2.0 * static_cast<double>(random() % 2)
                                                                 : static_cast<double>(random() % 7) - 3)
                                          : static_cast<double>(random() % static_cast<unsigned>(sample.index_limit));
        }
        any = any || is_floating(type.dtype);
        const Dtype integer = is_floating(type.dtype) ? dtype : type.dtype;
        integers.push_back(tensor(values, type.shape, {.dtype = integer, .device = device()}));
        floats.push_back(tensor(values, type.shape, {.dtype = type.dtype}));
        types.push_back({type.shape, integer});
      }
      try {
        op().infer(types, sample.attributes);
      } catch (const DtypeError&) {
        continue;
      }
      if (any) {
        EXPECT_EQ(use_op(op(), integers, sample.attributes, device()).to_vector<double>(),
                  use_op(op(), floats, sample.attributes, Device::cpu()).to_vector<double>());
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Rows, EveryOp,
                         testing::Combine(testing::ValuesIn(all_ops()), testing::ValuesIn(device_parameters())),
                         test_name);

class EveryElementwiseOp : public EveryOp {};

// Sizes around the widths of vectors, warps and blocks.
TEST_P(EveryElementwiseOp, TakesEverySize) {
  for (const std::int64_t size : {0, 1, 7, 31, 33, 255, 257}) {
    SCOPED_TRACE("size " + std::to_string(size));
    Sample sample = samples_of(op()).front();
    for (TensorType& type : sample.inputs) {
      type.shape = {size};
    }
    const Drawn drawn = draw(sample, op().domain, seed);
    expect_forward(op(), drawn, f64, device(), Layout::contiguous);
    expect_forward(op(), drawn, f32, device(), Layout::contiguous);
    if (!differentiable(op())) {
      continue;
    }
    const std::vector<Tensor> inputs = make_inputs(drawn, drawn.values, f64, device());
    const Tensor output = use_op(op(), inputs, sample.attributes, device());
    const std::vector<Tensor> found =
        gradients(output, floats_of(inputs), {.cotangent = ones(output.shape(), {.dtype = f64, .device = device()})});
    std::size_t next = 0;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (!drawn.floating(i)) {
        continue;
      }
      const std::vector<double> gradient = found[next++].to_vector<double>();
      for (const std::size_t k : chosen_elements(gradient.size())) {
        std::vector<double> only(gradient.size(), 0);
        only[k] = 1;
        const Derivative expected = derivative(
            [&](double t) {
              std::vector<std::vector<double>> moved = drawn.values;
              moved[i][k] += t;
              return evaluate(op(), drawn, moved);
            },
            only, drawn.step, sample_roundoffs);
        EXPECT_NEAR(gradient[k], expected.value, expected.tolerance) << "input " << i << ", element " << k;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Rows, EveryElementwiseOp,
                         testing::Combine(testing::ValuesIn(elementwise_ops()), testing::ValuesIn(device_parameters())),
                         test_name);

}  // namespace
}  // namespace twingrad::tests
