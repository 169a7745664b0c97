// A run of the benchmark as one HTML page that needs no network and no other file: who is ahead on which work, ratios
// with their spread, step times against the floor, losses laid over each other, and the roofline.
//
//   write("steps.html", stepbench::to_page(nlohmann::json::parse(file)));
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace stepbench {

/// Throws IoError when `run` is no result of this benchmark, or lacks a field.
std::string to_page(const nlohmann::json& run);

}  // namespace stepbench
