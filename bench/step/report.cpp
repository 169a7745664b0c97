#include "bench/step/report.h"

#include <algorithm>
#include <cmath>

#include "bench/step/statistics.h"
#include "bench/step/text.h"

namespace stepbench {
namespace {

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

/// The share of turns in which threads waited for a CPU, although they were taken again; "-" when the system does not
/// say.
std::string disturbed_text(const EntryResult& entry) {
  const std::vector<double>& shares = entry.disturbance;
  if (std::any_of(shares.begin(), shares.end(), [](double share) { return std::isnan(share); })) {
    return "-";
  }
  const auto count =
      std::count_if(shares.begin(), shares.end(), [](double share) { return share > disturbance_limit; });
  return format_text("%.0f %%", 100 * static_cast<double>(count) / static_cast<double>(shares.size()));
}

/// The median of what some systems alone tell; "-" for the others.
std::string median_text(const std::vector<double>& seconds) {
  return seconds.empty() ? "-" : duration_text(spread(seconds).median);
}

}  // namespace

std::string to_table(const WorkResult& result) {
  const EntryResult* const base = ours(result);
  const double floor = result.ceilings.floor(result.work);
  std::string text =
      format_text("\n%s: %s, batch %lld, %s, %s\n", result.work.name.c_str(), sizes_text(result.work.sizes).c_str(),
                  static_cast<long long>(result.work.batch), result.work.loss.c_str(), result.work.precision.c_str());
  text += format_text(
      "  floor %s: %.3g FLOP at %.3g FLOP/s, %.3g bytes at %.3g bytes/s; other programs kept %.2f CPUs busy\n",
      duration_text(floor).c_str(), step_flops(result.work), result.ceilings.flops, step_bytes(result.work),
      result.ceilings.copy, result.foreign_load);
  text += format_text("  %-27s %7s %15s %8s %8s %9s %9s %9s %8s %9s %9s %9s %7s %9s %9s\n",
                      "step time relative to ours", "ratio", "quartiles", "low 10%", "floor", "step", "device", "read",
                      "kernels", "CPU", "ready", "1st step", "memory", "loss err", "disturbed");
  for (const EntryResult& entry : result.entries) {
    if (!entry.failure.empty()) {
      text += format_text("  %-27s LEFT OUT: %s\n", entry.name.c_str(), entry.failure.c_str());
      continue;
    }
    const Spread step = spread(entry.step_seconds);
    std::string ratios(32, ' ');
    if (base != nullptr) {
      const Spread ratio = spread(paired_ratios(entry.step_seconds, base->step_seconds));
      ratios = format_text("%7.3f %7.3f-%-7.3f %8.3f", ratio.median, ratio.low, ratio.high,
                           step.tenth / spread(base->step_seconds).tenth);
    }
    text +=
        format_text("  %-27s %s %6.1f %% %9s %9s %9s %8s %9s %9s %9s %5.0f M %9.0e %9s\n", entry.name.c_str(),
                    ratios.c_str(), 100 * floor / step.median, duration_text(step.median).c_str(),
                    median_text(entry.device_seconds).c_str(), median_text(entry.read_seconds).c_str(),
                    entry.kernels_per_step ? count_text(*entry.kernels_per_step).c_str() : "-",
                    duration_text(spread(entry.cpu_seconds).median).c_str(),
                    duration_text(entry.ready_seconds[0]).c_str(), duration_text(entry.first_step_seconds[0]).c_str(),
                    static_cast<double>(entry.peak_memory) / 1e6, entry.loss_error, disturbed_text(entry).c_str());
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
      // What not every system tells; files of earlier runs have none of it.
      if (!entry.device_seconds.empty()) {
        json["device_seconds"] = entry.device_seconds;
      }
      if (!entry.read_seconds.empty()) {
        json["read_seconds"] = entry.read_seconds;
      }
      if (entry.kernels_per_step) {
        json["kernels_per_step"] = *entry.kernels_per_step;
      }
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
