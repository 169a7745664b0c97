// Reads the reference files in tests/fixtures: runs that other libraries made.
//
//   const nlohmann::json moons = tests::read_fixture("micrograd_moons.json");
#pragma once

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include <twingrad/tensor.h>

namespace twingrad::tests {

inline nlohmann::json read_fixture(const std::string& name) {
  const std::filesystem::path path = std::filesystem::path(TWINGRAD_SOURCE_DIR) / "tests" / "fixtures" / name;
  std::ifstream stream(path);
  if (!stream) {
    throw std::runtime_error("no fixture " + path.string());
  }
  return nlohmann::json::parse(stream);
}

inline Shape fixture_shape(const nlohmann::json& value) {
  const auto lengths = value.at("shape").get<std::vector<std::int64_t>>();
  return Shape(std::span<const std::int64_t>(lengths));
}

/// {"shape": [...], "data": [...]}
inline Tensor fixture_tensor(const nlohmann::json& value, TensorOptions options) {
  return tensor(value.at("data").get<std::vector<double>>(), fixture_shape(value), options);
}

}  // namespace twingrad::tests
