#include <twingrad/io/named_tensors.h>

#include <map>
#include <string_view>

namespace twingrad {
namespace {

std::string describe(const Tensor& tensor) {
  return to_string(tensor.shape()) + " " + std::string(name(tensor.dtype()));
}

}  // namespace

std::string describe_mismatch(const NamedTensors& expected, const NamedTensors& found) {
  std::string text;
  const auto report = [&text](const std::string& line) { text += "\n  " + line; };
  std::map<std::string_view, const Tensor*> left;
  for (const auto& [key, tensor] : found) {
    if (!left.emplace(key, &tensor).second) {
      report("'" + key + "' is there twice");
    }
  }
  for (const auto& [key, tensor] : expected) {
    const auto at = left.find(key);
    if (at == left.end()) {
      report("'" + key + "' (" + describe(tensor) + ") is missing");
      continue;
    }
    if (!(at->second->shape() == tensor.shape()) || at->second->dtype() != tensor.dtype()) {
      report("'" + key + "' is " + describe(*at->second) + ", expected " + describe(tensor));
    }
    left.erase(at);
  }
  for (const auto& [key, tensor] : found) {
    if (left.contains(key)) {
      report("'" + key + "' (" + describe(tensor) + ") is not expected");
      left.erase(key);
    }
  }
  return text;
}

const Tensor& find(const NamedTensors& tensors, const std::string& name) {
  std::string names;
  for (const auto& [key, tensor] : tensors) {
    if (key == name) {
      return tensor;
    }
    names += (names.empty() ? "'" : ", '") + key + "'";
  }
  throw ArgumentError("there is no tensor called '" + name + "'; there are: " + (names.empty() ? "none" : names));
}

}  // namespace twingrad
