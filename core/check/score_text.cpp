// The checks in common use, and the score table as text.
#include <twingrad/check/score.h>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace twingrad::check {
namespace {

bool same_non_finite(double a, double b) {
  return (std::isnan(a) && std::isnan(b)) || a == b;
}

bool within(const std::vector<double>& actual, const std::vector<double>& expected, double absolute, double relative) {
  for (std::size_t i = 0; i < actual.size(); ++i) {
    if (std::isfinite(actual[i]) && std::isfinite(expected[i])
            ? !(std::abs(actual[i] - expected[i]) <= absolute + relative * std::abs(expected[i]))
            : !same_non_finite(actual[i], expected[i])) {
      return false;
    }
  }
  return true;
}

bool within_nmse(const std::vector<double>& actual, const std::vector<double>& expected, double limit) {
  double error = 0;
  double size = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    if (!std::isfinite(actual[i]) || !std::isfinite(expected[i])) {
      if (!same_non_finite(actual[i], expected[i])) {
        return false;
      }
      continue;
    }
    error += (actual[i] - expected[i]) * (actual[i] - expected[i]);
    size += expected[i] * expected[i];
  }
  return error == 0 || error <= limit * size;
}

std::string_view mark(bool step, bool cases) {
  return step ? (cases ? "both" : "step") : (cases ? "cases" : "no");
}

std::string nodes_named(const FaultScore& row) {
  if (row.planted_node < 0) {
    return "not planted: it would change no bit";
  }
  std::string text = row.right_node ? "yes: " : "NO: ";
  text += std::string(name(row.verdict)) + ", " + row.planted;
  if (row.right_node && row.named.size() > 1) {
    text += ", and " + std::to_string(row.named.size() - 1) + " that follow";
  }
  return text;
}

}  // namespace

std::string_view name(CommonCheck check) {
  switch (check) {
    case CommonCheck::nmse_1e7:
      return "NMSE 1e-7";
    case CommonCheck::nmse_5e4:
      return "NMSE 5e-4";
    case CommonCheck::allclose_1e3:
      return "allclose 1e-3";
    case CommonCheck::pytorch_default:
      return "PyTorch default";
    case CommonCheck::size_scaled:
      return "size-scaled";
    case CommonCheck::ones_cotangent:
      return "ones as cotangent";
  }
  return "?";
}

bool accepts(CommonCheck check, const std::vector<double>& actual, const std::vector<double>& expected) {
  if (actual.size() != expected.size()) {
    return false;
  }
  switch (check) {
    case CommonCheck::nmse_1e7:
      return within_nmse(actual, expected, 1e-7);
    case CommonCheck::nmse_5e4:
      return within_nmse(actual, expected, 5e-4);
    case CommonCheck::allclose_1e3:
      return within(actual, expected, 1e-3, 1e-3);
    case CommonCheck::pytorch_default:
    case CommonCheck::ones_cotangent:
      return within(actual, expected, 1e-5, 1.3e-6);
    case CommonCheck::size_scaled: {
      const double scaled = 1e-6 * static_cast<double>(actual.size());
      return within(actual, expected, scaled, scaled);
    }
  }
  return false;
}

std::string to_markdown(const FaultTable& table) {
  std::string text = "| fault | what is wrong | named in the step | cases |";
  for (std::size_t c = 0; c < common_check_count; ++c) {
    text += " " + std::string(name(static_cast<CommonCheck>(c))) + " |";
  }
  text += "\n|---|---|---|---|";
  for (std::size_t c = 0; c < common_check_count; ++c) {
    text += "---|";
  }
  text += "\n";
  std::array<int, common_check_count> seen{};
  int caught = 0;
  int planted = 0;
  int named = 0;
  for (const FaultScore& row : table.rows) {
    text += "| `" + row.fault + "` | " + row.description + " | " + nodes_named(row) + " | " +
            std::to_string(row.cases_caught) + " of " + std::to_string(row.cases_changed) + " |";
    for (std::size_t c = 0; c < common_check_count; ++c) {
      text += " " + std::string(mark(row.step_refused[c], row.case_refused[c])) + " |";
      seen[c] += row.step_refused[c] || row.case_refused[c] ? 1 : 0;
    }
    text += "\n";
    caught += row.caught() ? 1 : 0;
    planted += row.planted_node >= 0 ? 1 : 0;
    named += row.right_node ? 1 : 0;
  }
  const std::string all = std::to_string(table.rows.size());
  text += "| **seen** | of " + all + " faults | " + std::to_string(named) + " of " + std::to_string(planted) + " | " +
          std::to_string(caught) + " of " + all + " in step or cases |";
  for (const int count : seen) {
    text += " " + std::to_string(count) + " |";
  }
  text += "\n| **false alarms** | on the clean backend: of the step and " + std::to_string(table.cases) + " cases | " +
          std::to_string(table.clean_findings) + " | |";
  for (std::size_t c = 0; c < common_check_count; ++c) {
    text += " " + std::to_string(table.clean_cases_refused[c] + (table.clean_step_refused[c] ? 1 : 0)) + " |";
  }
  text += "\n\nOn " + table.device + ", seed " + std::to_string(table.seed) + ", a training step of " +
          std::to_string(table.step_nodes) + " nodes.\n";
  return text;
}

std::string to_json(const FaultTable& table) {
  using Json = nlohmann::ordered_json;
  const auto verdicts = [](const auto& per_check) {
    Json object = Json::object();
    for (std::size_t c = 0; c < common_check_count; ++c) {
      object[std::string(name(static_cast<CommonCheck>(c)))] = per_check[c];
    }
    return object;
  };
  Json rows = Json::array();
  for (const FaultScore& row : table.rows) {
    rows.push_back({{"fault", row.fault},
                    {"family", row.family},
                    {"description", row.description},
                    {"planted", row.planted},
                    {"planted_node", row.planted_node},
                    {"named", row.named},
                    {"verdict", name(row.verdict)},
                    {"right_node", row.right_node},
                    {"cases_changed", row.cases_changed},
                    {"cases_caught", row.cases_caught},
                    {"first_case", row.first_case},
                    {"step_refused", verdicts(row.step_refused)},
                    {"case_refused", verdicts(row.case_refused)}});
  }
  const Json json = {{"device", table.device},
                     {"seed", table.seed},
                     {"step_nodes", table.step_nodes},
                     {"cases", table.cases},
                     {"seconds", table.seconds},
                     {"complete", table.complete()},
                     {"clean",
                      {{"findings", table.clean_findings},
                       {"step_refused", verdicts(table.clean_step_refused)},
                       {"cases_refused", verdicts(table.clean_cases_refused)}}},
                     {"faults", rows}};
  return json.dump(2) + "\n";
}

}  // namespace twingrad::check
