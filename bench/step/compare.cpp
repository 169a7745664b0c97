#include "bench/step/compare.h"

#include <twingrad/error.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "bench/step/statistics.h"

namespace tg = twingrad;

namespace stepbench {
namespace {

constexpr double confidence = 0.99;

const nlohmann::json& works_of(const nlohmann::json& run, const char* which) {
  if (!run.is_object() || run.value("format", 0) != 1 || !run.contains("works")) {
    throw tg::IoError(std::string("the ") + which + " file is no result of this benchmark (format 1)");
  }
  return run.at("works");
}

std::vector<double> times(const nlohmann::json& system) {
  return system.contains("step_seconds") ? system.at("step_seconds").get<std::vector<double>>() : std::vector<double>{};
}

const nlohmann::json* find_system(const nlohmann::json& work, const std::string& name) {
  for (const nlohmann::json& system : work.at("systems")) {
    if (system.at("name") == name && !times(system).empty()) {
      return &system;
    }
  }
  return nullptr;
}

Change change_of(const std::string& work, const nlohmann::json& before, const nlohmann::json& after, double noise) {
  const std::vector<double> old_times = times(before);
  const std::vector<double> new_times = times(after);
  const auto [old_low, old_high] = median_interval(old_times, confidence);
  const auto [new_low, new_high] = median_interval(new_times, confidence);
  Change change{.work = work, .system = before.at("name")};
  change.ratio = quantile(new_times, 0.5) / quantile(old_times, 0.5);
  change.noise = noise;
  change.low = new_low / old_high / (1 + noise);
  change.high = new_high / old_low * (1 + noise);
  if (change.high < 1) {
    change.verdict = Verdict::faster;
  } else if (change.low > 1) {
    change.verdict = Verdict::slower;
  }
  return change;
}

}  // namespace

const char* name(Verdict verdict) {
  constexpr const char* names[] = {"faster", "slower", "tie"};
  return names[static_cast<int>(verdict)];
}

std::pair<double, double> median_interval(std::vector<double> values, double confidence_wanted) {
  if (values.empty()) {
    throw tg::ArgumentError("an interval of no values");
  }
  if (!(confidence_wanted > 0 && confidence_wanted < 1)) {
    throw tg::ArgumentError("a confidence of " + std::to_string(confidence_wanted) + "; it lies between 0 and 1");
  }
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  // The interval from the k-th smallest to the k-th largest misses the median with probability 2 P(Bin(n, 1/2) < k).
  double term = std::pow(0.5, static_cast<double>(n));  // P(Bin = 0)
  double below = term;
  std::size_t k = 1;
  while (k < n / 2) {
    term *= static_cast<double>(n - k + 1) / static_cast<double>(k);
    if (2 * (below + term) > 1 - confidence_wanted) {
      break;
    }
    below += term;
    ++k;
  }
  return {values[k - 1], values[n - k]};
}

double noise_of(const nlohmann::json& run) {
  double noise = 0;
  for (const nlohmann::json& work : run.at("works")) {
    for (const nlohmann::json& system : work.at("systems")) {
      const std::string again = system.at("name");
      constexpr std::string_view mark = "-again";
      const std::size_t place = again.find(mark);
      if (place == std::string::npos || times(system).empty()) {
        continue;
      }
      if (const nlohmann::json* first = find_system(work, again.substr(0, place) + again.substr(place + mark.size()))) {
        noise = std::max(noise, std::abs(std::log(quantile(times(system), 0.5) / quantile(times(*first), 0.5))));
      }
    }
  }
  return std::expm1(noise);
}

std::vector<Change> compare(const nlohmann::json& before, const nlohmann::json& after) {
  const nlohmann::json& old_works = works_of(before, "first");
  const nlohmann::json& new_works = works_of(after, "second");
  try {
    for (const char* key : {"processor", "family_model", "threads", "gpu"}) {
      const nlohmann::json one = before.at("machine").value(key, nlohmann::json());
      const nlohmann::json other = after.at("machine").value(key, nlohmann::json());
      if (one != other) {
        throw tg::ArgumentError("the runs are of different machines (" + std::string(key) + ": " + one.dump() +
                                " and " + other.dump() + "); only runs of one machine can be compared");
      }
    }
    const double noise = std::max(noise_of(before), noise_of(after));
    std::vector<Change> changes;
    for (const nlohmann::json& old_work : old_works) {
      for (const nlohmann::json& new_work : new_works) {
        const std::string work = old_work.at("work").at("name");
        if (new_work.at("work").at("name") != work) {
          continue;
        }
        if (old_work.at("work") != new_work.at("work")) {
          throw tg::ArgumentError("the work '" + work + "' differs between the runs, so its times cannot be compared");
        }
        for (const nlohmann::json& system : old_work.at("systems")) {
          const nlohmann::json* const other = find_system(new_work, system.at("name"));
          if (other != nullptr && !times(system).empty()) {
            changes.push_back(change_of(work, system, *other, noise));
          }
        }
      }
    }
    if (changes.empty()) {
      throw tg::ArgumentError("the runs have no system on a work in common");
    }
    return changes;
  } catch (const nlohmann::json::exception& error) {
    throw tg::IoError(std::string("a result is not as expected: ") + error.what());
  }
}

std::string to_table(const std::vector<Change>& changes) {
  std::string text;
  char line[256];
  for (const Change& change : changes) {
    std::snprintf(line, sizeof line, "%-8s %-28s %-7s %7.3f  (%.3f to %.3f, noise %.1f %%)\n", change.work.c_str(),
                  change.system.c_str(), name(change.verdict), change.ratio, change.low, change.high,
                  100 * change.noise);
    text += line;
  }
  return text;
}

}  // namespace stepbench
