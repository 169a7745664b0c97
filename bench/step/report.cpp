#include "bench/step/report.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>

#include "bench/step/statistics.h"

namespace stepbench {
namespace {

std::string format(const char* text, ...) __attribute__((format(printf, 1, 2)));
std::string format(const char* text, ...) {
  char buffer[512];
  va_list arguments;
  va_start(arguments, text);
  std::vsnprintf(buffer, sizeof buffer, text, arguments);
  va_end(arguments);
  return buffer;
}

std::string duration(double seconds) {
  if (seconds < 1e-3) {
    return format("%.1f us", 1e6 * seconds);
  }
  return seconds < 1 ? format("%.2f ms", 1e3 * seconds) : format("%.2f s", seconds);
}

/// Ours that is fastest: what a ratio is to.
const EntryResult* ours(const WorkResult& result) {
  const EntryResult* best = nullptr;
  for (const EntryResult& entry : result.entries) {
    if (entry.role == Role::ours && entry.failure.empty() &&
        (best == nullptr || spread(entry.step_seconds).median < spread(best->step_seconds).median)) {
      best = &entry;
    }
  }
  return best;
}

/// Of the turns, those that other programs disturbed although they were taken again.
double disturbed_share(const EntryResult& entry) {
  const auto count = std::count_if(entry.disturbance.begin(), entry.disturbance.end(),
                                   [](double share) { return share > disturbance_limit; });
  return static_cast<double>(count) / static_cast<double>(entry.disturbance.size());
}

}  // namespace

std::string to_table(const WorkResult& result) {
  const EntryResult* const base = ours(result);
  const double floor = result.ceilings.floor(result.work);
  std::string sizes;
  for (const std::int64_t size : result.work.sizes) {
    sizes += (sizes.empty() ? "" : "-") + std::to_string(size);
  }
  std::string text =
      format("\n%s: %s, batch %lld, %s, %s\n", result.work.name.c_str(), sizes.c_str(),
             static_cast<long long>(result.work.batch), result.work.loss.c_str(), result.work.precision.c_str());
  text +=
      format("  floor %s: %.3g FLOP at %.3g FLOP/s, %.3g bytes at %.3g bytes/s; other programs kept %.2f CPUs busy\n",
             duration(floor).c_str(), step_flops(result.work), result.ceilings.flops, step_bytes(result.work),
             result.ceilings.copy, result.foreign_load);
  text +=
      format("  %-27s %7s %15s %8s %8s %9s %9s %9s %9s %7s %9s %9s\n", "step time relative to ours", "ratio",
             "quartiles", "low 10%", "floor", "step", "CPU", "ready", "1st step", "memory", "loss err", "disturbed");
  for (const EntryResult& entry : result.entries) {
    if (!entry.failure.empty()) {
      text += format("  %-27s LEFT OUT: %s\n", entry.name.c_str(), entry.failure.c_str());
      continue;
    }
    const Spread step = spread(entry.step_seconds);
    std::string ratios(32, ' ');
    if (base != nullptr) {
      const Spread ratio = spread(paired_ratios(entry.step_seconds, base->step_seconds));
      ratios = format("%7.3f %7.3f-%-7.3f %8.3f", ratio.median, ratio.low, ratio.high,
                      step.tenth / spread(base->step_seconds).tenth);
    }
    text += format("  %-27s %s %6.1f %% %9s %9s %9s %9s %5.0f M %9.0e %7.0f %%\n", entry.name.c_str(), ratios.c_str(),
                   100 * floor / step.median, duration(step.median).c_str(),
                   duration(spread(entry.cpu_seconds).median).c_str(), duration(entry.ready_seconds[0]).c_str(),
                   duration(entry.first_step_seconds[0]).c_str(), static_cast<double>(entry.peak_memory) / 1e6,
                   entry.loss_error, 100 * disturbed_share(entry));
  }
  return text;
}

nlohmann::ordered_json to_json(const WorkResult& result) {
  nlohmann::ordered_json systems = nlohmann::ordered_json::array();
  for (const EntryResult& entry : result.entries) {
    nlohmann::ordered_json json = {{"name", entry.name},
                                   {"system", entry.system},
                                   {"role", name(entry.role)},
                                   {"description", entry.description},
                                   {"threads", entry.threads}};
    if (!entry.failure.empty()) {
      json["left_out"] = entry.failure;
    } else {
      json.update({{"version", entry.version},
                   {"flags", entry.flags},
                   {"precision", entry.precision},
                   {"steps_per_turn", entry.steps},
                   {"ready_seconds", entry.ready_seconds},
                   {"first_step_seconds", entry.first_step_seconds},
                   {"peak_memory_bytes", entry.peak_memory},
                   {"losses", entry.losses},
                   {"weights_checksum", entry.weights},
                   {"loss_error", entry.loss_error},
                   {"output_error", entry.output_error},
                   {"step_seconds", entry.step_seconds},
                   {"cpu_seconds", entry.cpu_seconds},
                   {"disturbance", entry.disturbance}});
    }
    systems.push_back(std::move(json));
  }
  return {{"work", to_json(result.work)},
          {"flops", step_flops(result.work)},
          {"bytes", step_bytes(result.work)},
          {"ceilings", {{"flops_per_second", result.ceilings.flops}, {"copy_bytes_per_second", result.ceilings.copy}}},
          {"floor_seconds", result.ceilings.floor(result.work)},
          {"foreign_load", result.foreign_load},
          {"reference_losses", result.reference_losses},
          {"systems", systems}};
}

}  // namespace stepbench
