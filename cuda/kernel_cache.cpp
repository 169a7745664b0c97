#include "cuda/kernel_cache.h"

#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

namespace twingrad::cuda {
namespace {

constexpr std::string_view heading = "twingrad kernel 1\n";

/// FNV-1a (Fowler, Noll and Vo), from a seed of one's choice.
std::uint64_t hash(std::string_view text, std::uint64_t seed) {
  std::uint64_t value = seed;
  for (const char c : text) {
    value = (value ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  }
  return value;
}
constexpr std::uint64_t fnv_seed = 0xcbf29ce484222325U;

std::string in_hex(std::uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
}

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

/// heading, lengths of key and image, checksum of both; key; image.
std::string file_of(const std::string& key, std::string_view image) {
  const std::uint64_t checksum = hash(image, hash(key, fnv_seed));
  return std::string(heading) + in_hex(key.size()) + in_hex(image.size()) + in_hex(checksum) + key + std::string(image);
}

}  // namespace

std::string KernelCache::user_directory() {
  const std::string wish = variable("TWINGRAD_KERNEL_CACHE");
  if (!wish.empty()) {
    return wish == "off" ? std::string() : wish;
  }
  // The XDG Base Directory Specification: a relative path is to be ignored.
  const std::string cache = variable("XDG_CACHE_HOME");
  if (cache.starts_with('/')) {
    return cache + "/twingrad/kernels";
  }
  const std::string home = variable("HOME");
  return home.empty() ? std::string() : home + "/.cache/twingrad/kernels";
}

std::string KernelCache::path(const std::string& key) const {
  return directory_ + "/" + in_hex(hash(key, fnv_seed)) + in_hex(hash(key, ~fnv_seed)) + ".kernel";
}

std::optional<std::string> KernelCache::find(const std::string& key) const {
  if (directory_.empty()) {
    return std::nullopt;
  }
  std::ifstream file(path(key), std::ios::binary);
  if (!file) {
    return std::nullopt;
  }
  const std::string content{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  const std::size_t start = heading.size() + 3 * 16 + key.size();
  if (content.size() <= start) {
    return std::nullopt;
  }
  const std::string_view image = std::string_view(content).substr(start);
  if (content != file_of(key, image)) {
    return std::nullopt;
  }
  return std::string(image);
}

void KernelCache::store(const std::string& key, std::string_view image) const {
  if (directory_.empty()) {
    return;
  }
  static std::atomic<unsigned> files{0};
  std::error_code error;
  std::filesystem::create_directories(directory_, error);
  const std::string target = path(key);
  const std::string draft = target + "." + std::to_string(getpid()) + "." + std::to_string(files++);
  {
    std::ofstream file(draft, std::ios::binary);
    file << file_of(key, image);
    if (!file.flush()) {
      file.close();
      std::filesystem::remove(draft, error);
      return;
    }
  }
  std::filesystem::rename(draft, target, error);
  if (error) {
    std::filesystem::remove(draft, error);
  }
}

}  // namespace twingrad::cuda
