#include <twingrad/check/report_words.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>
#include <span>

namespace twingrad::check {
namespace {

std::string at_line(const std::string& where) {
  return where.empty() ? "" : " at " + where;
}

std::string devices_of(const Report& report) {
  std::string text;
  for (const DeviceReport& device : report.devices) {
    text += (text.empty() ? "" : ", ") + device.device;
  }
  return text;
}

std::string what_is_wrong(const NodeResult& node, const std::string& device) {
  const std::string use = node.op + at_line(node.where);
  const std::string place = " on " + device + " (node " + std::to_string(node.node) + ")";
  switch (node.verdict) {
    case Verdict::kernel:
      return use + " computes wrong results" + place;
    case Verdict::in_situ:
      return use + " is right alone, wrong in the plan" + place;
    case Verdict::race:
      return use + " does not give the same bits every time" + place;
    case Verdict::warning:
      return use + " rounds in one direction" + place;
    default:
      return use + ": " + std::string(name(node.verdict)) + place;
  }
}

std::string what_is_wrong(const ResultCheck& result, const std::string& device) {
  if (result.verdict == Verdict::ill_conditioned) {
    return "The " + result.name + " is rounding noise on " + device +
           (result.amplifier.empty() ? "" : ": " + result.amplifier + " amplifies it");
  }
  return "The " + result.name + " is further off than rounding explains on " + device;
}

/// Findings of the report's verdict, in words.
std::vector<std::string> of_verdict(const Report& report, Verdict verdict) {
  std::vector<std::string> texts;
  for (const RuleResult& rule : report.rules) {
    if (rule.verdict == verdict && verdict == Verdict::gradient_rule) {
      texts.push_back("The gradient rule of " + rule.op + at_line(rule.where) + " does not fit its forward formula");
    }
  }
  for (const DeviceReport& device : report.devices) {
    for (const NodeResult* node : findings(device)) {
      if (node->verdict == verdict && race_before(device, *node) < 0) {
        texts.push_back(what_is_wrong(*node, device.device));
      }
    }
    for (const ResultCheck* result : result_findings(device)) {
      if (result->verdict == verdict) {
        texts.push_back(what_is_wrong(*result, device.device));
      }
    }
  }
  return texts;
}

/// Which remainders are wrong, where they are far fewer than as many random positions would hit.
std::string remainders(std::span<const std::int64_t> outside, std::int64_t total, bool& telling_pattern) {
  std::vector<int> hit;
  for (std::size_t r = 0; r < outside.size(); ++r) {
    if (outside[r] > 0) {
      hit.push_back(static_cast<int>(r));
    }
  }
  const auto modulus = static_cast<double>(outside.size());
  const double expected = modulus * (1 - std::pow(1 - 1 / modulus, static_cast<double>(total)));
  telling_pattern = total >= 3 && !hit.empty() && static_cast<double>(hit.size()) <= expected / 2;
  return list_of(hit, 8) + " modulo " + std::to_string(outside.size());
}

}  // namespace

std::string headline(const Report& report) {
  const Verdict verdict = report.verdict();
  if (verdict == Verdict::agrees) {
    return devices_of(report) + (report.devices.size() == 1 ? " agrees" : " agree") + " with float64";
  }
  if (verdict == Verdict::not_checked) {
    return "Nothing could be compared";
  }
  const std::vector<std::string> texts = of_verdict(report, verdict);
  if (texts.empty()) {
    return std::string(name(verdict)) + " on " + devices_of(report);
  }
  return texts.front() + (texts.size() == 1 ? "" : ", and " + std::to_string(texts.size() - 1) + " more like it");
}

std::string_view meaning(Verdict verdict) {
  switch (verdict) {
    case Verdict::kernel:
      return "Given exactly the inputs it should get, the kernel gives a result that is further from float64 than its "
             "own rounding can explain.";
    case Verdict::gradient_rule:
      return "The gradient rule does not give the derivative of the op's forward formula; every device follows the "
             "same rule, so devices agree with each other and are wrong alike.";
    case Verdict::in_situ:
      return "The kernel is right alone, but within the plan its inputs or its output were changed: memory shared too "
             "early, freed too early, or read before it was written.";
    case Verdict::race:
      return "The same plan on the same inputs did not give the same bits every time.";
    case Verdict::end_to_end:
      return "Every node is right on its own, but the result is further from float64 than the rounding of all nodes "
             "together explains.";
    case Verdict::ill_conditioned:
      return "The result is mostly rounding noise: the graph amplifies the rounding of its nodes until it is as large "
             "as the value, so no device can compute it better in this dtype.";
    case Verdict::not_checked:
      return "No element could be compared, so nothing is known about it.";
    case Verdict::warning:
      return "Errors drift in one direction: beyond what independent rounding gives, inside the worst case.";
    case Verdict::agrees:
      return "Every kernel stays inside the rounding error predicted for it, gives the same bits in the plan as alone, "
             "run after run, and the results are off by no more than rounding explains.";
  }
  return "";
}

std::string_view advice(Verdict verdict) {
  switch (verdict) {
    case Verdict::kernel:
      return "Run this op alone at this type and start at the worst element; the pattern of positions tells a tail or "
             "a lane from a wrong formula.";
    case Verdict::gradient_rule:
      return "Mend the op's gradient rule; its kernels are not to blame.";
    case Verdict::in_situ:
      return "Look at what else uses this node's memory at that time (aliasing, lifetime), and at missing waits "
             "before it.";
    case Verdict::race:
      return "Look for a missing wait, a floating-point atomic, or memory read before it is written, at the first node "
             "named; what follows from it differs too.";
    case Verdict::end_to_end:
      return "Look for small errors of one sign on the way to this result: begin with the nodes of the largest rms "
             "ratio.";
    case Verdict::ill_conditioned:
      return "Rescale or reformulate the graph around the node that amplifies, or use a wider dtype there; this is "
             "not a bug of a device.";
    case Verdict::not_checked:
      return "See the reasons listed; give values whose intermediates stay in the dtype's range, and shapes with "
             "elements.";
    case Verdict::warning:
      return "Expected of long sums of one sign, whose rounding does not average out; a wider accumulator ends it.";
    case Verdict::agrees:
      return "";
  }
  return "";
}

bool is_finding(Verdict verdict) {
  return verdict != Verdict::agrees && verdict != Verdict::not_checked;
}

std::vector<const NodeResult*> findings(const DeviceReport& device) {
  std::vector<const NodeResult*> found;
  for (const NodeResult& node : device.nodes) {
    if (is_finding(node.verdict)) {
      found.push_back(&node);
    }
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const NodeResult* a, const NodeResult* b) { return a->verdict < b->verdict; });
  return found;
}

std::vector<const ResultCheck*> result_findings(const DeviceReport& device) {
  std::vector<const ResultCheck*> found;
  for (const ResultCheck& result : device.results) {
    if (is_finding(result.verdict)) {
      found.push_back(&result);
    }
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const ResultCheck* a, const ResultCheck* b) { return a->verdict < b->verdict; });
  return found;
}

std::vector<const RuleResult*> rule_findings(const Report& report) {
  std::vector<const RuleResult*> found;
  for (const RuleResult& rule : report.rules) {
    if (is_finding(rule.verdict)) {
      found.push_back(&rule);
    }
  }
  return found;
}

const Comparison& telling(const NodeResult& node) {
  return node.verdict == Verdict::in_situ ? node.in_situ : node.isolated;
}

bool was_compared(const Comparison& comparison) {
  return comparison.checked > 0 || comparison.finding != Finding::nothing_checked;
}

std::string describe_figures(const NodeResult& node) {
  const Comparison& c = telling(node);
  if (!was_compared(c)) {
    return "";
  }
  const std::string share = count(c.outside) + " of " + count(c.checked) + " elements ";
  if (c.finding == Finding::size) {
    return "another number of elements than its type says";
  }
  if (node.verdict == Verdict::in_situ) {
    return c.outside == 0 ? "its own output has the right bits"
                          : share +
                                "have other bits than the kernel gives alone on the same inputs; largest "
                                "difference " +
                                number(c.max_error);
  }
  std::string text;
  if (c.finding == Finding::not_finite) {
    text = share + "are outside their bounds, among them NaN or infinity against numbers; largest finite error " +
           number(c.max_error);
  } else {
    text = c.outside > 0 ? share + "are outside their bounds" : "all " + count(c.checked) + " elements are inside";
    text += "; largest error " + number(c.max_error) + ", " + number(c.max_ratio) + " times its bound";
  }
  return text + "; rms error " + number(c.rms_ratio) + " times the predicted";
}

std::string describe_worst(const Comparison& c) {
  if (c.worst_index < 0 || c.max_ratio == 0) {
    return "";
  }
  return "element " + std::to_string(c.worst_index) + ": got " + number(c.worst_actual, 9) + ", expected " +
         number(c.worst_expected, 9) +
         (c.worst_bound > 0 ? ", bound " + number(c.worst_bound) : std::string(", to the bit"));
}

std::string position_pattern(const Comparison& c) {
  bool telling_32 = false;
  bool telling_128 = false;
  const std::string of_32 = remainders(c.outside_mod_32, c.outside, telling_32);
  const std::string of_128 = remainders(c.outside_mod_128, c.outside, telling_128);
  const auto hits = [](std::span<const std::int64_t> outside) {
    return std::count_if(outside.begin(), outside.end(), [](std::int64_t n) { return n > 0; });
  };
  // Modulo 128 says more only where it is not each remainder modulo 32 four times.
  if (telling_128 && (!telling_32 || hits(c.outside_mod_128) < 4 * hits(c.outside_mod_32))) {
    return "only indices with remainder " + of_128 + " are wrong";
  }
  return telling_32 ? "only indices with remainder " + of_32 + " are wrong" : "";
}

int race_before(const DeviceReport& device, const NodeResult& node) {
  if (node.verdict != Verdict::race) {
    return -1;
  }
  // Through views: they have no kernel of their own that could be seen to differ.
  std::vector<int> open = node.inputs;
  while (!open.empty()) {
    const int i = open.back();
    open.pop_back();
    if (i < 0 || static_cast<std::size_t>(i) >= device.nodes.size() || i >= node.node) {
      continue;
    }
    const NodeResult& input = device.nodes[static_cast<std::size_t>(i)];
    if (!input.repeats) {
      return input.node;
    }
    if (input.view) {
      open.insert(open.end(), input.inputs.begin(), input.inputs.end());
    }
  }
  return -1;
}

double error_ratio(const ResultCheck& result) {
  if (result.rms_error == 0) {
    return 0;
  }
  return result.predicted_rms == 0 ? std::numeric_limits<double>::infinity() : result.rms_error / result.predicted_rms;
}

std::vector<const ResultCheck*> by_ratio(const DeviceReport& device) {
  std::vector<const ResultCheck*> sorted;
  for (const ResultCheck& result : device.results) {
    sorted.push_back(&result);
  }
  const auto key = [](const ResultCheck* r) {
    const double ratio = error_ratio(*r);
    return std::isnan(ratio) ? std::numeric_limits<double>::infinity() : ratio;
  };
  std::stable_sort(sorted.begin(), sorted.end(),
                   [&](const ResultCheck* a, const ResultCheck* b) { return key(a) > key(b); });
  return sorted;
}

std::vector<const NodeResult*> by_error(const DeviceReport& device) {
  std::vector<const NodeResult*> sorted;
  for (const NodeResult& node : device.nodes) {
    if (was_compared(node.isolated)) {
      sorted.push_back(&node);
    }
  }
  const auto key = [](const NodeResult* n) {
    return std::isnan(n->isolated.max_ratio) ? std::numeric_limits<double>::infinity() : n->isolated.max_ratio;
  };
  std::stable_sort(sorted.begin(), sorted.end(),
                   [&](const NodeResult* a, const NodeResult* b) { return key(a) > key(b); });
  return sorted;
}

std::vector<std::pair<std::string, std::vector<int>>> skipped(const DeviceReport& device) {
  std::vector<std::pair<std::string, std::vector<int>>> reasons;
  for (const NodeResult& node : device.nodes) {
    if (is_finding(node.verdict) || (node.note.empty() && node.verdict != Verdict::not_checked)) {
      continue;
    }
    const std::string reason = node.note.empty() ? "no reason given" : node.note;
    auto found = std::find_if(reasons.begin(), reasons.end(), [&](const auto& r) { return r.first == reason; });
    if (found == reasons.end()) {
      found = reasons.insert(reasons.end(), {reason, {}});
    }
    found->second.push_back(node.node);
  }
  return reasons;
}

std::string list_of(const std::vector<int>& numbers, std::size_t most) {
  std::string text;
  std::size_t parts = 0;
  for (std::size_t i = 0; i < numbers.size();) {
    std::size_t end = i;
    while (end + 1 < numbers.size() && numbers[end + 1] == numbers[end] + 1) {
      ++end;
    }
    if (parts++ == most) {
      return text + " and " + std::to_string(numbers.size() - i) + " more";
    }
    text += (text.empty() ? "" : ", ") + std::to_string(numbers[i]);
    if (end > i) {
      text += (end == i + 1 ? ", " : "-") + std::to_string(numbers[end]);
    }
    i = end + 1;
  }
  return text;
}

std::vector<char> update_nodes(const DeviceReport& device) {
  constexpr std::string_view suffix = "_update";
  std::vector<char> update(device.nodes.size(), 0);
  for (std::size_t i = 0; i < device.nodes.size(); ++i) {
    const NodeResult& node = device.nodes[i];
    bool found = node.op.size() > suffix.size() && node.op.ends_with(suffix);
    for (const int input : node.inputs) {
      found = found || (input >= 0 && static_cast<std::size_t>(input) < i && update[static_cast<std::size_t>(input)]);
    }
    update[i] = static_cast<char>(found && node.backward && !node.leaf);
  }
  return update;
}

std::string ulp_label(std::size_t bin) {
  constexpr std::size_t last = std::tuple_size_v<decltype(Comparison::ulps)> - 1;
  if (bin == 0) {
    return "0";
  }
  return bin == last ? "over " + std::to_string(1 << (last - 2)) : "up to " + std::to_string(1 << (bin - 1));
}

std::string number(double value, int digits) {
  if (std::isnan(value)) {
    return "NaN";
  }
  if (std::isinf(value)) {
    return value < 0 ? "-infinity" : "infinity";
  }
  char text[48];
  std::snprintf(text, sizeof text, "%.*g", digits, value);
  return text;
}

std::string count(std::int64_t n) {
  std::string text = std::to_string(n);
  const std::size_t first = text[0] == '-' ? 1 : 0;
  for (std::size_t i = text.size(); i > first + 3;) {
    i -= 3;
    text.insert(i, 1, ',');
  }
  return text;
}

std::string count(std::int64_t n, std::string_view noun) {
  return count(n) + " " + std::string(noun) + (n == 1 ? "" : "s");
}

}  // namespace twingrad::check
