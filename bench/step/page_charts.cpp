#include <twingrad/check/report_svg.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <utility>

#include "bench/step/page_data.h"
#include "bench/step/svg_axis.h"
#include "bench/step/text.h"

namespace stepbench {
namespace {

using twingrad::check::escaped;

const PageSystem* at(const PageWork& work, int index) {
  return index < 0 ? nullptr : &work.systems[static_cast<std::size_t>(index)];
}

/// In words, so that a loss reads as plainly as a win.
std::string ratio_words(double ratio) {
  if (std::abs(ratio - 1) < 0.005) {
    return "the same";
  }
  return ratio > 1 ? format_text("%.2f x slower than ours", ratio) : format_text("%.2f x faster than ours", 1 / ratio);
}

}  // namespace

std::string ratio_chart(const PageWork& work) {
  constexpr double row = 24;
  constexpr double names = 230;
  constexpr double width = 1100;
  double low = 0.8;
  double high = 1.25;
  int rows = 0;
  for (const PageSystem& system : work.systems) {
    if (system.left_out.empty() && work.ours >= 0) {
      low = std::min(low, system.ratio.low * 0.9);
      high = std::max(high, system.ratio.high * 1.1);
      ++rows;
    }
  }
  if (rows == 0) {
    return "<p>nothing was measured</p>\n";
  }
  const LogAxis x{.low = low, .high = high, .first = names + 10, .last = width - 190};
  const double bottom = row * rows + 8;
  std::string text = format_text("<svg viewBox='0 0 %.0f %.0f' role='img' aria-label='step times relative to ours'>\n",
                                 width, bottom + 26);
  for (const double tick : {0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0}) {
    if (tick >= low && tick <= high) {
      text += format_text(
          "<line class='%s' x1='%.1f' x2='%.1f' y1='0' y2='%.0f'/><text class='tick' x='%.1f' y='%.0f'>%g</text>\n",
          tick == 1.0 ? "one" : "grid", x.at(tick), x.at(tick), bottom, x.at(tick), bottom + 16, tick);
    }
  }
  double y = 4;
  for (std::size_t i = 0; i < work.systems.size(); ++i) {
    const PageSystem& system = work.systems[i];
    if (!system.left_out.empty()) {
      continue;
    }
    const bool self = static_cast<int>(i) == work.ours;
    const double end = x.at(system.ratio.median);
    const double one = x.at(1);
    const char* const kind = self ? "self" : system.ratio.median >= 1 ? "win" : "loss";
    text += format_text("<text class='name %s' x='%.0f' y='%.1f'>%s</text>", system.role.c_str(), names, y + 15,
                        escaped(system.name).c_str());
    text += format_text("<rect class='%s' x='%.1f' y='%.1f' width='%.1f' height='14'/>", kind, std::min(one, end),
                        y + 3, std::max(1.5, std::abs(end - one)));
    text += format_text("<line class='spread' x1='%.1f' x2='%.1f' y1='%.1f' y2='%.1f'/>", x.at(system.ratio.low),
                        x.at(system.ratio.high), y + 10, y + 10);
    text += format_text("<text class='value' x='%.1f' y='%.1f'>%s</text>\n",
                        std::max({end, one, x.at(system.ratio.high)}) + 8, y + 15,
                        self ? "ours" : ratio_words(system.ratio.median).c_str());
    y += row;
  }
  return text + "</svg>\n";
}

std::string loss_chart(const PageWork& work) {
  if (work.reference_losses.empty()) {
    return "";
  }
  constexpr double width = 420;
  constexpr double height = 130;
  const auto [least, most] = std::minmax_element(work.reference_losses.begin(), work.reference_losses.end());
  const double range = std::max(*most - *least, 1e-300);
  const auto line = [&](const std::vector<double>& losses, const char* kind) {
    std::string points;
    for (std::size_t i = 0; i < losses.size(); ++i) {
      const double px =
          8 + (width - 16) * static_cast<double>(i) / std::max(1.0, static_cast<double>(losses.size()) - 1);
      const double py = 8 + (height - 16) * (*most - losses[i]) / range;
      points += format_text("%.1f,%.2f ", px, py);
    }
    return format_text("<polyline class='%s' points='", kind) + points + "'/>\n";
  };
  std::string text =
      format_text("<svg class='small' viewBox='0 0 %.0f %.0f' role='img' aria-label='loss curves'>\n", width, height);
  text += line(work.reference_losses, "reference");
  double worst = 0;
  for (const PageSystem& system : work.systems) {
    if (system.left_out.empty()) {
      text += line(system.losses, "curve");
      worst = std::max(worst, system.loss_error);
    }
  }
  return text + "</svg>\n<p class='soft'>" +
         format_text(
             "Loss over the first %zu steps: %.4f to %.4f. The wide line is float64; all systems lie on it, the "
             "farthest %.1e of what training moved away.",
             work.reference_losses.size(), work.reference_losses.front(), work.reference_losses.back(), worst) +
         "</p>\n";
}

double best_ratio(const PageWork& work) {
  const PageSystem* const peer = at(work, work.best_peer);
  return peer == nullptr || work.ours < 0 ? 0 : peer->ratio.median;
}

double floor_share(const PageWork& work) {
  const PageSystem* const ours = at(work, work.ours);
  return ours == nullptr ? 0 : work.floor / ours->step.median;
}

std::string heat_map(const std::vector<PageWork>& works, double (*value)(const PageWork&)) {
  std::set<long long> batches;
  std::set<long long> widths;
  std::map<std::pair<long long, long long>, double> cells;
  for (const PageWork& work : works) {
    batches.insert(work.batch);
    widths.insert(work.width);
    cells[{work.batch, work.width}] = value(work);
  }
  std::string text = "<table class='heat'><tr><th>width \\ batch</th>";
  for (const long long batch : batches) {
    text += format_text("<th>%lld</th>", batch);
  }
  text += "</tr>\n";
  for (const long long width : widths) {
    text += format_text("<tr><td>%lld</td>", width);
    for (const long long batch : batches) {
      const auto found = cells.find({batch, width});
      if (found == cells.end() || found->second <= 0) {
        text += "<td class='none'>-</td>";
        continue;
      }
      // Full colour at a factor of four.
      const double share = std::min(1.0, std::abs(std::log2(found->second)) / 2);
      text += format_text("<td style='background:color-mix(in srgb,var(--%s) %.0f%%,transparent)'>%.2f</td>",
                          found->second >= 1 ? "win" : "loss", 10 + 60 * share, found->second);
    }
    text += "</tr>\n";
  }
  return text + "</table>\n";
}

std::string roofline_chart(const std::vector<PageWork>& works) {
  constexpr double width = 1100;
  constexpr double height = 420;
  double least = 1e300;
  double most = 0;
  double roof = 0;
  double lowest = 1e300;
  for (const PageWork& work : works) {
    least = std::min(least, work.flops / work.bytes);
    most = std::max(most, work.flops / work.bytes);
    roof = std::max(roof, work.flops_ceiling);
    for (const int index : {work.ours, work.best_peer}) {
      if (const PageSystem* system = at(work, index)) {
        lowest = std::min(lowest, work.flops / system->step.median);
      }
    }
  }
  if (works.empty() || roof == 0 || lowest > roof) {
    return "";
  }
  const LogAxis x{.low = least / 2, .high = most * 3, .first = 70, .last = width - 20};
  const LogAxis y{.low = lowest / 2, .high = roof * 1.6, .first = height - 40, .last = 14};
  std::string text = format_text("<svg viewBox='0 0 %.0f %.0f' role='img' aria-label='roofline'>\n", width, height);
  for (int e = 6; e <= 15; ++e) {
    const double tick = std::pow(10.0, e);
    if (tick >= y.low && tick <= y.high) {
      text += format_text(
          "<line class='grid' x1='70' x2='%.0f' y1='%.1f' y2='%.1f'/><text class='name' x='62' y='%.1f'>%s</text>\n",
          width - 20, y.at(tick), y.at(tick), y.at(tick) + 4,
          (tick >= 1e12 ? format_text("%g TFLOP/s", tick / 1e12) : format_text("%g G", tick / 1e9)).c_str());
    }
  }
  text += format_text(
      "<line class='one' x1='70' x2='%.0f' y1='%.1f' y2='%.1f'/><text class='value' x='76' y='%.1f'>largest product "
      "measured</text>\n",
      width - 20, y.at(roof), y.at(roof), y.at(roof) - 5);
  for (const PageWork& work : works) {
    const double px = x.at(work.flops / work.bytes);
    const double attainable = work.floor > 0 ? work.flops / work.floor : roof;
    text += format_text("<line class='one' x1='%.1f' x2='%.1f' y1='%.1f' y2='%.1f'/>", px - 16, px + 16,
                        y.at(attainable), y.at(attainable));
    text += format_text(
        "<text class='tick' x='%.1f' y='%.0f'>%s</text><text class='tick soft' x='%.1f' y='%.0f'>%.2g FLOP/B</text>",
        px, height - 20, escaped(work.name).c_str(), px, height - 6, work.flops / work.bytes);
    if (const PageSystem* ours = at(work, work.ours)) {
      text += format_text(
          "<circle class='self' cx='%.1f' cy='%.1f' r='6'><title>ours: %.1f %% of the floor</title></circle>", px,
          y.at(work.flops / ours->step.median), 100 * work.floor / ours->step.median);
    }
    if (const PageSystem* peer = at(work, work.best_peer)) {
      const double py = y.at(work.flops / peer->step.median);
      text += format_text(
          "<rect class='loss' x='%.1f' y='%.1f' width='10' height='10'><title>%s</title></rect><text class='value' "
          "x='%.1f' y='%.1f'>%s</text>",
          px - 5, py - 5, escaped(peer->name).c_str(), px + 10, py + 14, escaped(peer->name).c_str());
    }
    text += '\n';
  }
  return text + "</svg>\n";
}

}  // namespace stepbench
