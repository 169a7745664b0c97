// The report as one page that opens without a network: verdict, findings, graph, tables.
#include <twingrad/check/check.h>
#include <twingrad/check/report_style.h>
#include <twingrad/check/report_svg.h>
#include <twingrad/check/report_words.h>

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <numeric>

namespace twingrad::check {
namespace {

constexpr std::size_t described_findings = 12;  // per device; further ones stand in the list of nodes
constexpr std::size_t worst_cases = 12;

std::string tone(Verdict verdict) {
  switch (verdict) {
    case Verdict::agrees:
      return "good";
    case Verdict::warning:
      return "warn";
    case Verdict::ill_conditioned:
      return "ill";
    case Verdict::not_checked:
      return "none";
    default:
      return "bad";
  }
}

std::string chip(Verdict verdict) {
  return "<span class=\"chip " + tone(verdict) + "\">" + std::string(name(verdict)) + "</span>";
}

std::string row_class(Verdict verdict) {
  return is_finding(verdict) ? " class=\"" + tone(verdict) + "\"" : "";
}

/// Terms and what is said about each; empty ones are left out. The texts are escaped.
std::string terms(std::initializer_list<std::pair<const char*, std::string>> items) {
  std::string html;
  for (const auto& [term, text] : items) {
    html += text.empty() ? "" : "<dt>" + std::string(term) + "</dt><dd>" + escaped(text) + "</dd>";
  }
  return html.empty() ? "" : "<dl>" + html + "</dl>";
}

struct Column {
  const char* title;
  bool number = false;
};

std::string table_head(std::initializer_list<Column> columns) {
  std::string html = "<table><thead><tr>";
  for (const Column& column : columns) {
    html += column.number ? "<th class=\"num\">" : "<th>";
    html += std::string(column.title) + "</th>";
  }
  return html + "</tr></thead><tbody>\n";
}
constexpr const char* table_end = "</tbody></table></div>\n";

std::string cell(const std::string& text) {
  return "<td>" + escaped(text) + "</td>";
}
std::string mono_cell(const std::string& text) {
  return "<td class=\"mono\">" + escaped(text) + "</td>";
}
std::string number_cell(double value) {
  return "<td class=\"num\">" + number(value) + "</td>";
}
std::string count_cell(std::int64_t n) {
  return "<td class=\"num\">" + count(n) + "</td>";
}
std::string chip_cell(Verdict verdict) {
  return "<td>" + chip(verdict) + "</td>";
}

std::string node_link(const std::string& prefix, const NodeResult& node) {
  if (!is_drawn(node)) {
    return "<td class=\"num\">" + std::to_string(node.node) + "</td>";
  }
  return R"(<td class="num"><a href="#)" + prefix + "-" + std::to_string(node.node) + "\">" +
         std::to_string(node.node) + "</a></td>";
}

std::string node_title(const NodeResult& node) {
  std::string html =
      "<b class=\"mono\">" + escaped(node.op) + "</b> <span class=\"mono soft\">" + escaped(node.type) + "</span>";
  html += node.where.empty() ? "" : " at <b class=\"mono\">" + escaped(node.where) + "</b>";
  return html + " <span class=\"soft\">node " + std::to_string(node.node) + (node.backward ? ", backward" : "") +
         (node.label.empty() ? "" : ", " + escaped(node.label)) + "</span>";
}

std::string repeat_text(const DeviceReport& device, const NodeResult& node) {
  if (node.repeats) {
    return "";
  }
  const int before = race_before(device, node);
  return before < 0 ? "its bits differ between runs, those of its inputs do not"
                    : "its bits differ between runs; it follows from node " + std::to_string(before);
}

std::string banner(const Report& report) {
  const Verdict verdict = report.verdict();
  std::string html = "<header class=\"banner " + tone(verdict) + R"("><span class="kind">)" +
                     std::string(name(verdict)) + "</span><h1>" + escaped(headline(report)) + "</h1><p>" +
                     std::string(meaning(verdict)) + "</p>";
  const std::string_view what_to_do = advice(verdict);
  return html + (what_to_do.empty() ? "" : "<p><b>" + std::string(what_to_do) + "</b></p>") + "</header>\n";
}

std::string fact(const char* what, const std::string& value) {
  return "<div>" + std::string(what) + " <b>" + escaped(value) + "</b></div>";
}

std::string facts(const Report& report) {
  return "<div class=\"facts\">" + fact("seed", std::to_string(report.seed)) + fact("\u03bb", number(report.lambda)) +
         fact("false-alarm budget", number(report.false_alarm)) + fact("took", number(report.seconds) + " s") +
         fact("gradient rules", count(static_cast<std::int64_t>(report.rules.size())) + " checked, " +
                                    count(static_cast<std::int64_t>(rule_findings(report).size())) + " wrong") +
         "</div>\n";
}

std::string nearest(const DeviceReport& device) {
  const std::vector<const NodeResult*> sorted = by_error(device);
  if (sorted.empty()) {
    return "";
  }
  const NodeResult& node = *sorted.front();
  return node.op + (node.where.empty() ? "" : " at " + node.where) + ", node " + std::to_string(node.node) + ": " +
         number(node.isolated.max_ratio) + " times its bound";
}

std::string furthest(const DeviceReport& device) {
  if (device.results.empty()) {
    return "";
  }
  const ResultCheck& result = *by_ratio(device).front();
  return result.name + ": rms error " + number(error_ratio(result)) + " times what rounding explains";
}

std::string device_card(const DeviceReport& device) {
  const auto leaves = std::count_if(device.nodes.begin(), device.nodes.end(), [](const auto& n) { return n.leaf; });
  const auto views = std::count_if(device.nodes.begin(), device.nodes.end(), [](const auto& n) { return n.view; });
  std::string skipped_text = count(device.elements_skipped, "element") +
                             (device.elements_skipped > 0 ? ": an intermediate leaves the dtype's range" : "");
  for (const auto& [reason, numbers] : skipped(device)) {
    skipped_text += "; " + std::string(numbers.size() == 1 ? "node " : "nodes ") + list_of(numbers, 8) + ": " + reason;
  }
  return "<section class=\"card\"><h3>" + escaped(device.device) + " " + chip(device.verdict) +
         "</h3><p class=\"soft\">" + escaped(device.description) + "</p>" +
         terms({{"checked", count(device.kernels_checked, "kernel") + ", " + count(device.elements_checked, "element")},
                {"skipped", skipped_text},
                {"nodes", count(static_cast<std::int64_t>(device.nodes.size())) + ", of them " + count(leaves) +
                              " given and " + count(views) + " views without a kernel"},
                {"largest error", nearest(device)},
                {"results", furthest(device)}}) +
         "</section>\n";
}

std::string node_finding(const DeviceReport& device, const std::string& prefix, const NodeResult& node) {
  const Comparison& c = telling(node);
  std::string html = "<section class=\"card find " + tone(node.verdict) + "\"><div><h3>" + chip(node.verdict) + " " +
                     node_title(node) + "</h3>" +
                     terms({{node.verdict == Verdict::in_situ ? "in the plan" : "alone", describe_figures(node)},
                            {"repeats", repeat_text(device, node)},
                            {"worst", node.verdict == Verdict::race ? "" : describe_worst(c)},
                            {"positions", position_pattern(c)},
                            {"note", node.note}});
  html += "<p>" + std::string(meaning(node.verdict)) + " <b>" + std::string(advice(node.verdict)) + "</b></p>";
  html += "<p><a href=\"#" + prefix + "-" + std::to_string(node.node) + "\">Show it in the graph of " +
          escaped(device.device) + "</a></p></div><div class=\"draw\">";
  // A race was found by bits: how the first run compares with float64 is not the point.
  html += node.verdict == Verdict::race ? "" : draw_ulps(c) + draw_positions(c);
  return html + "</div></section>\n";
}

std::string result_finding(const ResultCheck& result, const DeviceReport& device) {
  return "<section class=\"card find " + tone(result.verdict) + "\"><div><h3>" + chip(result.verdict) + " <b>" +
         escaped(result.name) + "</b> <span class=\"mono soft\">" + escaped(result.type) + "</span> on " +
         escaped(device.device) + "</h3>" +
         terms({{"error", "rms " + number(result.rms_error) + ", " + number(error_ratio(result)) +
                              " times what rounding explains (" + number(result.predicted_rms) +
                              "); rms of the value " + number(result.rms)},
                {"worst", result.worst_index < 0
                              ? ""
                              : "element " + std::to_string(result.worst_index) + ": got " +
                                    number(result.worst_actual, 9) + ", expected " + number(result.worst_expected, 9)},
                {"amplifier", result.amplifier}}) +
         "<p>" + std::string(meaning(result.verdict)) + " <b>" + std::string(advice(result.verdict)) +
         "</b></p></div></section>\n";
}

std::string rule_finding(const RuleResult& rule) {
  return "<section class=\"card find " + tone(rule.verdict) + "\"><div><h3>" + chip(rule.verdict) +
         " <b class=\"mono\">" + escaped(rule.op) + "</b>" +
         (rule.where.empty() ? "" : " at <b class=\"mono\">" + escaped(rule.where) + "</b>") + "</h3>" +
         terms({{"the rule gives", number(rule.reverse, 9)},
                {"the formula gives", number(rule.forward, 9) + " (" + rule.method + ")"},
                {"bound", number(rule.bound)},
                {"note", rule.note}}) +
         "<p>" + std::string(meaning(rule.verdict)) + " <b>" + std::string(advice(rule.verdict)) +
         "</b></p></div></section>\n";
}

std::string prefix_of(std::size_t device) {
  return "d" + std::to_string(device);
}

std::string all_findings(const Report& report) {
  std::vector<std::pair<Verdict, std::string>> cards;
  std::string further;
  for (std::size_t d = 0; d < report.devices.size(); ++d) {
    const DeviceReport& device = report.devices[d];
    const std::vector<const NodeResult*> nodes = findings(device);
    for (std::size_t i = 0; i < std::min(nodes.size(), described_findings); ++i) {
      cards.emplace_back(nodes[i]->verdict, node_finding(device, prefix_of(d), *nodes[i]));
    }
    for (const ResultCheck* result : result_findings(device)) {
      cards.emplace_back(result->verdict, result_finding(*result, device));
    }
    if (nodes.size() > described_findings) {
      further += "<p class=\"soft\">and " +
                 count(static_cast<std::int64_t>(nodes.size() - described_findings), "further node") + " on " +
                 escaped(device.device) + ", marked in its graph and in its list of nodes</p>\n";
    }
  }
  for (const RuleResult* rule : rule_findings(report)) {
    cards.emplace_back(rule->verdict, rule_finding(*rule));
  }
  std::stable_sort(cards.begin(), cards.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::string html = cards.empty() ? "" : "<h2>Findings</h2>\n";
  for (const auto& [verdict, card] : cards) {
    html += card;
  }
  return html + further;
}

std::string details(const DeviceReport& device, const NodeResult& node) {
  const bool differs = was_compared(node.in_situ);
  NodeResult in_plan = node;
  in_plan.verdict = Verdict::in_situ;
  NodeResult alone = node;
  alone.verdict = Verdict::kernel;
  std::string html = "<h3>" + node_title(node) + " " + (node.leaf ? "" : chip(node.verdict)) + "</h3>";
  if (node.leaf) {
    return html + "<p class=\"soft\">given, not computed</p>";
  }
  html += "<div class=\"cols\"><div>";
  const Comparison& c = node.isolated;
  html += was_compared(c)
              ? terms({{"alone", describe_figures(alone)}, {"skipped", c.skipped > 0 ? count(c.skipped) : ""}})
              : "<p class=\"soft\">" +
                    std::string(node.view ? "a view: no kernel, nothing to check on its own" : "not compared") + "</p>";
  html += "</div><div>" +
          terms({{"worst", describe_worst(telling(node))},
                 {"positions", position_pattern(telling(node))},
                 {"predicted", node.sigma > 0 ? "rms rounding error " + number(node.sigma) : ""},
                 {"in the plan", !differs ? "" : (node.in_situ.passes() ? "the same bits" : describe_figures(in_plan))},
                 {"repeats", node.repeats ? "the same bits every time" : repeat_text(device, node)},
                 {"note", node.note}}) +
          "</div><div>" + draw_ulps(telling(node)) + "</div></div>";
  return html;
}

std::string graph_section(const DeviceReport& device, const std::string& prefix, bool open) {
  if (device.nodes.empty()) {
    return "";
  }
  const GraphDrawing drawing = draw_graph(device, prefix);
  std::string html = "<details class=\"graph\"" + std::string(open ? " open=\"open\"" : "") +
                     "><summary><h2>Graph on " + escaped(device.device) + "</h2> " + chip(device.verdict) +
                     "</summary>\n<div class=\"key\"><span>largest error as a multiple of its bound</span>" +
                     draw_legend() + "</div>\n<div class=\"key\"><span><i class=\"swatch\"></i>forward</span>" +
                     R"(<span><i class="swatch b"></i>backward</span><span><i class="swatch u"></i>update</span>)" +
                     "<span><i class=\"swatch l\"></i>given</span><span><i>italic</i>: a view, no "
                     "kernel</span><span>numbers in formulas are not drawn</span>" +
                     "<span class=\"tools\"></span></div>\n<div class=\"frame\">";
  html += drawing.overview.empty() ? "" : "<div class=\"side\">" + drawing.overview + "</div>";
  html += "<div class=\"box\">" + drawing.graph + "</div></div>\n";
  const std::vector<const NodeResult*> found = findings(device);
  const std::vector<const NodeResult*> nearest_first = by_error(device);
  const NodeResult& shown =
      !found.empty() ? *found.front() : (nearest_first.empty() ? device.nodes.front() : *nearest_first.front());
  html += "<div class=\"panel\">" + details(device, shown) + "</div>\n";
  for (const NodeResult& node : device.nodes) {
    html += !is_drawn(node) ? ""
                            : "<template id=\"" + prefix + "-" + std::to_string(node.node) + "-d\">" +
                                  details(device, node) + "</template>\n";
  }
  return html + "</details>\n";
}

std::string results_section(const DeviceReport& device) {
  if (device.results.empty()) {
    return "";
  }
  std::string html = "<h2>Results on " + escaped(device.device) +
                     "</h2>\n<p class=\"soft\">What the step gives, against float64. Predicted: the error that the "
                     "rounding of all nodes makes, injected into the float64 run.</p>\n<div class=\"scroll rows\">" +
                     table_head({{"result"},
                                 {"type"},
                                 {"rms", true},
                                 {"rms error", true},
                                 {"predicted", true},
                                 {"ratio", true},
                                 {"largest error", true},
                                 {"worst element"},
                                 {"verdict"}});
  for (const ResultCheck& result : device.results) {
    const double ratio = error_ratio(result);
    html += "<tr" + row_class(result.verdict) + ">" + cell(result.name) + mono_cell(result.type) +
            number_cell(result.rms) + number_cell(result.rms_error) + number_cell(result.predicted_rms) +
            "<td class=\"num\">" + number(ratio) + draw_ratio(ratio) + "</td>" + number_cell(result.max_error) +
            cell(result.worst_index < 0 ? ""
                                        : std::to_string(result.worst_index) + ": " + number(result.worst_actual, 9) +
                                              ", due " + number(result.worst_expected, 9)) +
            "<td>" + chip(result.verdict) + (result.amplifier.empty() ? "" : " " + escaped(result.amplifier)) +
            "</td></tr>\n";
  }
  return html + table_end;
}

std::string node_table(const std::vector<const NodeResult*>& nodes, const std::string& prefix) {
  std::string html = "<div class=\"scroll rows\">" + table_head({{"node", true},
                                                                 {"op"},
                                                                 {"line"},
                                                                 {"type"},
                                                                 {"times its bound", true},
                                                                 {"rms ratio", true},
                                                                 {"checked", true},
                                                                 {"skipped", true},
                                                                 {"largest error", true},
                                                                 {"at index", true},
                                                                 {"verdict"}});
  for (const NodeResult* node : nodes) {
    const Comparison& c = node->isolated;
    const bool compared = was_compared(c);
    html += "<tr" + row_class(node->verdict) + ">" + node_link(prefix, *node) +
            mono_cell(node->op + (node->label.empty() ? "" : " " + node->label)) + mono_cell(node->where) +
            mono_cell(node->type) +
            (compared ? number_cell(c.max_ratio) + number_cell(c.rms_ratio) + count_cell(c.checked) +
                            count_cell(c.skipped) + number_cell(c.max_error) +
                            (c.worst_index < 0 || c.max_ratio == 0 ? "<td></td>" : count_cell(c.worst_index))
                      : R"(<td colspan="6" class="soft">)" +
                            escaped(!node->note.empty()
                                        ? node->note
                                        : (node->leaf ? "given" : (node->view ? "a view" : "not compared"))) +
                            "</td>") +
            (node->leaf ? "<td></td>" : chip_cell(node->verdict)) + "</tr>\n";
  }
  return html + table_end;
}

std::string nodes_section(const DeviceReport& device, const std::string& prefix) {
  if (device.nodes.empty()) {
    return "";
  }
  std::vector<const NodeResult*> worst = by_error(device);
  worst.resize(std::min(worst.size(), worst_cases));
  std::string html;
  if (!worst.empty()) {
    html = "<h2>Largest errors on " + escaped(device.device) + "</h2>\n" + node_table(worst, prefix);
  }
  std::vector<const NodeResult*> all;
  for (const NodeResult& node : device.nodes) {
    all.push_back(&node);
  }
  return html + "<details><summary><h2>All nodes on " + escaped(device.device) + "</h2> <span class=\"soft\">" +
         count(static_cast<std::int64_t>(all.size())) + "</span></summary>\n" + node_table(all, prefix) +
         "</details>\n";
}

std::string rules_section(const Report& report) {
  if (report.rules.empty()) {
    return "";
  }
  std::string html =
      "<h2>Gradient rules</h2>\n<p class=\"soft\">Each rule, along random directions, against the "
      "derivative of its forward formula in float64.</p>\n<div class=\"scroll rows\">" +
      table_head({{"op"},
                  {"line"},
                  {"rule gives", true},
                  {"formula gives", true},
                  {"difference", true},
                  {"bound", true},
                  {"method"},
                  {"verdict"}});
  for (const RuleResult& rule : report.rules) {
    html += "<tr" + row_class(rule.verdict) + ">" + mono_cell(rule.op) + mono_cell(rule.where);
    if (rule.verdict == Verdict::not_checked) {
      html += R"(<td colspan="5" class="soft wrap">)" + escaped(rule.note) + "</td>";
    } else {
      html += "<td class=\"num\">" + number(rule.reverse, 9) + "</td><td class=\"num\">" + number(rule.forward, 9) +
              "</td>" +
              number_cell(rule.reverse > rule.forward ? rule.reverse - rule.forward : rule.forward - rule.reverse) +
              number_cell(rule.bound) + cell(rule.method + (rule.note.empty() ? "" : "; " + rule.note));
    }
    html += chip_cell(rule.verdict) + "</tr>\n";
  }
  return html + table_end;
}

std::string glossary() {
  std::string html = "<details><summary><h2>What the verdicts mean</h2></summary>\n<dl>";
  for (int v = 0; v <= static_cast<int>(Verdict::agrees); ++v) {
    const auto verdict = static_cast<Verdict>(v);
    html += "<dt>" + chip(verdict) + "</dt><dd>" + std::string(meaning(verdict)) + " " + std::string(advice(verdict)) +
            "</dd>";
  }
  return html + "</dl>\n</details>\n";
}

}  // namespace

std::string to_html(const Report& report, const std::string& title) {
  std::string html =
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\" />\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\" />\n<title>" +
      escaped(title) + ": " + std::string(name(report.verdict())) + "</title>\n<style>" + std::string(report_style) +
      "</style>\n</head>\n<body>\n<main>\n<div class=\"top\"><span>" + escaped(title) +
      "</span><span>twingrad cross-check</span></div>\n";
  html += banner(report) + facts(report) + "<div class=\"cards\">\n";
  for (const DeviceReport& device : report.devices) {
    html += device_card(device);
  }
  html += "</div>\n" + all_findings(report);
  // The device with the most telling verdict comes first, and its graph is open.
  std::vector<std::size_t> order(report.devices.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return report.devices[a].verdict < report.devices[b].verdict; });
  for (const std::size_t d : order) {
    html += graph_section(report.devices[d], prefix_of(d), d == order.front());
  }
  for (const std::size_t d : order) {
    html += results_section(report.devices[d]) + nodes_section(report.devices[d], prefix_of(d));
  }
  html += rules_section(report) + glossary();
  return html + "</main>\n<script>" + std::string(report_script) + "</script>\n</body>\n</html>\n";
}

}  // namespace twingrad::check
