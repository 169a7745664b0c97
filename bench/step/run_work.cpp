#include "bench/step/run_work.h"

#include <sys/resource.h>
#include <twingrad/error.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>
#include <string_view>
#include <thread>

#include "bench/step/process.h"

namespace stepbench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double start_limit = 300;  ///< seconds until a system is ready, or has compiled its first step
constexpr double answer_limit = 300;
constexpr std::int64_t probe_rows = 64;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// One system at one thread setting, alive.
struct Entry {
  SystemSpec spec;
  EntryResult result;
  std::unique_ptr<Process> process;

  nlohmann::json ask(const std::string& line) {
    process->resume();
    nlohmann::json answer = nlohmann::json::parse(process->ask(line, answer_limit));
    process->pause();
    if (answer.contains("error")) {
      throw twingrad::IoError(result.name + ": " + answer.at("error").get<std::string>());
    }
    return answer;
  }
};

std::vector<Entry> make_entries(const Work& work, const std::vector<SystemSpec>& systems, const Settings& settings) {
  std::vector<Entry> entries;
  for (const SystemSpec& spec : systems) {
    if (!spec.work.empty() && spec.work != work.name) {
      continue;
    }
    std::vector<int> counts = settings.threads;
    if (spec.one_thread) {
      counts = {1};
    } else if (spec.all_threads) {
      counts = {settings.threads.back()};
    }
    for (const int threads : counts) {
      Entry entry{.spec = spec, .result = {}, .process = nullptr};
      entry.result.name = spec.name + "@" + std::to_string(threads);
      entry.result.system = spec.name;
      entry.result.role = spec.role;
      entry.result.description = spec.description;
      entry.result.threads = threads;
      entries.push_back(std::move(entry));
    }
  }
  return entries;
}

/// The paths of one work's files.
struct Files {
  std::string work;
  std::string data;
};

void start(Entry& entry, const Files& files, const Settings& settings) {
  const auto begin = Clock::now();
  entry.process = std::make_unique<Process>(
      command(entry.spec, settings.places, files.work, files.data, entry.result.threads, settings.device),
      environment(entry.result.threads, settings.folder + "/caches-" + entry.result.name),
      settings.folder + "/" + entry.result.name + ".log");
  const nlohmann::json ready = nlohmann::json::parse(entry.process->read_line(start_limit));
  if (ready.contains("error")) {
    throw twingrad::IoError(entry.result.name + ": " + ready.at("error").get<std::string>());
  }
  entry.result.ready_seconds.push_back(seconds_since(begin));
  entry.result.version = ready.at("version");
  entry.result.flags = ready.at("flags");
  entry.result.precision = ready.at("precision");
  const nlohmann::json first = nlohmann::json::parse(entry.process->ask("run 1", start_limit));
  if (first.contains("error")) {
    throw twingrad::IoError(entry.result.name + ": " + first.at("error").get<std::string>());
  }
  entry.result.first_step_seconds.push_back(seconds_since(begin));
  entry.process->pause();
}

/// Drops a system that failed, with its reason, and goes on with the others.
template <class Action>
void guarded(Entry& entry, const Action& action) {
  try {
    action();
  } catch (const Interrupted&) {
    throw;
  } catch (const std::exception& error) {
    entry.result.failure = error.what();
    entry.process.reset();
  }
}

/// Large works are slow in float64.
std::int64_t losses_to_compare(const Work& work) {
  return static_cast<std::int64_t>(std::clamp(3e11 / step_flops(work), 3.0, 20.0));
}

struct Reference {
  std::vector<double> losses;
  std::vector<double> outputs;
};

Reference run_reference(const Work& work, const Files& files, const Settings& settings) {
  Entry entry{.spec = {.name = "float64",
                       .role = Role::control,
                       .program = Program::twingrad,
                       .mode = "float64",
                       .description = "reference"},
              .result = {},
              .process = nullptr};
  entry.result.name = "float64";
  entry.result.threads = settings.threads.back();
  start(entry, files, settings);
  Reference reference;
  reference.losses =
      entry.ask("losses " + std::to_string(losses_to_compare(work))).at("losses").get<std::vector<double>>();
  reference.outputs = entry.ask("outputs " + std::to_string(probe_rows)).at("outputs").get<std::vector<double>>();
  return reference;
}

/// Throws NumericError unless the system computes what float64 computes, in the work's precision and no other.
void compare_with(const Reference& reference, const std::string& precision, Entry& entry) {
  EntryResult& result = entry.result;
  const nlohmann::json answer = entry.ask("losses " + std::to_string(reference.losses.size()));
  result.losses = answer.at("losses").get<std::vector<double>>();
  result.weights = answer.at("weights");
  result.loss_error = loss_error(result.losses, reference.losses);
  result.output_error = relative_error(
      entry.ask("outputs " + std::to_string(probe_rows)).at("outputs").get<std::vector<double>>(), reference.outputs);
  const auto [least, most] = output_error_limits(precision);
  if (result.precision != precision || !(result.output_error >= least && result.output_error <= most)) {
    std::ostringstream error;
    error << "it says that it computes in " << result.precision << ", and its outputs are " << result.output_error
          << " from float64's: that is not " << precision << ", so its times are not comparable";
    throw twingrad::NumericError(error.str());
  }
  if (!(result.loss_error <= loss_error_limit(precision))) {
    throw twingrad::NumericError("its losses leave float64's by " + std::to_string(100 * result.loss_error) +
                                 " % of what training moved them: that is another training step");
  }
}

/// Microseconds so far in which some program was ready to run and had no CPU; NaN when the system does not say.
double waited_microseconds() {
  std::ifstream pressure("/proc/pressure/cpu");
  std::string word;
  constexpr std::string_view key = "total=";
  while (pressure >> word) {
    if (word.starts_with(key)) {
      return std::stod(word.substr(key.size()));
    }
  }
  return NAN;
}

struct Turn {
  double step_seconds = 0;
  double cpu_seconds = 0;
  std::optional<double> device_seconds;
  std::optional<double> kernels;
  double disturbance = 0;
};

/// What an answer says of a whole turn, per step; nothing when it does not.
std::optional<double> per_step(const nlohmann::json& answer, const char* key, double steps) {
  return answer.contains(key) ? std::optional(answer.at(key).get<double>() / steps) : std::nullopt;
}

Turn turn(Entry& entry, std::int64_t steps) {
  const double waited_before = waited_microseconds();
  const auto start = Clock::now();
  const nlohmann::json answer = entry.ask("run " + std::to_string(steps));
  const double waited = 1e-6 * (waited_microseconds() - waited_before);
  const double count = answer.at("steps");
  return {.step_seconds = answer.at("seconds").get<double>() / count,
          .cpu_seconds = answer.at("cpu_seconds").get<double>() / count,
          .device_seconds = per_step(answer, "device_seconds", count),
          .kernels = per_step(answer, "kernels", count),
          .disturbance = waited / seconds_since(start)};
}

/// Ours must give the same bits whatever the mode and the number of threads. Throws NumericError when they differ.
void compare_bits(const std::vector<Entry>& entries, const Entry& entry) {
  if (entry.spec.program != Program::twingrad) {
    return;
  }
  for (const Entry& other : entries) {
    if (&other != &entry && other.spec.program == Program::twingrad && other.result.failure.empty() &&
        !other.result.weights.empty() && other.result.weights != entry.result.weights) {
      throw twingrad::NumericError("its weights after " + std::to_string(entry.result.losses.size()) +
                                   " steps are not, bit for bit, those of " + other.result.name);
    }
  }
}

/// A turn in which threads waited for a CPU says little: it is taken again, three times, or once if it is long,
/// whatever its result.
Turn quiet_turn(Entry& entry, std::int64_t steps) {
  constexpr double long_turn = 0.5;
  const auto start = Clock::now();
  Turn best = turn(entry, steps);
  const int most = seconds_since(start) > long_turn ? 2 : 4;
  for (int attempt = 1; attempt < most && best.disturbance > disturbance_limit; ++attempt) {
    const Turn next = turn(entry, steps);
    if (next.disturbance < best.disturbance) {
      best = next;
    }
  }
  return best;
}

void calibrate(Entry& entry, const Settings& settings) {
  std::int64_t steps = 2;
  double seconds = turn(entry, steps).step_seconds * static_cast<double>(steps);
  while (seconds < settings.repeat_seconds / 2) {
    steps *= 4;
    seconds = turn(entry, steps).step_seconds * static_cast<double>(steps);
  }
  const double wanted = static_cast<double>(steps) * settings.repeat_seconds / seconds;
  entry.result.steps = std::max<std::int64_t>(2, static_cast<std::int64_t>(std::ceil(wanted)));
}

/// CPU seconds of all programs, and of this one with its children that ended.
double busy_seconds() {
  std::ifstream stat("/proc/stat");
  std::string word;
  double user = 0;
  double nice = 0;
  double system = 0;
  stat >> word >> user >> nice >> system;
  return (user + nice + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

double own_seconds() {
  double total = 0;
  for (const int who : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
    rusage usage{};
    getrusage(who, &usage);
    for (const timeval& time : {usage.ru_utime, usage.ru_stime}) {
      total += static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
    }
  }
  return total;
}

Ceilings measure_ceilings(const Work& work, const Settings& settings) {
  constexpr double least_copy = 4096;
  constexpr double most_copy = 128e6;
  const auto bytes = static_cast<std::int64_t>(std::clamp(step_bytes(work) / 2, least_copy, most_copy));
  Process process({settings.places.binaries + "/bench_system_ceilings", std::to_string(settings.threads.back()),
                   std::to_string(bytes), work.precision, settings.device},
                  environment(settings.threads.back(), settings.folder), settings.folder + "/ceilings.log");
  const nlohmann::json answer = nlohmann::json::parse(process.read_line(answer_limit));
  if (answer.contains("error")) {
    throw twingrad::IoError("the ceilings cannot be measured: " + answer.at("error").get<std::string>());
  }
  return {.flops = answer.at("flops"), .copy = answer.at("copy")};
}

/// Beside the turns: one in which each loss is read.
void read_turn(Entry& entry) {
  const nlohmann::json answer = entry.ask("read " + std::to_string(entry.result.steps));
  if (const double steps = answer.at("steps"); steps > 0) {
    entry.result.read_seconds.push_back(answer.at("seconds").get<double>() / steps);
  }
}

/// All systems of one start take turns: A B C, C B A. What fails drops out.
void take_turns(std::vector<Entry*> alive, const Settings& settings) {
  const auto begin = Clock::now();
  for (int round = 0; round < settings.repeats; ++round) {
    for (Entry* entry : alive) {
      if (!entry->result.failure.empty()) {
        continue;
      }
      guarded(*entry, [&] {
        const Turn taken = quiet_turn(*entry, entry->result.steps);
        entry->result.step_seconds.push_back(taken.step_seconds);
        entry->result.cpu_seconds.push_back(taken.cpu_seconds);
        entry->result.disturbance.push_back(taken.disturbance);
        entry->result.kernels_per_step = taken.kernels;
        if (taken.device_seconds) {
          entry->result.device_seconds.push_back(*taken.device_seconds);
        }
      });
    }
    std::reverse(alive.begin(), alive.end());
    const double per_round = seconds_since(begin) / (round + 1);
    constexpr int fewest = 5;
    if (round + 1 >= std::min(fewest, settings.repeats) &&
        per_round * (round + 2) > settings.budget_seconds * static_cast<double>(alive.size())) {
      break;
    }
  }
}

}  // namespace

double Ceilings::floor(const Work& work) const {
  return flops > 0 && copy > 0 ? std::max(step_flops(work) / flops, step_bytes(work) / copy) : 0;
}

std::pair<double, double> output_error_limits(const std::string& precision) {
  const double float32 = std::sqrt(float32_roundoff * tf32_roundoff);
  if (precision == "float32") {
    return {0, float32};
  }
  if (precision == "tf32") {
    return {0, std::sqrt(tf32_roundoff * bfloat16_roundoff)};
  }
  if (precision == "bfloat16") {
    return {float32, std::sqrt(bfloat16_roundoff)};
  }
  throw twingrad::ArgumentError("there is no precision '" + precision + "'; there are float32, tf32 and bfloat16");
}

double loss_error_limit(const std::string& precision) {
  if (precision == "float32") {
    return 1e-3;
  }
  if (precision == "tf32") {
    return 1e-2;
  }
  if (precision == "bfloat16") {
    return 1e-1;
  }
  throw twingrad::ArgumentError("there is no precision '" + precision + "'; there are float32, tf32 and bfloat16");
}

double loss_error(const std::vector<double>& losses, const std::vector<double>& reference) {
  if (losses.size() != reference.size() || reference.empty()) {
    throw twingrad::ArgumentError(std::to_string(losses.size()) + " losses cannot be held against " +
                                  std::to_string(reference.size()));
  }
  const auto [least, most] = std::minmax_element(reference.begin(), reference.end());
  double worst = 0;
  for (std::size_t i = 0; i < losses.size(); ++i) {
    const double difference = std::abs(losses[i] - reference[i]);
    worst = std::isnan(difference) ? INFINITY : std::max(worst, difference);
  }
  return worst / (*most - *least);
}

double relative_error(const std::vector<double>& values, const std::vector<double>& reference) {
  if (values.size() != reference.size() || reference.empty()) {
    throw twingrad::ArgumentError(std::to_string(values.size()) + " values cannot be held against " +
                                  std::to_string(reference.size()));
  }
  double error = 0;
  double size = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    error += (values[i] - reference[i]) * (values[i] - reference[i]);
    size += reference[i] * reference[i];
  }
  return std::sqrt(error / size);
}

WorkResult run_work(const Work& work, const std::vector<SystemSpec>& systems, const Settings& settings) {
  const double busy_before = busy_seconds() - own_seconds();
  const auto begin = Clock::now();
  const Files files{.work = settings.folder + "/" + work.name + ".json",
                    .data = settings.folder + "/" + work.name + ".safetensors"};
  write_work(work, files.work);
  write_data(work, files.data);

  WorkResult result{.work = work, .entries = {}, .ceilings = {}, .reference_losses = {}};
  result.ceilings = measure_ceilings(work, settings);
  settings.progress(work.name + ": float64");
  const Reference reference = run_reference(work, files, settings);
  result.reference_losses = reference.losses;

  std::vector<Entry> entries = make_entries(work, systems, settings);
  for (int s = 0; s < settings.starts; ++s) {
    std::vector<Entry*> alive;
    for (Entry& entry : entries) {
      if (!entry.result.failure.empty()) {
        continue;
      }
      settings.progress(work.name + ": start " + std::to_string(s + 1) + ", " + entry.result.name);
      guarded(entry, [&] {
        start(entry, files, settings);
        if (s == 0) {
          compare_with(reference, work.precision, entry);
          compare_bits(entries, entry);
          calibrate(entry, settings);
        }
        alive.push_back(&entry);
      });
    }
    settings.progress(work.name + ": start " + std::to_string(s + 1) + ", taking turns");
    take_turns(alive, settings);
    for (Entry* entry : alive) {
      if (entry->result.failure.empty()) {
        guarded(*entry, [&] { read_turn(*entry); });
      }
      if (!entry->result.failure.empty()) {
        continue;
      }
      entry->result.peak_memory = std::max(entry->result.peak_memory, entry->process->peak_memory());
      entry->process.reset();
    }
  }
  const Ceilings after = measure_ceilings(work, settings);
  result.ceilings = {.flops = std::max(result.ceilings.flops, after.flops),
                     .copy = std::max(result.ceilings.copy, after.copy)};
  for (Entry& entry : entries) {
    result.entries.push_back(std::move(entry.result));
  }
  result.foreign_load = (busy_seconds() - own_seconds() - busy_before) / seconds_since(begin);
  std::filesystem::remove(files.data);
  return result;
}

}  // namespace stepbench
