// A run of the benchmark as one HTML page that needs no network and no other file: who is ahead on which work, ratios
// with their spread, step times against the floor, losses laid over each other, and the roofline.
//
//   write("steps.html", stepbench::to_page(nlohmann::json::parse(file)));
//   write("sweep.html", stepbench::to_page(cpu_sweep, gpu_sweep));
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace stepbench {

/// `beside`: a sweep on another device, for where one overtakes the other; null: none. Throws IoError when a run is no
/// result of this benchmark or lacks a field, ArgumentError when the two are no sweeps of the same widths.
std::string to_page(const nlohmann::json& run, const nlohmann::json& beside = nullptr);

}  // namespace stepbench
