#include "bench/step/work.h"

#include <twingrad/error.h>
#include <twingrad/io/safetensors.h>
#include <twingrad/nn/mlp.h>
#include <twingrad/ops.h>

#include <algorithm>
#include <array>
#include <fstream>

namespace tg = twingrad;

namespace stepbench {
namespace {

constexpr std::array<const char*, 3> losses = {"mse", "cross_entropy", "binary_cross_entropy"};

[[noreturn]] void refuse(const std::string& work, const std::string& what) {
  throw tg::ArgumentError("the work '" + work + "': " + what);
}

void check(const Work& work) {
  if (work.sizes.size() < 2 || std::any_of(work.sizes.begin(), work.sizes.end(), [](auto size) { return size < 1; })) {
    refuse(work.name, "`sizes` needs an input and an output, each from 1");
  }
  if (work.batch < 1 || work.batches < 1) {
    refuse(work.name, "`batch` and `batches` are from 1");
  }
  if (std::find(losses.begin(), losses.end(), work.loss) == losses.end()) {
    refuse(work.name, "there is no loss '" + work.loss + "'; there are mse, cross_entropy, binary_cross_entropy");
  }
  if (work.loss == "binary_cross_entropy" && work.sizes.back() != 1) {
    refuse(work.name, "binary_cross_entropy takes one output, not " + std::to_string(work.sizes.back()));
  }
}

Work parse(const nlohmann::json& json, const nlohmann::json& adam, const std::string& device) {
  Work work;
  work.name = json.at("name");
  work.sizes = json.at("sizes").get<std::vector<std::int64_t>>();
  work.batch = json.at("batch").at(device);
  work.batches = json.at("batches");
  work.loss = json.at("loss");
  work.lr = adam.at("lr");
  work.beta1 = adam.at("beta1");
  work.beta2 = adam.at("beta2");
  work.eps = adam.at("eps");
  const auto devices = json.at("devices").get<std::vector<std::string>>();
  work.usual = std::find(devices.begin(), devices.end(), device) != devices.end();
  check(work);
  return work;
}

}  // namespace

std::vector<Work> read_works(const std::string& path, const std::string& device) {
  std::ifstream in(path);
  if (!in) {
    throw tg::IoError("cannot read the works " + path);
  }
  try {
    const nlohmann::json json = nlohmann::json::parse(in);
    std::vector<Work> works;
    for (const nlohmann::json& work : json.at("works")) {
      works.push_back(parse(work, json.at("adam"), device));
    }
    return works;
  } catch (const nlohmann::json::exception& error) {
    throw tg::IoError("the works " + path + " are not as expected: " + error.what());
  }
}

std::vector<Work> choose_works(const std::vector<Work>& works, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (std::none_of(works.begin(), works.end(), [&](const Work& work) { return work.name == name; })) {
      std::string known;
      for (const Work& work : works) {
        known += (known.empty() ? "" : ", ") + work.name;
      }
      throw tg::ArgumentError("there is no work '" + name + "'; there are " + known);
    }
  }
  std::vector<Work> chosen;
  for (const Work& work : works) {
    if (names.empty() ? work.usual : std::find(names.begin(), names.end(), work.name) != names.end()) {
      chosen.push_back(work);
    }
  }
  return chosen;
}

nlohmann::ordered_json to_json(const Work& work) {
  return {{"name", work.name},
          {"sizes", work.sizes},
          {"batch", work.batch},
          {"batches", work.batches},
          {"loss", work.loss},
          {"precision", work.precision},
          {"adam", {{"lr", work.lr}, {"beta1", work.beta1}, {"beta2", work.beta2}, {"eps", work.eps}}}};
}

void write_work(const Work& work, const std::string& path) {
  std::ofstream out(path);
  out << to_json(work).dump(2) << '\n';
  out.close();
  if (!out) {
    throw tg::IoError("cannot write " + path);
  }
}

void write_data(const Work& work, const std::string& path) {
  constexpr std::int64_t seed = 1;
  tg::NamedTensors data;
  const std::int64_t rows = work.batch * work.batches;
  // Labels of eight bytes come first: readers then find every tensor aligned.
  const std::int64_t outputs = work.sizes.back();
  if (work.loss == "cross_entropy") {
    const tg::Tensor uniform = tg::random_uniform({rows}, {.key = seed, .stream = 102});
    data.emplace_back(
        "y", tg::clamp(uniform * static_cast<double>(outputs), 0, static_cast<double>(outputs) - 1).to(tg::Dtype::i64));
  } else if (work.loss == "binary_cross_entropy") {
    data.emplace_back("y", tg::random_bernoulli({rows, 1}, 0.5, {.key = seed, .stream = 102}).to(tg::f32));
  } else {
    data.emplace_back("y", tg::random_normal({rows, outputs}, {.key = seed, .stream = 102}));
  }
  data.emplace_back("x", tg::random_normal({rows, work.sizes.front()}, {.key = seed, .stream = 101}));
  const tg::nn::Mlp model(work.sizes, {.init = tg::nn::WeightInit::fan_in_uniform, .seed = seed});
  std::size_t layer = 0;
  for (const auto& [name, parameter] : model.named_parameters()) {
    const bool weight = name.ends_with("weight");
    data.emplace_back("layer" + std::to_string(layer) + (weight ? ".weight" : ".bias"), parameter);
    layer += weight ? 0 : 1;
  }
  tg::io::save(path, data);
}

std::int64_t parameter_count(const Work& work) {
  std::int64_t count = 0;
  for (std::size_t l = 1; l < work.sizes.size(); ++l) {
    count += (work.sizes[l - 1] + 1) * work.sizes[l];
  }
  return count;
}

double step_flops(const Work& work) {
  double products = 0;
  for (std::size_t l = 1; l < work.sizes.size(); ++l) {
    products += static_cast<double>(work.sizes[l - 1] * work.sizes[l]);
  }
  return 2.0 * static_cast<double>(work.batch) * (3 * products - static_cast<double>(work.sizes[0] * work.sizes[1]));
}

double step_bytes(const Work& work) {
  const double element = work.precision == "bfloat16" ? 2 : 4;
  constexpr double adam = 28;
  double per_row = 0;
  for (std::size_t l = 1; l < work.sizes.size(); ++l) {
    const auto both = static_cast<double>(work.sizes[l - 1] + work.sizes[l]);
    per_row += (l > 1 ? 3 : 2) * both;
  }
  return element * static_cast<double>(work.batch) * per_row + adam * static_cast<double>(parameter_count(work));
}

}  // namespace stepbench
