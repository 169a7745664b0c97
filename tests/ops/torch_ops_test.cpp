// Every case of fixtures/torch_ops.json, which PyTorch computed in float64: outputs and vector-Jacobian products with
// the given cotangent, on every device.
#include <twingrad/autograd.h>
#include <twingrad/evaluate.h>
#include <twingrad/ops.h>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tests/devices.h"
#include "tests/ops/roundoff.h"

namespace twingrad::tests {
namespace {

using Json = nlohmann::json;
using Inputs = std::vector<Tensor>;
using Function = std::function<Tensor(const Inputs& x, const Json& attributes)>;

const Json& fixture() {
  static const Json json = [] {
    std::ifstream file(TWINGRAD_SOURCE_DIR "/tests/fixtures/torch_ops.json");
    if (!file) {
      throw std::runtime_error("tests/fixtures/torch_ops.json is missing");
    }
    return Json::parse(file);
  }();
  return json;
}

Dims dims(const Json& json) {
  Dims result;
  for (const Json& value : json) {
    result.push_back(value.get<std::int64_t>());
  }
  return result;
}

ReduceOptions reduce_options(const Json& a) {
  return {.axes = a.at("dim").is_null() ? Axes{} : dims(a.at("dim")), .keepdim = a.at("keepdim").get<bool>()};
}

Reduction reduction(const Json& a) {
  const auto word = a.at("reduction").get<std::string>();
  if (word != "mean" && word != "sum") {
    throw std::runtime_error("unknown reduction " + word);
  }
  return word == "mean" ? Reduction::mean : Reduction::sum;
}

int axis(const Json& a) {
  return a.at("dim").get<int>();
}

template <class F>
Function unary(F function) {
  return [function](const Inputs& x, const Json&) { return function(x[0]); };
}
template <class F>
Function binary(F function) {
  return [function](const Inputs& x, const Json&) { return function(x[0], x[1]); };
}
template <class F>
Function reducing(F function) {
  return [function](const Inputs& x, const Json& a) { return function(x[0], reduce_options(a)); };
}

const std::map<std::string, Function>& functions() {
  static const std::map<std::string, Function> map = {
      {"neg", unary(neg)},
      {"abs", unary([](const Tensor& x) { return abs(x); })},
      {"exp", unary([](const Tensor& x) { return exp(x); })},
      {"expm1", unary([](const Tensor& x) { return expm1(x); })},
      {"log", unary([](const Tensor& x) { return log(x); })},
      {"log1p", unary([](const Tensor& x) { return log1p(x); })},
      {"sqrt", unary([](const Tensor& x) { return sqrt(x); })},
      {"rsqrt", unary(rsqrt)},
      {"square", unary(square)},
      {"reciprocal", unary(reciprocal)},
      {"sin", unary([](const Tensor& x) { return sin(x); })},
      {"cos", unary([](const Tensor& x) { return cos(x); })},
      {"tanh", unary([](const Tensor& x) { return tanh(x); })},
      {"sigmoid", unary(sigmoid)},
      {"relu", unary(relu)},
      {"softplus", unary(softplus)},
      {"silu", unary(silu)},
      {"erf", unary([](const Tensor& x) { return erf(x); })},
      {"gelu",
       [](const Inputs& x, const Json& a) {
         return gelu(x[0], a.at("approximate").get<std::string>() == "tanh" ? Gelu::tanh : Gelu::erf);
       }},
      {"leaky_relu",
       [](const Inputs& x, const Json& a) { return leaky_relu(x[0], a.at("negative_slope").get<double>()); }},
      {"pow_scalar", [](const Inputs& x, const Json& a) { return pow(x[0], a.at("exponent").get<double>()); }},
      {"clamp", [](const Inputs& x,
                   const Json& a) { return clamp(x[0], a.at("min").get<double>(), a.at("max").get<double>()); }},
      {"add", binary(add)},
      {"sub", binary(sub)},
      {"mul", binary(mul)},
      {"div", binary([](const Tensor& a, const Tensor& b) { return div(a, b); })},
      {"maximum", binary(maximum)},
      {"minimum", binary(minimum)},
      {"pow", binary([](const Tensor& a, const Tensor& b) { return pow(a, b); })},
      {"where", [](const Inputs& x, const Json&) { return where(greater(x[0], 0.0), x[1], x[2]); }},
      {"sum", reducing(sum)},
      {"mean", reducing(mean)},
      {"amax", reducing(amax)},
      {"amin", reducing(amin)},
      {"cumsum", [](const Inputs& x, const Json& a) { return cumsum(x[0], axis(a)); }},
      {"matmul",
       [](const Inputs& x, const Json& a) {
         const Tensor left = a.value("transpose_a", false) ? transpose(x[0]) : x[0];
         const Tensor right = a.value("transpose_b", false) ? transpose(x[1]) : x[1];
         return matmul(left, right);
       }},
      {"linear", [](const Inputs& x, const Json&) { return linear(x[0], x[1], x[2]); }},
      {"softmax", [](const Inputs& x, const Json& a) { return softmax(x[0], axis(a)); }},
      {"log_softmax", [](const Inputs& x, const Json& a) { return log_softmax(x[0], axis(a)); }},
      {"layer_norm",
       [](const Inputs& x, const Json& a) { return layer_norm(x[0], x[1], x[2], a.at("eps").get<double>()); }},
      {"cross_entropy",
       [](const Inputs& x, const Json& a) {
         return cross_entropy(x[0], x[1],
                              {.label_smoothing = a.value("label_smoothing", 0.0), .reduction = reduction(a)});
       }},
      {"nll_loss", [](const Inputs& x,
                      const Json& a) { return nll_loss(log_softmax(x[0], 1), x[1], {.reduction = reduction(a)}); }},
      {"mse_loss", [](const Inputs& x, const Json& a) { return mse_loss(x[0], x[1], reduction(a)); }},
      {"l1_loss", [](const Inputs& x, const Json& a) { return l1_loss(x[0], x[1], reduction(a)); }},
      {"binary_cross_entropy_with_logits",
       [](const Inputs& x, const Json& a) { return binary_cross_entropy_with_logits(x[0], x[1], reduction(a)); }},
      {"hinge", [](const Inputs& x, const Json&) { return hinge_loss(x[0], x[1]); }},
      {"transpose", [](const Inputs& x,
                       const Json& a) { return transpose(x[0], a.at("dim0").get<int>(), a.at("dim1").get<int>()); }},
      {"permute", [](const Inputs& x, const Json& a) { return permute(x[0], dims(a.at("dims"))); }},
      {"reshape", [](const Inputs& x, const Json& a) { return reshape(x[0], dims(a.at("shape"))); }},
      {"broadcast_to", [](const Inputs& x, const Json& a) { return broadcast_to(x[0], dims(a.at("shape"))); }},
      {"slice",
       [](const Inputs& x, const Json& a) {
         return slice(x[0], axis(a), a.at("start").get<std::int64_t>(), a.at("stop").get<std::int64_t>(),
                      a.at("step").get<std::int64_t>());
       }},
      {"cat", [](const Inputs& x, const Json& a) { return cat(x, axis(a)); }},
      {"stack", [](const Inputs& x, const Json& a) { return stack(x, axis(a)); }},
      {"index_select", [](const Inputs& x, const Json& a) { return index_select(x[0], axis(a), x[1]); }},
      {"gather", [](const Inputs& x, const Json& a) { return gather(x[0], axis(a), x[1]); }},
      {"embedding", binary(embedding)},
      // sum((sigmoid(x w^T + b) - t)^2) / 2 of (weight, bias, x, target)
      {"sigmoid_layer_half_sse",
       [](const Inputs& x, const Json&) { return half_squared_error(sigmoid(linear(x[2], x[0], x[1])), x[3]); }},
  };
  return map;
}

Tensor read(const Json& json, Dtype dtype, Device device) {
  const bool integer = json.value("integer", false);
  return tensor(json.at("data").get<std::vector<double>>(), dims(json.at("shape")),
                {.dtype = integer ? i64 : dtype, .device = device, .requires_grad = !integer});
}

/// Output and input gradients of one case; an undefined tensor where the input has no gradient.
struct Results {
  Tensor output;
  std::vector<Tensor> gradients;
};

Results compute(const Json& test, Dtype dtype, Device device) {
  Inputs inputs;
  Inputs differentiable;
  for (const Json& input : test.at("inputs")) {
    inputs.push_back(read(input, dtype, device));
    if (is_floating(inputs.back().dtype())) {
      differentiable.push_back(inputs.back());
    }
  }
  Results results;
  results.output = functions().at(test.at("op").get<std::string>())(inputs, test.at("attrs"));
  const Tensor cotangent = read(test.at("cotangent"), dtype, device);
  std::vector<Tensor> found = gradients(results.output, differentiable, {.cotangent = cotangent, .allow_unused = true});
  std::size_t next = 0;
  for (const Tensor& input : inputs) {
    results.gradients.push_back(is_floating(input.dtype()) ? found[next++] : Tensor());
  }
  std::vector<Tensor> all = found;
  all.push_back(results.output);
  eval(all);
  return results;
}

double largest(const std::vector<double>& values) {
  double result = 0;
  for (const double value : values) {
    result = std::max(result, std::abs(value));
  }
  return result;
}

/// Relative to the element; where an element is small for its tensor because larger ones cancelled, to 10^-4 of the
/// largest.
void expect_relative(const Tensor& found, const Json& expected, double tolerance, const std::string& what) {
  const auto reference = expected.at("data").get<std::vector<double>>();
  ASSERT_EQ(found.shape(), dims(expected.at("shape"))) << what;
  const std::vector<double> values = found.to_vector<double>();
  const double scale = largest(reference);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double allowed = tolerance * std::max(std::abs(reference[i]), 1e-4 * scale);
    EXPECT_NEAR(values[i], reference[i], allowed) << what << ", element " << i;
  }
}

void expect_within(const Tensor& found, const Tensor& reference, const std::string& what) {
  ASSERT_EQ(found.shape(), reference.shape()) << what;
  const std::vector<double> bound = roundoff_bound(reference, unit_roundoff(f32));
  const std::vector<double> values = found.to_vector<double>();
  const std::vector<double> exact = reference.to_vector<double>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    EXPECT_NEAR(values[i], exact[i], bound[i]) << what << ", element " << i;
  }
}

std::string title(const Json& test) {
  std::string text = test.at("op").get<std::string>() + test.at("attrs").dump();
  for (const Json& input : test.at("inputs")) {
    text += " " + input.at("shape").dump();
  }
  return text;
}

class TorchOps : public DeviceTest {};

TEST_P(TorchOps, Float64) {
  std::size_t cases = 0;
  for (const Json& test : fixture().at("cases")) {
    SCOPED_TRACE(title(test));
    ASSERT_TRUE(functions().contains(test.at("op").get<std::string>())) << "no function for this op";
    const Results results = compute(test, f64, device());
    expect_relative(results.output, test.at("output"), 1e-10, "output");
    for (std::size_t i = 0; i < results.gradients.size(); ++i) {
      const Json& expected = test.at("input_grads")[i];
      ASSERT_EQ(expected.is_null(), !results.gradients[i].defined());
      if (!expected.is_null()) {
        expect_relative(results.gradients[i], expected, 1e-10, "gradient " + std::to_string(i));
      }
    }
    ++cases;
  }
  EXPECT_EQ(cases, 357U);
}

// The float32 result is compared with the float64 one of the same inputs rounded to float32, so that only arithmetic
// differs; roundoff.h derives how much it may.
TEST_P(TorchOps, Float32) {
  for (Json test : fixture().at("cases")) {
    SCOPED_TRACE(title(test));
    const auto round = [](Json& values) {
      for (Json& value : values.at("data")) {
        value = static_cast<double>(value.get<float>());
      }
    };
    for (Json& input : test.at("inputs")) {
      round(input);
    }
    round(test.at("cotangent"));
    const Results reference = compute(test, f64, Device::cpu());
    const Results results = compute(test, f32, device());
    expect_within(results.output, reference.output, "output");
    for (std::size_t i = 0; i < results.gradients.size(); ++i) {
      if (results.gradients[i].defined()) {
        expect_within(results.gradients[i], reference.gradients[i], "gradient " + std::to_string(i));
      }
    }
  }
}

INSTANTIATE_ON_DEVICES(TorchOps);

}  // namespace
}  // namespace twingrad::tests
