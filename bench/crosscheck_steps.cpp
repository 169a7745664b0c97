#include "crosscheck_steps.h"

#include <twingrad/twingrad.h>

#include <utility>

namespace crosscheck {
namespace {

/// Reports then name parameters as the model does.
void label_parameters(tg::nn::Module& model) {
  for (auto& [name, parameter] : model.named_parameters()) {
    parameter.label(name);
  }
}

/// The update as training does it: with a scaled loss in fp16.
void take_step(const StepOptions& options, tg::optim::Optimizer& optimizer, const tg::Tensor& loss,
               const std::vector<tg::Tensor>& parameters) {
  if (options.precision == tg::Precision::mixed_fp16) {
    tg::optim::LossScaler scaler({.initial_scale = 1024.0});  // small enough that nothing overflows
    scaler.step(optimizer, tg::gradients(scaler.scale(loss), parameters));
  } else {
    optimizer.step(tg::gradients(loss, parameters));
  }
}

std::vector<std::int64_t> sizes_of(std::int64_t inputs, std::vector<std::int64_t> hidden, std::int64_t outputs,
                                   int depth) {
  if (depth > 0) {
    hidden.resize(static_cast<std::size_t>(depth), hidden.back());
  }
  std::vector<std::int64_t> sizes = {inputs};
  sizes.insert(sizes.end(), hidden.begin(), hidden.end());
  sizes.push_back(outputs);
  return sizes;
}

std::vector<std::int64_t> labels_for(std::int64_t rows, std::int64_t classes) {
  std::vector<std::int64_t> labels;
  for (std::int64_t r = 0; r < rows; ++r) {
    labels.push_back(r * 7 % classes);
  }
  return labels;
}

/// Images of random pixels: what is checked does not depend on what they show.
Step mlp_step(const StepOptions& options) {
  return [options](tg::Device device) {
    constexpr std::int64_t rows = 128;
    const tg::Tensor x = tg::random_uniform({rows, 784}, {.key = options.seed, .stream = 1}, {.device = device});
    x.eval();
    const tg::Tensor y = tg::tensor(labels_for(rows, 10), {.device = device});
    tg::nn::Mlp model(sizes_of(784, {128, 64}, 10, options.depth), {.dropout = 0.2, .seed = options.seed});
    model.to(device);
    model.set_precision(options.precision);
    label_parameters(model);
    tg::optim::AdamW adam(model.parameters(), {.lr = 3e-3, .weight_decay = 0.05});
    const tg::Tensor loss = tg::cross_entropy(model(x), y);
    take_step(options, adam, loss, model.parameters());
    return loss;
  };
}

Step regression_step(const StepOptions& options) {
  const tg::data::Dataset set = tg::data::make_dataset(
      tg::data::read_csv(std::string(TWINGRAD_EXAMPLE_DATA) + "/concrete.csv"), {.task = tg::data::Task::regression});
  tg::data::Split split = tg::data::split(set, {.test_fraction = 0.1, .seed = options.seed});
  tg::data::standardize(split);
  return [options, split](tg::Device device) {
    tg::data::Loader batches(split.train, {.batch = 32, .shuffle = true, .seed = options.seed, .device = device});
    const auto [x, y] = *batches.begin();
    tg::nn::Mlp model(sizes_of(split.train.columns, {50}, 1, options.depth), {.seed = options.seed});
    model.to(device);
    model.set_precision(options.precision);
    label_parameters(model);
    tg::optim::AdamW adam(model.parameters(), {.lr = 1e-2, .weight_decay = 1e-3});
    const tg::Tensor loss = tg::mse_loss(model(x), y);
    take_step(options, adam, loss, model.parameters());
    return loss;
  };
}

Step moons_step(const StepOptions& options) {
  const tg::data::Dataset set = tg::data::moons({.rows = 100, .noise = 0.1, .seed = options.seed});
  return [options, set](tg::Device device) {
    tg::data::Loader batches(set, {.batch = 100, .shuffle = true, .seed = options.seed, .device = device});
    const auto [x, y] = *batches.begin();
    const tg::Tensor sign = tg::reshape(y.to(tg::f32) * 2 - 1, {-1, 1});
    tg::nn::Mlp model(sizes_of(2, {16, 16}, 1, options.depth), {.seed = options.seed});
    model.to(device);
    model.set_precision(options.precision);
    label_parameters(model);
    tg::optim::SGD sgd(model.parameters(), {.lr = 1.0});
    tg::Tensor loss = tg::hinge_loss(model(x), sign);
    for (const tg::Tensor& parameter : model.parameters()) {
      loss = loss + tg::sum(tg::square(parameter)) * 1e-4;
    }
    take_step(options, sgd, loss, model.parameters());
    return loss;
  };
}

}  // namespace

std::vector<std::string> model_names() {
  return {"mlp", "regression", "moons"};
}

Step make_step(const std::string& model, const StepOptions& options) {
  if (model == "mlp") {
    return mlp_step(options);
  }
  if (model == "regression") {
    return regression_step(options);
  }
  if (model == "moons") {
    return moons_step(options);
  }
  std::string names;
  for (const std::string& name : model_names()) {
    names += (names.empty() ? "" : ", ") + name;
  }
  throw tg::ArgumentError("there is no model '" + model + "'; there are " + names);
}

Step make_deep_step(int depth, std::int64_t seed) {
  return [depth, seed](tg::Device device) {
    constexpr std::int64_t rows = 64;
    constexpr std::int64_t width = 64;
    const tg::Tensor x = tg::random_normal({rows, width}, {.key = seed, .stream = 2}, {.device = device});
    x.eval();
    const tg::Tensor y = tg::tensor(labels_for(rows, 10), {.device = device});
    tg::nn::Mlp model(sizes_of(width, {width}, 10, depth), {.seed = seed});
    model.to(device);
    label_parameters(model);
    const tg::Tensor loss = tg::cross_entropy(model(x), y);
    tg::gradients(loss, model.parameters());
    return loss;
  };
}

}  // namespace crosscheck
