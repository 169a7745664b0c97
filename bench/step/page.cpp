#include "bench/step/page.h"

#include <twingrad/check/report_svg.h>
#include <twingrad/error.h>

#include <string_view>

#include "bench/step/page_data.h"
#include "bench/step/text.h"

namespace stepbench {
namespace {

using twingrad::check::escaped;

constexpr std::string_view style = R"css(
:root{color-scheme:light dark;--page:#f6f7f9;--card:#fff;--line:#dde2e8;--ink:#17212b;--soft:#5a6775;--win:#2f74b5;--loss:#d1620f;--self:#17212b}
@media(prefers-color-scheme:dark){:root{--page:#10151b;--card:#182029;--line:#2c3844;--ink:#e4eaf0;--soft:#9aa8b6;--win:#5aa2e0;--loss:#ef8b3c;--self:#e4eaf0}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main{max-width:1180px;margin:0 auto;padding:24px 24px 60px}h1{font-size:26px;margin:0 0 4px}h2{font-size:20px;margin:40px 0 4px}
p{margin:4px 0}.soft{color:var(--soft)}.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 18px;margin:12px 0;overflow:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:14px}
th,td{text-align:right;padding:4px 10px;border-bottom:1px solid var(--line);white-space:nowrap}th{color:var(--soft);font-weight:600}
th:first-child,td:first-child{text-align:left}tr:last-child td{border-bottom:0}td.left,th.left{text-align:left}
.chip{display:inline-block;border-radius:4px;padding:0 9px;font-weight:700;color:#fff;background:#66727f}.chip.win{background:#245c93}.chip.loss{background:#a84c08}
svg{display:block;width:100%;height:auto}svg.small{max-width:460px}svg text{font-size:13px;fill:var(--ink)}
svg .name{text-anchor:end}svg .ours{font-weight:700}svg .tick{text-anchor:middle;fill:var(--soft);font-size:12px}svg .soft{font-size:11px}
.grid{stroke:var(--line)}.one{stroke:var(--ink);stroke-width:1.5}.win{fill:var(--win)}.loss{fill:var(--loss)}.self{fill:var(--self)}
.heat td,.heat th{text-align:center;border:1px solid var(--line)}
.spread{stroke:var(--ink);stroke-width:2}.reference{fill:none;stroke:var(--line);stroke-width:7}.curve{fill:none;stroke:var(--win);stroke-width:1}.wide{stroke-width:2.5}.other{stroke:var(--loss);stroke-width:2.5}
.halves{display:flex;flex-wrap:wrap;gap:8px}svg.half{flex:1 1 480px;max-width:560px}
)css";

std::string text_of(const nlohmann::json& json, const char* key) {
  return escaped(json.at(key).get<std::string>());
}

/// Ahead or behind only when three quarters of all turns say so.
std::string verdict(const PageSystem& peer) {
  if (peer.ratio.low > 1) {
    return "<span class='chip win'>ahead</span>";
  }
  if (peer.ratio.high < 1) {
    return "<span class='chip loss'>behind</span>";
  }
  return "<span class='chip'>tie</span>";
}

std::string glance(const std::vector<PageWork>& works) {
  std::string text =
      "<div class='card'><table><tr><th>work</th><th class='left'>net, batch</th><th>ours</th><th class='left'>best "
      "peer</th><th>its time / ours</th><th>quartiles</th><th></th><th>ours: share of the floor</th></tr>\n";
  for (const PageWork& work : works) {
    text += "<tr><td><a href='#" + escaped(work.name) + "'>" + escaped(work.name) + "</a></td><td class='left'>" +
            work.sizes + format_text(", %lld</td>", work.batch);
    if (work.ours < 0 || work.best_peer < 0) {
      text += "<td colspan='6' class='left'>not both were measured</td></tr>\n";
      continue;
    }
    const PageSystem& ours = work.systems[static_cast<std::size_t>(work.ours)];
    const PageSystem& peer = work.systems[static_cast<std::size_t>(work.best_peer)];
    text += format_text(
        "<td>%s</td><td class='left'>%s</td><td><b>%.2f</b></td><td>%.2f to %.2f</td><td>%s</td><td>%.1f "
        "%%</td></tr>\n",
        duration_text(ours.step.median).c_str(), escaped(peer.name).c_str(), peer.ratio.median, peer.ratio.low,
        peer.ratio.high, verdict(peer).c_str(), 100 * work.floor / ours.step.median);
  }
  return text + "</table></div>\n";
}

std::string duration_or_dash(const std::optional<double>& seconds) {
  return seconds ? duration_text(*seconds) : "-";
}

std::string systems_table(const PageWork& work) {
  std::string text =
      "<div class='card'><table><tr><th>system</th><th class='left'>what it "
      "is</th><th>step</th><th>on the device</th><th>loss read</th><th>kernels</th><th>floor</th><th>ready</th>"
      "<th>first step</th><th>memory</th><th>loss error</th><th>output error</th><th class='left'>version</th></tr>\n";
  for (const PageSystem& system : work.systems) {
    text += "<tr><td>" + escaped(system.name) + "</td><td class='left'>" + escaped(system.description) + "</td>";
    if (!system.left_out.empty()) {
      text += "<td colspan='11' class='left' style='white-space:normal'>left out: " + escaped(system.left_out) +
              "</td></tr>\n";
      continue;
    }
    text += "<td>" + duration_text(system.step.median) + "</td><td>" + duration_or_dash(system.device) + "</td><td>" +
            duration_or_dash(system.read) + "</td><td>" + (system.kernels ? count_text(*system.kernels) : "-") +
            "</td>";
    text += format_text("<td>%.1f %%</td><td>%s</td><td>%s</td><td>%.0f MB</td><td>%.0e</td><td>%.0e</td>",
                        100 * work.floor / system.step.median, duration_text(system.ready).c_str(),
                        duration_text(system.first_step).c_str(), system.memory / 1e6, system.loss_error,
                        system.output_error) +
            "<td class='left'>" + escaped(system.version) + "</td></tr>\n";
  }
  return text + "</table></div>\n";
}

std::string section(const PageWork& work) {
  std::string text = "<h2 id='" + escaped(work.name) + "'>" + escaped(work.name) + "</h2>\n<p class='soft'>" +
                     work.sizes +
                     format_text(
                         ", batch %lld, %s, Adam, %s. Floor %s: %.3g FLOP at %.0f GFLOP/s, %.3g bytes at %.0f "
                         "GB/s. Other programs kept %.2f CPUs busy.</p>\n",
                         work.batch, work.loss.c_str(), work.precision.c_str(), duration_text(work.floor).c_str(),
                         work.flops, work.flops_ceiling / 1e9, work.bytes, work.copy_ceiling / 1e9, work.foreign_load);
  text += "<div class='card'>" + ratio_chart(work) + "</div>\n" + systems_table(work);
  return text + "<div class='card'>" + loss_chart(work) + "</div>\n";
}

/// The GPU, or the processor.
std::string device_of(const nlohmann::json& run) {
  const nlohmann::json& machine = run.at("machine");
  return text_of(machine, machine.contains("gpu") ? "gpu" : "processor");
}

}  // namespace

std::string to_page(const nlohmann::json& run, const nlohmann::json& beside) {
  const std::vector<PageWork> works = page_works(run);
  if (!beside.is_null() && !(run.value("sweep", false) && beside.is_object() && beside.value("sweep", false))) {
    throw twingrad::ArgumentError("two devices are laid over each other from two sweeps (`stepbench sweep`)");
  }
  std::string text =
      "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'><meta name='viewport' "
      "content='width=device-width'><title>twingrad: training steps</title><style>";
  text += style;
  text += "</style></head><body><main>\n<h1>Training steps, beside other libraries</h1>\n";
  try {
    const nlohmann::json& machine = run.at("machine");
    text += "<p class='soft'>" + text_of(machine, "processor") + " (" + text_of(machine, "family_model") + "), " +
            std::to_string(machine.at("threads").get<int>()) + " CPUs, " + text_of(machine, "system") + "; " +
            (machine.contains("gpu") ? text_of(machine, "gpu") + "; " : "") + text_of(machine, "compiler") +
            "; commit " + text_of(machine, "commit") + ", " + text_of(machine, "date") + "; " +
            std::to_string(run.at("starts").get<int>()) + " starts of every system</p>\n";
    for (const nlohmann::json& left : run.at("left_out")) {
      text += "<p><b>Left out: " + text_of(left, "system") + "</b>: " + text_of(left, "reason") + "</p>\n";
    }
  } catch (const nlohmann::json::exception& error) {
    throw twingrad::IoError(std::string("the result is not as expected: ") + error.what());
  }
  text +=
      "<p>One training step each: forward, backward, Adam, a fresh batch. The systems took turns in one run; a ratio "
      "is the median over turns of the same round, its spread their quartiles. Above 1 we are faster. Ahead and "
      "behind are said when three quarters of the turns agree.</p>\n";
  if (run.value("sweep", false)) {
    text +=
        "<h2>The best peer's time / ours</h2>\n<div class='card'>" + heat_map(works, best_ratio) +
        "</div>\n<h2>Floor / our time</h2>\n<p class='soft'>1 is the floor itself. A step down between neighbours that "
        "the floor does not have is a cliff.</p>\n<div class='card'>" +
        heat_map(works, floor_share) + "</div>\n";
    if (!beside.is_null()) {
      text += "<h2>One device over the other</h2>\n" +
              crossover_chart(works, page_works(beside), device_of(run), device_of(beside));
    }
    text += glance(works);
    return text + "</main></body></html>\n";
  }
  text += glance(works);
  text +=
      "<h2>Roofline</h2>\n<p class='soft'>Speed of the products over FLOP per byte. Dash: what this machine could "
      "reach; dot: ours; orange square: the best peer.</p>\n<div class='card'>" +
      roofline_chart(works) + "</div>\n";
  for (const PageWork& work : works) {
    text += section(work);
  }
  return text + "</main></body></html>\n";
}

}  // namespace stepbench
