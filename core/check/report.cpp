// The verdict of a report, and the report as text.
#include <twingrad/check/check.h>
#include <twingrad/check/report_words.h>

#include <algorithm>
#include <cstddef>
#include <ostream>

namespace twingrad::check {
namespace {

constexpr std::size_t described_findings = 12;  // further ones get a line each
constexpr std::size_t shown_results = 4;        // of a device on which all is well

std::string padded(std::string text, std::size_t width) {
  text.resize(std::max(width, text.size()), ' ');
  return text;
}

/// A table with columns as wide as they need.
class Table {
 public:
  void row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  std::string text(const std::string& indent) const {
    std::vector<std::size_t> widths;
    for (const auto& cells : rows_) {
      widths.resize(std::max(widths.size(), cells.size()), 0);
      for (std::size_t c = 0; c < cells.size(); ++c) {
        widths[c] = std::max(widths[c], cells[c].size());
      }
    }
    std::string result;
    for (const auto& cells : rows_) {
      std::string line = indent;
      for (std::size_t c = 0; c < cells.size(); ++c) {
        line += c + 1 == cells.size() ? cells[c] : padded(cells[c], widths[c] + 2);
      }
      line.erase(line.find_last_not_of(' ') + 1);
      result += line + "\n";
    }
    return result;
  }

 private:
  std::vector<std::vector<std::string>> rows_;
};

void say(std::string& text, const char* what, const std::string& how) {
  if (!how.empty()) {
    text += "      " + padded(what, 10) + how + "\n";
  }
}

std::string title(const NodeResult& node) {
  return "node " + std::to_string(node.node) + "  " + node.op + "  " + node.type +
         (node.where.empty() ? "" : "  at " + node.where) + (node.backward ? "  (backward)" : "");
}

std::string histogram(const Comparison& c) {
  std::string text;
  for (std::size_t bin = 0; bin < c.ulps.size(); ++bin) {
    if (c.ulps[bin] > 0) {
      text += (text.empty() ? "" : " | ") + ulp_label(bin) + ": " + count(c.ulps[bin]);
    }
  }
  return text;
}

void describe(std::string& text, const DeviceReport& device, const NodeResult& node, bool explain) {
  const Comparison& c = telling(node);
  text += "  " + padded(std::string(name(node.verdict)), 9) + " " + title(node) + "\n";
  say(text, node.verdict == Verdict::in_situ ? "in plan" : "alone", describe_figures(node));
  if (node.verdict == Verdict::race) {
    const int before = race_before(device, node);
    say(text, "repeats",
        before < 0 ? "its bits differ between runs, those of its inputs do not"
                   : "follows from node " + std::to_string(before) + ", which differs between runs");
  } else {
    say(text, "worst", describe_worst(c));
    say(text, "positions", position_pattern(c));
    say(text, "ulps", histogram(c));
  }
  say(text, "note", node.note);
  if (explain) {
    say(text, "means", std::string(meaning(node.verdict)));
    say(text, "do", std::string(advice(node.verdict)));
  }
}

void node_findings(std::string& text, const DeviceReport& device) {
  const std::vector<const NodeResult*> found = findings(device);
  const std::size_t described = std::min(found.size(), described_findings);
  for (std::size_t i = 0; i < described; ++i) {
    // The sentences stand once for a row of findings of one kind.
    describe(text, device, *found[i], i + 1 == described || found[i + 1]->verdict != found[i]->verdict);
  }
  for (std::size_t i = described; i < found.size(); ++i) {
    text += "  " + padded(std::string(name(found[i]->verdict)), 9) + " " + title(*found[i]) + "\n";
  }
}

void result_sentences(std::string& text, const DeviceReport& device) {
  const std::vector<const ResultCheck*> found = result_findings(device);
  for (std::size_t i = 0; i < found.size(); ++i) {
    const ResultCheck& result = *found[i];
    text += "  " + std::string(name(result.verdict)) + "  " + result.name + "  " + result.type + "\n";
    say(text, "error",
        "rms " + number(result.rms_error) + ", " + number(error_ratio(result)) +
            " times what rounding explains; rms of the value " + number(result.rms));
    if (result.worst_index >= 0) {
      say(text, "worst",
          "element " + std::to_string(result.worst_index) + ": got " + number(result.worst_actual, 9) + ", expected " +
              number(result.worst_expected, 9));
    }
    say(text, "amplifier", result.amplifier);
    if (i + 1 == found.size() || found[i + 1]->verdict != result.verdict) {
      say(text, "means", std::string(meaning(result.verdict)));
      say(text, "do", std::string(advice(result.verdict)));
    }
  }
}

void result_table(std::string& text, const DeviceReport& device) {
  if (device.results.empty()) {
    return;
  }
  const bool all = is_finding(device.verdict) && device.verdict != Verdict::warning;
  std::vector<const ResultCheck*> shown;
  if (all) {
    for (const ResultCheck& result : device.results) {
      shown.push_back(&result);
    }
  } else {
    shown = by_ratio(device);
    shown.resize(std::min(shown.size(), shown_results));
  }
  Table table;
  table.row({"result", "type", "rms", "rms error", "predicted", "ratio", "largest", ""});
  for (const ResultCheck* r : shown) {
    table.row({r->name, r->type, number(r->rms), number(r->rms_error), number(r->predicted_rms),
               number(error_ratio(*r)), number(r->max_error),
               r->verdict == Verdict::agrees ? "" : std::string(name(r->verdict))});
  }
  text += table.text("  ");
  if (shown.size() < device.results.size()) {
    text += "  and " + count(static_cast<std::int64_t>(device.results.size() - shown.size()), "result") +
            " with smaller ratios\n";
  }
}

void counts(std::string& text, const DeviceReport& device) {
  const auto nodes = static_cast<std::int64_t>(device.nodes.size());
  const auto leaves = std::count_if(device.nodes.begin(), device.nodes.end(), [](const auto& n) { return n.leaf; });
  const auto views = std::count_if(device.nodes.begin(), device.nodes.end(), [](const auto& n) { return n.view; });
  text += "  checked " + count(device.kernels_checked, "kernel") + " and " + count(device.elements_checked, "element") +
          " of " + count(nodes, "node") + " (" + count(leaves) + " given, " + count(views) +
          " views without a kernel)\n";
  if (device.elements_skipped > 0) {
    text += "  skipped " + count(device.elements_skipped, "element") +
            " whose intermediates leave the dtype's range, so that nothing is predicted\n";
  }
  for (const auto& [reason, numbers] : skipped(device)) {
    text += "  not checked: node" + std::string(numbers.size() == 1 ? " " : "s ") + list_of(numbers, 12) + ": " +
            reason + "\n";
  }
  const std::vector<const NodeResult*> sorted = by_error(device);
  if (!sorted.empty() && findings(device).empty()) {
    const NodeResult& worst = *sorted.front();
    text += "  nearest to its bound: node " + std::to_string(worst.node) + " " + worst.op +
            (worst.where.empty() ? "" : " at " + worst.where) + ", " + number(worst.isolated.max_ratio) + " times it\n";
  }
}

void rules(std::string& text, const Report& report) {
  if (report.rules.empty()) {
    return;
  }
  const std::vector<const RuleResult*> found = rule_findings(report);
  text += "gradient rules: " + count(static_cast<std::int64_t>(report.rules.size())) + " checked, " +
          count(static_cast<std::int64_t>(found.size())) + " wrong\n";
  for (const RuleResult* rule : found) {
    text += "  " + std::string(name(rule->verdict)) + "  " + rule->op +
            (rule->where.empty() ? "" : "  at " + rule->where) + "\n";
    say(text, "figures",
        "the rule gives " + number(rule->reverse, 9) + ", the formula " + number(rule->forward, 9) + " (" +
            rule->method + "), bound " + number(rule->bound));
    say(text, "note", rule->note);
    if (rule == found.back()) {
      say(text, "means", std::string(meaning(rule->verdict)));
      say(text, "do", std::string(advice(rule->verdict)));
    }
  }
  for (const RuleResult& rule : report.rules) {
    if (rule.verdict == Verdict::not_checked) {
      text += "  not checked: " + rule.op + (rule.note.empty() ? "" : ": " + rule.note) + "\n";
    }
  }
}

}  // namespace

std::string_view name(Verdict verdict) {
  switch (verdict) {
    case Verdict::kernel:
      return "kernel";
    case Verdict::gradient_rule:
      return "gradient rule";
    case Verdict::in_situ:
      return "in situ";
    case Verdict::race:
      return "race";
    case Verdict::end_to_end:
      return "end to end";
    case Verdict::ill_conditioned:
      return "ill-conditioned";
    case Verdict::not_checked:
      return "not checked";
    case Verdict::warning:
      return "warning";
    case Verdict::agrees:
      return "agrees";
  }
  return "?";
}

Verdict Report::verdict() const {
  if (devices.empty() && rules.empty()) {
    return Verdict::not_checked;
  }
  Verdict verdict = Verdict::agrees;
  for (const DeviceReport& device : devices) {
    verdict = std::min(verdict, device.verdict);
  }
  for (const RuleResult& rule : rules) {
    verdict = std::min(verdict, rule.verdict);
  }
  return verdict;
}

bool Report::agrees() const {
  const Verdict found = verdict();
  return found == Verdict::agrees || found == Verdict::warning || found == Verdict::ill_conditioned;
}

std::string to_text(const Report& report) {
  const Verdict verdict = report.verdict();
  std::string text = std::string(name(verdict)) + ": " + headline(report) + "\n";
  text += "seed " + std::to_string(report.seed) + ", lambda " + number(report.lambda) + ", false-alarm budget " +
          number(report.false_alarm) + ", " + number(report.seconds) + " s\n";
  rules(text, report);
  for (const DeviceReport& device : report.devices) {
    text += "\n" + device.device + (device.description.empty() ? "" : " (" + device.description + ")") + ": " +
            std::string(name(device.verdict)) + "\n";
    node_findings(text, device);
    result_sentences(text, device);
    counts(text, device);
    result_table(text, device);
  }
  return text;
}

std::ostream& operator<<(std::ostream& out, const Report& report) {
  return out << to_text(report);
}

}  // namespace twingrad::check
