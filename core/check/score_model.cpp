#include <twingrad/autograd.h>
#include <twingrad/check/score_model.h>
#include <twingrad/ops.h>
#include <twingrad/optim/adam.h>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

namespace twingrad::check {
namespace {

constexpr std::int64_t batch = 32;
constexpr std::int64_t words = 40;
constexpr std::int64_t classes = 10;
constexpr std::int64_t table_rows = (std::int64_t{1} << 24) + 65;
/// No two layers have the same shape, so that a layer can be told from its neighbours by its shapes.
constexpr std::int64_t widths[] = {29, 25, 41, 27, 37, 21, 33, 26, 23};
constexpr std::size_t layers = 8;

std::vector<float> normal(std::int64_t count, double scale, Seed seed) {
  std::vector<float> values = random_normal({count}, seed).to_vector<float>();
  for (float& value : values) {
    value *= static_cast<float>(scale);
  }
  return values;
}

}  // namespace

struct FaultModel::Values {
  struct Parameter {
    std::string name;
    Shape shape;
    std::vector<float> data;
  };
  std::vector<Parameter> parameters;
  std::vector<float> features;
  std::vector<float> tiny;
  std::vector<std::int64_t> tokens, places, labels, rows;
  std::vector<float> table;
  std::int64_t seed;

  void add(const std::string& name, const Shape& shape, double scale, double offset = 0) {
    Parameter parameter{name, shape, normal(numel(shape), scale, {seed, static_cast<std::int64_t>(parameters.size())})};
    for (float& value : parameter.data) {
      value += static_cast<float>(offset);
    }
    parameters.push_back(std::move(parameter));
  }
};

FaultModel::FaultModel(std::uint64_t seed, const FaultModelOptions& options) : values_(std::make_unique<Values>()) {
  Values& v = *values_;
  v.seed = static_cast<std::int64_t>(seed);
  v.add("embedding", {words, 8}, 1);
  v.add("scale", {5}, 0.3, 1);
  v.add("codes", {widths[7], widths[7]}, 0.5);
  v.add("gain", {widths[3]}, 0.2, 0.5);
  v.add("additions", {batch, 6}, 0.5);
  for (std::size_t l = 0; l < layers; ++l) {
    const std::string layer = "layer " + std::to_string(l) + " ";
    v.add(layer + "weight", {widths[l + 1], widths[l]}, 1 / std::sqrt(static_cast<double>(widths[l])));
    v.add(layer + "bias", {widths[l + 1]}, 0.1);
    v.add(layer + "norm weight", {widths[l + 1]}, 0.2, 1);
    v.add(layer + "norm bias", {widths[l + 1]}, 0.2);
  }
  v.add("head weight", {classes, widths[8]}, 0.2);
  v.add("head bias", {classes}, 0.1);
  v.features = normal(batch * 5, 1, {v.seed, 1000});
  for (std::int64_t i = 0; i < widths[3]; ++i) {
    v.tiny.push_back(static_cast<float>(i + 1) * 3e-40F);
  }
  for (std::int64_t i = 0; i < batch * 3; ++i) {
    v.tokens.push_back(i * 17 % 23);  // each word several times, some never
  }
  for (std::int64_t i = 0; i < batch * 6; ++i) {
    v.places.push_back(i % 6 < 3 ? 4 : i * 7 % widths[5]);
  }
  for (std::int64_t i = 0; i < batch; ++i) {
    v.labels.push_back(i * 3 % classes);
    v.rows.push_back(table_rows - 2 - 2 * i);  // odd
  }
  if (options.large_table) {
    v.table.resize(static_cast<std::size_t>(table_rows));
    for (std::size_t i = 0; i < v.table.size(); ++i) {
      v.table[i] = static_cast<float>(i % 1009) * 0.001F;
    }
  }
}

FaultModel::~FaultModel() = default;

Tensor FaultModel::operator()(Device device) const {
  const Values& v = *values_;
  const TensorOptions there{.device = device};
  std::vector<Tensor> parameters;
  for (const Values::Parameter& parameter : v.parameters) {
    Tensor leaf = tensor(parameter.data, parameter.shape, {.device = device, .requires_grad = true});
    leaf.label(parameter.name);
    parameters.push_back(leaf);
  }
  std::size_t next = 0;
  const auto parameter = [&] { return parameters[next++]; };

  const Tensor tokens = tensor(v.tokens, {batch, 3}, there);
  Tensor h = reshape(embedding(parameter(), tokens), {batch, 24});
  const Tensor features = tensor(v.features, {batch, 5}, there);
  h = cat({h, cumsum(features * parameter(), 1)}, 1);
  if (!v.table.empty()) {
    const Tensor table = tensor(v.table, {table_rows, 1}, there);
    h = h + embedding(table, tensor(v.rows, {batch}, there));
  }
  Tensor extra = mean(square(h));
  const Tensor codes = parameter();
  const Tensor gain = parameter();
  const Tensor additions = parameter();
  for (std::size_t l = 0; l < layers; ++l) {
    const Tensor weight = parameter();
    const Tensor bias = parameter();
    h = linear(h, weight, bias);
    const Tensor norm_weight = parameter();
    const Tensor norm_bias = parameter();
    h = layer_norm(h, norm_weight, norm_bias);
    h = l % 2 == 0 ? relu(h) : gelu(h);
    h = dropout(h, 0.1, {v.seed, 2000 + static_cast<std::int64_t>(l)});
    if (l == 2) {
      h = h * gain;
    } else if (l == 1) {
      h = h + 0.01 * random_normal({batch, widths[2]}, {v.seed, 3000}, there);
      h = h * softmax(h * 60.0);
    } else if (l == 4) {
      h = h + softmax(h);
    } else if (l == 3) {
      h = h.to(bf16).to(f32);
    } else if (l == 5) {
      h = h - 0.01 * exp(6.0 * tanh(h));
      h = h / (1.0 + abs(h));
    }
  }
  // Beside the layers: positions of extremes, subnormal products, duplicates, a choice, slices.
  const Tensor chosen = argmax(sign(h));
  extra = extra + mean(embedding(codes, chosen));
  const Tensor tiny = tensor(v.tiny, {widths[3]}, there);
  extra = extra + sum(tiny * gain);
  const Tensor places = tensor(v.places, {batch, 6}, there);
  const Tensor left = slice(h, 1, 0, widths[5]);
  const Tensor base = where(greater(left, 0.2), left, slice(h, 1, 1, widths[5] + 1));
  const Tensor scattered = scatter_add(base, 1, places, additions);
  extra = extra + mean(square(gather(scattered, 1, places))) + mean(square(scattered));
  const Tensor head_weight = parameter();
  const Tensor head_bias = parameter();
  const Tensor logits = linear(h, head_weight, head_bias);
  const Tensor labels = tensor(v.labels, {batch}, there);
  const Tensor loss =
      cross_entropy(logits, labels) + 0.1 * extra + 1e-3 * mean(logsumexp(logits * 40.0, {.axes = {-1}}));
  optim::AdamW adam(parameters, {.lr = 1e-3, .weight_decay = 1e-2});
  adam.step(gradients(loss, parameters));
  return loss;
}

}  // namespace twingrad::check
