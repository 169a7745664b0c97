#include "cuda/product_choices.h"

#include <twingrad/error.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <system_error>
#include <utility>

namespace twingrad::cuda {
namespace {

constexpr std::string_view heading = "twingrad products 1";
constexpr std::size_t digits = 16;

std::optional<AlgorithmWords> parse(std::string_view text) {
  AlgorithmWords words{};
  if (text.size() != digits * words.size()) {
    return std::nullopt;
  }
  for (std::uint64_t& word : words) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + digits, word, 16);
    if (error != std::errc() || end != text.data() + digits) {
      return std::nullopt;
    }
    text.remove_prefix(digits);
  }
  return words;
}

std::string in_hex(const AlgorithmWords& words) {
  std::string text;
  for (const std::uint64_t word : words) {
    char part[digits + 1];
    std::snprintf(part, sizeof part, "%016llx", static_cast<unsigned long long>(word));
    text += part;
  }
  return text;
}

}  // namespace

ProductChoices::ProductChoices(std::string path) : path_(std::move(path)) {
  std::ifstream file(path_);
  if (!file && !std::filesystem::exists(path_)) {
    return;
  }
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    const std::size_t tab = line.find('\t');
    const auto algorithm = tab == std::string::npos ? std::nullopt : parse(std::string_view(line).substr(tab + 1));
    if (number == 1 ? line != heading : !algorithm) {
      throw IoError(path_ + ", line " + std::to_string(number) + ": not a file of product choices (\"" +
                    std::string(heading) + "\"); name another file in TWINGRAD_PRODUCT_CHOICES or remove this one");
    }
    if (number > 1) {
      choices_[line.substr(0, tab)] = *algorithm;
    }
  }
}

std::optional<AlgorithmWords> ProductChoices::find(const std::string& key) const {
  const auto found = choices_.find(key);
  return found == choices_.end() ? std::nullopt : std::optional(found->second);
}

void ProductChoices::add(const std::string& key, const AlgorithmWords& algorithm) {
  choices_[key] = algorithm;
  const std::string draft = path_ + "." + std::to_string(getpid());
  std::ofstream file(draft);
  file << heading << '\n';
  for (const auto& [one, words] : choices_) {
    file << one << '\t' << in_hex(words) << '\n';
  }
  file.close();
  std::error_code error;
  if (file) {
    std::filesystem::rename(draft, path_, error);
  }
  if (!file || error) {
    std::error_code ignored;
    std::filesystem::remove(draft, ignored);
    throw IoError(path_ + ": product choices cannot be written there (TWINGRAD_PRODUCT_CHOICES)");
  }
}

}  // namespace twingrad::cuda
