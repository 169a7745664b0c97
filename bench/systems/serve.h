// The protocol between the driver and a system written in C++ (see bench/README.md, "A system"): one command per line
// of standard input, one line of JSON per answer.
//
//   int main(int argc, char** argv) {
//     return bench::serve(argc, argv, {"plain", "op-by-op"}, [](const bench::Arguments& arguments) {
//       return std::make_unique<MySystem>(arguments);
//     });
//   }
#pragma once

#include <zlib.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <functional>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "bench/systems/work_file.h"

namespace bench {

/// What the driver says on the command line: WORK DATA --mode M --threads N --device D.
struct Arguments {
  WorkFile work;
  std::string data;  ///< path
  std::string mode;
  int threads = 1;
  std::string device = "cpu";
};

/// One library in one way of using it.
class System {
 public:
  System() = default;
  System(const System&) = delete;
  System& operator=(const System&) = delete;
  virtual ~System() = default;

  /// "version" and "flags".
  virtual nlohmann::json describe() const = 0;
  /// Initial weights, Adam without history, the first batch next.
  virtual void reset() = 0;
  /// Steps, a fresh batch each. Reads nothing back.
  virtual void step_many(std::int64_t count) = 0;
  /// Waits for the last step.
  virtual void synchronize() {}
  /// Stand around the steps of a turn, the second one before its wait.
  virtual void begin_turn() {}
  virtual void end_turn() {}
  /// What the system knows of the last turn, after its wait: "kernels", how many it gave to the device;
  /// "device_seconds", by the device's own clock. Of a system that does not know, nothing.
  virtual nlohmann::json turn_facts() const { return nlohmann::json::object(); }
  /// The loss that the last step started from.
  virtual double last_loss() = 0;
  /// Every weight and bias as float32, in the order of the data file.
  virtual std::vector<std::vector<float>> weights() = 0;
  /// The net's output for the first `rows` rows of batch 0, with the weights as they are.
  virtual std::vector<double> outputs(std::int64_t rows) = 0;
};

using MakeSystem = std::function<std::unique_ptr<System>(const Arguments&)>;

/// Caches and lazily made state settle in steps that are not timed.
inline constexpr std::int64_t warm_up_steps = 2;
/// Of works with few steps per turn one must do: they are slow.
inline constexpr std::int64_t few_steps = 8;

/// Fresh weights, and the steps that come before `count` timed ones; how many these were.
inline std::int64_t warm_up(System& system, std::int64_t count) {
  system.reset();
  const std::int64_t before = count < 2 ? 0 : count < few_steps ? 1 : warm_up_steps;
  system.step_many(before);
  system.synchronize();
  return before;
}

inline nlohmann::json run_steps(System& system, std::int64_t count) {
  const std::int64_t before = warm_up(system, count);
  const std::clock_t cpu_start = std::clock();  // of all threads
  const auto start = std::chrono::steady_clock::now();
  system.begin_turn();
  system.step_many(count);
  system.end_turn();
  system.synchronize();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  const double cpu_seconds = static_cast<double>(std::clock() - cpu_start) / CLOCKS_PER_SEC;
  nlohmann::json answer = {{"seconds", seconds.count()},
                           {"cpu_seconds", cpu_seconds},
                           {"steps", count},
                           {"warm_up", before},
                           {"loss", system.last_loss()}};
  answer.update(system.turn_facts());
  return answer;
}

/// Steps whose losses are all read, each before the next step begins.
inline nlohmann::json read_steps(System& system, std::int64_t count) {
  warm_up(system, count);
  const auto start = std::chrono::steady_clock::now();
  for (std::int64_t t = 0; t < count; ++t) {
    system.step_many(1);
    (void)system.last_loss();
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  return {{"seconds", seconds.count()}, {"steps", count}};
}

inline nlohmann::json losses_of(System& system, std::int64_t count) {
  std::vector<double> losses;
  system.reset();
  for (std::int64_t t = 0; t < count; ++t) {
    system.step_many(1);
    losses.push_back(system.last_loss());
  }
  uLong checksum = 0;
  for (const std::vector<float>& weight : system.weights()) {
    checksum = crc32(checksum, reinterpret_cast<const Bytef*>(weight.data()),
                     static_cast<uInt>(weight.size() * sizeof(float)));
  }
  std::ostringstream hex;
  hex << std::hex << checksum;
  return {{"losses", losses}, {"weights", hex.str()}};
}

inline std::int64_t parse_count(const std::string& text, const std::string& what) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < 1) {
    throw std::runtime_error(what + " is a number from 1, not '" + text + "'");
  }
  return value;
}

inline Arguments parse_arguments(int argc, char** argv, std::span<const std::string> modes) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() < 2) {
    throw std::runtime_error("give a work, its data, --mode, --threads and --device");
  }
  Arguments arguments;
  arguments.work = read_work(words[0]);
  arguments.data = words[1];
  for (std::size_t i = 2; i + 1 < words.size(); i += 2) {
    if (words[i] == "--mode") {
      arguments.mode = words[i + 1];
    } else if (words[i] == "--threads") {
      arguments.threads = static_cast<int>(parse_count(words[i + 1], "--threads"));
    } else if (words[i] == "--device") {
      arguments.device = words[i + 1];
    } else {
      throw std::runtime_error("unknown option " + words[i]);
    }
  }
  if (std::find(modes.begin(), modes.end(), arguments.mode) == modes.end()) {
    throw std::runtime_error("there is no mode '" + arguments.mode + "'");
  }
  return arguments;
}

/// Answers commands until there are no more. The exit status of the program: 0, or 1 after an error, which it answers.
inline int serve(int argc, char** argv, const std::vector<std::string>& modes, const MakeSystem& make) {
  const auto answer = [](const nlohmann::json& fields) { std::cout << fields.dump() << std::endl; };
  try {
    const Arguments arguments = parse_arguments(argc, argv, modes);
    const std::unique_ptr<System> system = make(arguments);
    nlohmann::json ready = {{"ready", true}, {"precision", arguments.work.precision}, {"threads", arguments.threads}};
    ready.update(system->describe());
    answer(ready);
    std::string line;
    while (std::getline(std::cin, line)) {
      std::istringstream words(line);
      std::string command;
      std::string count;
      words >> command >> count;
      if (command == "run") {
        answer(run_steps(*system, parse_count(count, "run")));
      } else if (command == "read") {
        answer(read_steps(*system, parse_count(count, "read")));
      } else if (command == "losses") {
        answer(losses_of(*system, parse_count(count, "losses")));
      } else if (command == "outputs") {
        system->reset();
        answer({{"outputs", system->outputs(parse_count(count, "outputs"))}});
      } else if (command == "quit") {
        break;
      } else {
        throw std::runtime_error("unknown command '" + command + "'; there are run, read, losses, outputs, quit");
      }
    }
    return 0;
  } catch (const std::exception& error) {
    answer({{"error", error.what()}});
  }
  return 1;
}

}  // namespace bench
