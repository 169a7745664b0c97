#include "bench/step/machine.h"

#include <sys/utsname.h>
#include <twingrad/device.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <thread>

namespace stepbench {
namespace {

/// The value after the first "key : value" or "key: value" of a file.
std::string field(const std::string& path, const std::string& key) {
  std::ifstream in(path);
  std::string line;
  while (std::getline(in, line)) {
    const std::size_t colon = line.find(':');
    if (line.starts_with(key) && colon != std::string::npos) {
      const std::size_t first = line.find_first_not_of(" \t", colon + 1);
      return first == std::string::npos ? "" : line.substr(first);
    }
  }
  return "unknown";
}

/// First line of what a command prints; empty when it fails.
std::string first_line(const std::string& command) {
  FILE* const pipe = popen((command + " 2>/dev/null").c_str(), "r");
  if (pipe == nullptr) {
    return "";
  }
  std::array<char, 256> buffer{};
  const bool some = std::fgets(buffer.data(), buffer.size(), pipe) != nullptr;
  while (std::fgetc(pipe) != EOF) {
  }
  pclose(pipe);
  std::string line = some ? buffer.data() : "";
  while (!line.empty() && line.back() == '\n') {
    line.pop_back();
  }
  return line;
}

std::string commit_of(const std::string& source) {
  const std::string git = "git -C '" + source + "' ";
  const std::string commit = first_line(git + "rev-parse --short=12 HEAD");
  if (commit.empty()) {
    return "unknown";
  }
  return commit + (first_line(git + "status --porcelain --untracked-files=no").empty() ? "" : "+");
}

std::string now() {
  const std::time_t time = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm parts{};
  gmtime_r(&time, &parts);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text.data();
}

}  // namespace

nlohmann::ordered_json describe_machine(const std::string& source, const std::string& device) {
  utsname names{};
  uname(&names);
  const auto pages = static_cast<double>(sysconf(_SC_PHYS_PAGES));
  const auto page = static_cast<double>(sysconf(_SC_PAGE_SIZE));
  nlohmann::ordered_json machine = {
      {"date", now()},
      {"commit", commit_of(source)},
      {"compiler", "GCC " __VERSION__},
      {"processor", field("/proc/cpuinfo", "model name")},
      {"family_model", field("/proc/cpuinfo", "cpu family") + "/" + field("/proc/cpuinfo", "model\t")},
      {"threads", std::thread::hardware_concurrency()},
      {"memory_bytes", pages * page},
      {"system", std::string(names.sysname) + " " + names.release}};
  if (device != "cpu") {
    machine["gpu"] = twingrad::Device::parse(device).description();
    const std::string query =
        "nvidia-smi -i 0 --format=csv,noheader "
        "--query-gpu=driver_version,clocks.sm,clocks.max.sm,clocks.mem,power.draw,power.limit,temperature.gpu";
    machine["gpu_driver_clocks_power"] = first_line(query);
  }
  return machine;
}

}  // namespace stepbench
