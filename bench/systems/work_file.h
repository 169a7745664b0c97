// What a system reads: the work (JSON) and its data (safetensors). Header-only and free of twingrad, because the peers
// in C++ must not load a second library's threads.
//
//   const bench::WorkFile work = bench::read_work("moons.json");
//   const bench::DataFile data("moons.safetensors");
//   const std::span<const float> x = data.floats("x");          // (batches * batch, sizes[0])
#pragma once

#include <cstdint>
#include <cstring>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace bench {

/// One training step, as works.json describes it.
struct WorkFile {
  std::string name;
  std::vector<std::int64_t> sizes;  ///< input, hidden layers (ReLU), output
  std::int64_t batch = 0;           ///< rows of one step
  std::int64_t batches = 0;         ///< step t takes batch t modulo this
  std::string loss;                 ///< mse, cross_entropy, binary_cross_entropy; means over the batch
  std::string precision;            ///< of products: float32 or bfloat16
  double lr = 0, beta1 = 0, beta2 = 0, eps = 0;

  std::size_t layers() const { return sizes.size() - 1; }
};

/// Throws std::runtime_error when the file cannot be read or lacks a field.
inline WorkFile read_work(const std::string& path) {
  std::ifstream in(path);
  if (!in) {
    throw std::runtime_error("cannot read the work " + path);
  }
  try {
    const nlohmann::json json = nlohmann::json::parse(in);
    const nlohmann::json& adam = json.at("adam");
    return {.name = json.at("name"),
            .sizes = json.at("sizes"),
            .batch = json.at("batch"),
            .batches = json.at("batches"),
            .loss = json.at("loss"),
            .precision = json.at("precision"),
            .lr = adam.at("lr"),
            .beta1 = adam.at("beta1"),
            .beta2 = adam.at("beta2"),
            .eps = adam.at("eps")};
  } catch (const nlohmann::json::exception& error) {
    throw std::runtime_error("the work " + path + " is not as expected: " + error.what());
  }
}

/// The tensors of a safetensors file, in memory that it owns.
class DataFile {
 public:
  explicit DataFile(const std::string& path) : path_(path) {
    std::ifstream in(path, std::ios::binary | std::ios::ate);
    if (!in) {
      throw std::runtime_error("cannot read the data " + path);
    }
    bytes_.resize(static_cast<std::size_t>(in.tellg()));
    in.seekg(0).read(bytes_.data(), static_cast<std::streamsize>(bytes_.size()));
    std::uint64_t header_bytes = 0;
    if (bytes_.size() < sizeof header_bytes) {
      throw std::runtime_error("the data " + path + " is cut off");
    }
    std::memcpy(&header_bytes, bytes_.data(), sizeof header_bytes);
    if (header_bytes > bytes_.size() - sizeof header_bytes) {
      throw std::runtime_error("the data " + path + " is cut off");
    }
    const char* const header = bytes_.data() + sizeof header_bytes;
    start_ = sizeof header_bytes + header_bytes;
    header_ = nlohmann::json::parse(header, header + header_bytes);
  }

  std::vector<std::int64_t> shape(const std::string& name) const { return entry(name).at("shape"); }
  bool is_integer(const std::string& name) const { return entry(name).at("dtype") == "I64"; }
  std::span<const float> floats(const std::string& name) const { return values<float>(name, "F32"); }
  std::span<const std::int64_t> integers(const std::string& name) const { return values<std::int64_t>(name, "I64"); }

 private:
  const nlohmann::json& entry(const std::string& name) const {
    if (!header_.contains(name)) {
      throw std::runtime_error("the data " + path_ + " holds no tensor " + name);
    }
    return header_.at(name);
  }
  template <class T>
  std::span<const T> values(const std::string& name, const char* dtype) const {
    const nlohmann::json& found = entry(name);
    const std::size_t begin = found.at("data_offsets").at(0);
    const std::size_t end = found.at("data_offsets").at(1);
    if (found.at("dtype") != dtype || begin > end || end > bytes_.size() - start_) {
      throw std::runtime_error("the tensor " + name + " in " + path_ + " is not " + dtype + " or is cut off");
    }
    const char* const first = bytes_.data() + start_ + begin;
    if (reinterpret_cast<std::uintptr_t>(first) % alignof(T) != 0) {
      throw std::runtime_error("the tensor " + name + " in " + path_ + " is not aligned");
    }
    return {reinterpret_cast<const T*>(first), (end - begin) / sizeof(T)};
  }

  std::string path_;
  std::vector<char> bytes_;
  std::size_t start_ = 0;
  nlohmann::json header_;
};

}  // namespace bench
