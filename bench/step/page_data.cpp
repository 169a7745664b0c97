#include "bench/step/page_data.h"

#include <twingrad/error.h>

#include "bench/step/text.h"

namespace tg = twingrad;

namespace stepbench {
namespace {

/// The median of what some systems alone tell.
std::optional<double> median_of(const nlohmann::json& json, const char* key) {
  return json.contains(key) ? std::optional(spread(json.at(key).get<std::vector<double>>()).median) : std::nullopt;
}

PageSystem parse_system(const nlohmann::json& json) {
  PageSystem system;
  system.name = json.at("name");
  system.role = json.at("role");
  system.description = json.at("description");
  if (json.contains("left_out")) {
    system.left_out = json.at("left_out");
    return system;
  }
  system.version = json.at("version");
  system.step = spread(json.at("step_seconds").get<std::vector<double>>());
  system.ready = json.at("ready_seconds").at(0);
  system.first_step = json.at("first_step_seconds").at(0);
  system.memory = json.at("peak_memory_bytes");
  system.loss_error = json.at("loss_error");
  system.output_error = json.at("output_error");
  system.device = median_of(json, "device_seconds");
  system.read = median_of(json, "read_seconds");
  if (json.contains("kernels_per_step")) {
    system.kernels = json.at("kernels_per_step");
  }
  system.losses = json.at("losses").get<std::vector<double>>();
  return system;
}

PageWork parse_work(const nlohmann::json& json) {
  PageWork work;
  const nlohmann::json& what = json.at("work");
  work.name = what.at("name");
  work.sizes = sizes_text(what.at("sizes").get<std::vector<std::int64_t>>());
  work.width = what.at("sizes").at(0);
  work.loss = what.at("loss");
  work.precision = what.at("precision");
  work.batch = what.at("batch");
  work.flops = json.at("flops");
  work.bytes = json.at("bytes");
  work.flops_ceiling = json.at("ceilings").at("flops_per_second");
  work.copy_ceiling = json.at("ceilings").at("copy_bytes_per_second");
  work.floor = json.at("floor_seconds");
  work.foreign_load = json.at("foreign_load");
  work.reference_losses = json.at("reference_losses").get<std::vector<double>>();
  for (const nlohmann::json& system : json.at("systems")) {
    work.systems.push_back(parse_system(system));
    const int index = static_cast<int>(work.systems.size()) - 1;
    const PageSystem& added = work.systems.back();
    int* const best = added.role == "ours" ? &work.ours : added.role == "peer" ? &work.best_peer : nullptr;
    if (best != nullptr && added.left_out.empty() &&
        (*best < 0 || added.step.median < work.systems[static_cast<std::size_t>(*best)].step.median)) {
      *best = index;
    }
  }
  if (work.ours < 0) {
    return work;
  }
  const auto ours =
      json.at("systems").at(static_cast<std::size_t>(work.ours)).at("step_seconds").get<std::vector<double>>();
  for (std::size_t i = 0; i < work.systems.size(); ++i) {
    if (work.systems[i].left_out.empty()) {
      const auto theirs = json.at("systems").at(i).at("step_seconds").get<std::vector<double>>();
      work.systems[i].ratio = spread(paired_ratios(theirs, ours));
    }
  }
  return work;
}

}  // namespace

std::vector<PageWork> page_works(const nlohmann::json& run) {
  if (!run.is_object() || run.value("format", 0) != 1) {
    throw tg::IoError("the file is no result of this benchmark (format 1)");
  }
  try {
    std::vector<PageWork> works;
    for (const nlohmann::json& work : run.at("works")) {
      works.push_back(parse_work(work));
    }
    return works;
  } catch (const nlohmann::json::exception& error) {
    throw tg::IoError(std::string("the result is not as expected: ") + error.what());
  }
}

}  // namespace stepbench
