// Two sweeps of one grid on two devices, one over the other: from which batch on the second one is ahead.
#include <twingrad/error.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "bench/step/page_data.h"
#include "bench/step/svg_axis.h"
#include "bench/step/text.h"

namespace tg = twingrad;

namespace stepbench {
namespace {

/// Our fastest step by batch.
using Curve = std::map<long long, double>;

std::map<long long, Curve> curves_of(const std::vector<PageWork>& works) {
  std::map<long long, Curve> curves;
  for (const PageWork& work : works) {
    if (work.ours >= 0) {
      curves[work.width][work.batch] = work.systems[static_cast<std::size_t>(work.ours)].step.median;
    }
  }
  return curves;
}

/// Who is ahead: the second from some batch on, at every larger one that both have, or the first at the largest.
std::string who_is_ahead(const Curve& first, const Curve& second, const std::string& first_name,
                         const std::string& second_name) {
  long long ahead_from = 0;
  long long largest = 0;
  for (const auto& [batch, seconds] : first) {
    const auto other = second.find(batch);
    if (other == second.end()) {
      continue;
    }
    largest = batch;
    if (other->second >= seconds) {
      ahead_from = 0;
    } else if (ahead_from == 0) {
      ahead_from = batch;
    }
  }
  if (largest == 0) {
    return "no batch in common";
  }
  return ahead_from == 0 ? first_name + " still at batch " + std::to_string(largest)
                         : second_name + " from batch " + std::to_string(ahead_from) + " on";
}

std::string polyline(const Curve& curve, const LogAxis& x, const LogAxis& y, const char* kind) {
  std::string points;
  for (const auto& [batch, seconds] : curve) {
    points += format_text("%.1f,%.1f ", x.at(static_cast<double>(batch)), y.at(seconds));
  }
  return format_text("<polyline class='%s' points='", kind) + points + "'/>\n";
}

}  // namespace

std::string crossover_chart(const std::vector<PageWork>& first, const std::vector<PageWork>& second,
                            const std::string& first_name, const std::string& second_name) {
  const std::map<long long, Curve> ours = curves_of(first);
  const std::map<long long, Curve> others = curves_of(second);
  constexpr double width = 540;
  constexpr double height = 220;
  constexpr double left = 84;
  constexpr double right = width - 60;
  std::string charts;
  std::string rows;
  for (const auto& [net_width, curve] : ours) {
    const auto found = others.find(net_width);
    if (found == others.end()) {
      continue;
    }
    const Curve& other = found->second;
    double least = 1e300;
    double most = 0;
    long long smallest = curve.begin()->first;
    long long largest = smallest;
    for (const Curve* one : {&curve, &other}) {
      for (const auto& [batch, seconds] : *one) {
        least = std::min(least, seconds);
        most = std::max(most, seconds);
        smallest = std::min(smallest, batch);
        largest = std::max(largest, batch);
      }
    }
    const LogAxis x{.low = static_cast<double>(smallest),
                    .high = static_cast<double>(std::max(largest, smallest + 1)),
                    .first = left,
                    .last = right};
    const LogAxis y{.low = least / 1.5, .high = most * 1.5, .first = height - 40, .last = 24};
    charts += format_text(
        "<svg class='half' viewBox='0 0 %.0f %.0f' role='img' aria-label='step time over batch, width %lld'>"
        "<text class='value' x='84' y='14'>width %lld</text>\n",
        width, height, net_width, net_width);
    for (const long long batch : {smallest, largest}) {
      charts += format_text("<text class='tick' x='%.1f' y='%.0f'>batch %lld</text>", x.at(static_cast<double>(batch)),
                            height - 20, batch);
    }
    for (const double seconds : {least, most}) {
      charts += format_text(
          "<line class='grid' x1='84' x2='%.0f' y1='%.1f' y2='%.1f'/><text class='name' x='76' y='%.1f'>%s</text>\n",
          right, y.at(seconds), y.at(seconds), y.at(seconds) + 4, duration_text(seconds).c_str());
    }
    charts += polyline(curve, x, y, "curve wide") + polyline(other, x, y, "curve other") + "</svg>\n";
    rows += format_text("<tr><td>%lld</td><td class='left'>%s</td></tr>\n", net_width,
                        who_is_ahead(curve, other, first_name, second_name).c_str());
  }
  if (rows.empty()) {
    throw tg::ArgumentError("the two sweeps have no width in common; run both over the same widths and batches");
  }
  return "<p class='soft'>Our step time: blue on " + first_name + ", orange on " + second_name +
         ".</p>\n<div class='card'><table><tr><th>width</th><th class='left'>ahead</th></tr>\n" + rows +
         "</table></div>\n<div class='card halves'>" + charts + "</div>\n";
}

}  // namespace stepbench
