// What the check of all ops found, as text and JSON, and the list of what it covers.
#include <twingrad/check/op_cases.h>
#include <twingrad/check/ops.h>
#include <twingrad/check/report_words.h>
#include <twingrad/ops/rows.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <sstream>

namespace twingrad::check {
namespace {

using Json = nlohmann::ordered_json;

std::string short_number(double x) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", x);
  return text;
}

/// JSON has no infinities.
Json json_number(double x) {
  return std::isfinite(x) ? Json(x) : Json(std::isnan(x) ? "nan" : (x > 0 ? "inf" : "-inf"));
}

std::string finding_of(const OpFailure& failure) {
  if (!failure.message.empty()) {
    return failure.message;
  }
  if (!failure.rule.op.empty()) {
    return failure.rule.method + ": reverse " + short_number(failure.rule.reverse) + ", forward " +
           short_number(failure.rule.forward) + ", difference " +
           short_number(std::abs(failure.rule.reverse - failure.rule.forward)) + ", bound " +
           short_number(failure.rule.bound);
  }
  const bool alone = failure.verdict == Verdict::kernel;
  return "node " + std::to_string(failure.node.node) + " " + failure.node.op + " " + failure.node.type + ": " +
         to_string(alone ? failure.node.isolated : failure.node.in_situ) +
         (failure.node.note.empty() ? "" : "; " + failure.node.note);
}

/// Why an op has no evidence at this stage in this dtype; empty when it should have.
std::string reason(const Op& op, Dtype dtype, Stage stage) {
  if (&op == &to_device_op) {
    return "copies between devices";
  }
  if (stage == Stage::forward) {
    return "";
  }
  if (op.constant) {
    return "piecewise constant or random: no gradient";
  }
  if (op.gradient == nullptr) {
    return "an update: no gradient";
  }
  return is_floating(dtype) ? "" : "not floating-point: no gradient";
}

std::string evidence_text(const Evidence& evidence, Stage stage) {
  const Evidence::Count& count = evidence.by_stage[static_cast<std::size_t>(stage)];
  std::string text = check::count(count.cases) + " cases, " + check::count(count.elements) + " elements";
  const std::int64_t rules =
      stage == Stage::backward ? evidence.rules : (stage == Stage::second ? evidence.second_rules : 0);
  return rules == 0 ? text : text + ", " + check::count(rules) + " by dual numbers";
}

std::vector<const Op*> rows_with(const std::vector<const Op*>& custom) {
  std::vector<const Op*> rows = all_ops();
  rows.insert(rows.end(), custom.begin(), custom.end());
  return rows;
}

}  // namespace

std::vector<Coverage> coverage(const OpsReport& report, const std::vector<const Op*>& custom) {
  std::vector<Coverage> result;
  for (const Op* op : rows_with(custom)) {
    for (const Dtype dtype : dtypes_of(*op)) {
      Coverage row{std::string(op->name), dtype};
      const auto found = report.evidence.find({row.op, dtype});
      for (int s = 0; s < stages; ++s) {
        const auto at = static_cast<std::size_t>(s);
        const auto stage = static_cast<Stage>(s);
        const bool any = found != report.evidence.end() && found->second.by_stage[at].cases > 0;
        row.cells[at] = any ? evidence_text(found->second, stage) : reason(*op, dtype, stage);
        row.empty[at] = row.cells[at].empty();
      }
      result.push_back(std::move(row));
    }
  }
  return result;
}

std::vector<Coverage> coverage_without(const std::string& device) {
  std::vector<Coverage> result;
  for (const Op* op : all_ops()) {
    for (const Dtype dtype : dtypes_of(*op)) {
      Coverage row{std::string(op->name), dtype};
      for (int s = 0; s < stages; ++s) {
        const std::string why = reason(*op, dtype, static_cast<Stage>(s));
        row.cells[static_cast<std::size_t>(s)] = why.empty() ? "waits for " + device : why;
      }
      result.push_back(std::move(row));
    }
  }
  return result;
}

std::string to_text(const std::vector<Coverage>& coverage) {
  std::ostringstream out;
  std::array<std::size_t, stages> widths{};
  std::size_t first = 0;
  std::int64_t empty = 0;
  for (const Coverage& row : coverage) {
    first = std::max(first, row.op.size());
    for (std::size_t s = 0; s < stages; ++s) {
      widths[s] = std::max(widths[s], row.cells[s].size());
      empty += row.empty[s] ? 1 : 0;
    }
  }
  const auto padded = [](std::string text, std::size_t width) {
    text.resize(std::max(width, text.size()), ' ');
    return text;
  };
  out << padded("op", first) << "  dtype     " << padded("forward", widths[0]) << "  " << padded("backward", widths[1])
      << "  second derivative\n";
  for (const Coverage& row : coverage) {
    out << padded(row.op, first) << "  " << padded(std::string(name(row.dtype)), 8);
    for (std::size_t s = 0; s < stages; ++s) {
      const std::string cell = row.empty[s] ? "NONE" : row.cells[s];
      out << "  " << (s + 1 == stages ? cell : padded(cell, widths[s]));
    }
    out << '\n';
  }
  out << coverage.size() << " rows, " << empty << " empty cells\n";
  return out.str();
}

std::string to_json(const std::vector<Coverage>& coverage) {
  Json rows = Json::array();
  for (const Coverage& row : coverage) {
    Json entry{{"op", row.op}, {"dtype", std::string(name(row.dtype))}};
    for (int s = 0; s < stages; ++s) {
      const auto at = static_cast<std::size_t>(s);
      entry[std::string(name(static_cast<Stage>(s)))] = row.empty[at] ? Json(nullptr) : Json(row.cells[at]);
    }
    rows.push_back(std::move(entry));
  }
  return rows.dump(2);
}

std::string to_text(const OpsReport& report) {
  constexpr std::size_t most = 20;
  std::ostringstream out;
  out << (report.agrees() ? "agrees" : (report.failures.empty() ? "nothing was checked" : "DISAGREES")) << ": "
      << report.device << " (" << report.description << ") against float64\n"
      << "  seed " << report.seed << ", false-alarm budget " << short_number(report.false_alarm) << "\n  "
      << check::count(report.cases) << " cases (" << check::count(report.empty_cases) << " of them empty), "
      << check::count(report.kernels) << " kernels, " << check::count(report.elements) << " elements compared, "
      << check::count(report.elements_skipped) << " skipped\n  " << check::count(report.rules) << " gradient rules and "
      << check::count(report.second_rules) << " second derivatives by dual numbers, "
      << check::count(report.in_situ_cases) << " cases in their real plans\n  " << check::count(report.drifts)
      << " warnings: roundings that drift, inside the worst case\n  largest error " << short_number(report.worst_ratio)
      << " of its bound";
  if (!report.worst_use.empty()) {
    out << ": " << report.worst_use;
  }
  out << '\n';
  for (const ProductBits& products : report.products) {
    out << "  products: " << to_string(products) << '\n';
  }
  out << "  " << short_number(report.seconds) << " s\n";
  for (const auto& [why, count] : report.skips) {
    out << "  skipped " << check::count(count) << ": " << why << '\n';
  }
  for (std::size_t i = 0; i < std::min(most, report.failures.size()); ++i) {
    const OpFailure& failure = report.failures[i];
    out << name(failure.verdict) << ", " << name(failure.stage) << ": " << failure.use << "\n    case "
        << failure.number << " of " << failure.op << ", seed " << report.seed << "\n    " << finding_of(failure)
        << '\n';
  }
  if (report.failures.size() > most) {
    out << "and " << report.failures.size() - most << " more\n";
  }
  return out.str();
}

std::string to_json(const OpsReport& report) {
  Json failures = Json::array();
  for (const OpFailure& failure : report.failures) {
    const Comparison& found = failure.verdict == Verdict::kernel ? failure.node.isolated : failure.node.in_situ;
    Json entry{{"op", failure.op},
               {"case", failure.number},
               {"use", failure.use},
               {"dtype", failure.dtype},
               {"stage", std::string(name(failure.stage))},
               {"verdict", std::string(name(failure.verdict))},
               {"finding", finding_of(failure)}};
    if (failure.node.node >= 0) {
      entry["node"] = {{"number", failure.node.node},
                       {"op", failure.node.op},
                       {"type", failure.node.type},
                       {"checked", found.checked},
                       {"outside", found.outside},
                       {"max_error", json_number(found.max_error)},
                       {"max_ratio", json_number(found.max_ratio)},
                       {"rms_ratio", json_number(found.rms_ratio)},
                       {"worst_index", found.worst_index},
                       {"worst_actual", json_number(found.worst_actual)},
                       {"worst_expected", json_number(found.worst_expected)}};
    }
    failures.push_back(std::move(entry));
  }
  Json products = Json::array();
  for (const ProductBits& found : report.products) {
    Json entry{{"precision", std::string(name(found.precision))}, {"agrees", found.agrees()}};
    if (found.missing.empty()) {
      entry["declared_bits"] = found.declared;
      entry["read_of_a"] = found.read_of_a;
      entry["read_of_b"] = found.read_of_b;
      entry["sum_bits"] = found.sum_bits;
      entry["lost_addends"] = found.lost_addends;
      entry["wrong_products"] = found.wrong_products;
    } else {
      entry["missing"] = found.missing;
    }
    products.push_back(std::move(entry));
  }
  Json skips = Json::object();
  for (const auto& [why, count] : report.skips) {
    skips[why] = count;
  }
  const Json json{{"agrees", report.agrees()},
                  {"device", report.device},
                  {"description", report.description},
                  {"seed", report.seed},
                  {"false_alarm", report.false_alarm},
                  {"cases", report.cases},
                  {"empty_cases", report.empty_cases},
                  {"kernels", report.kernels},
                  {"elements", report.elements},
                  {"elements_skipped", report.elements_skipped},
                  {"in_situ_cases", report.in_situ_cases},
                  {"gradient_rules", report.rules},
                  {"second_derivatives", report.second_rules},
                  {"drifts", report.drifts},
                  {"worst_ratio", json_number(report.worst_ratio)},
                  {"worst_use", report.worst_use},
                  {"seconds", report.seconds},
                  {"products", std::move(products)},
                  {"skips", std::move(skips)},
                  {"failures", std::move(failures)}};
  return json.dump(2);
}

}  // namespace twingrad::check
