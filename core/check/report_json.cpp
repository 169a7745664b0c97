// A report as JSON. JSON has no NaN and no infinity, so they are the strings "nan", "inf" and "-inf". Counts by
// position and by units in the last place are left out where all are 0, leaves and comparisons that were not made
// likewise.
#include <twingrad/check/report_json.h>
#include <twingrad/error.h>

#include <cmath>
#include <initializer_list>
#include <limits>
#include <nlohmann/json.hpp>

namespace twingrad::check {
namespace {

using Json = nlohmann::ordered_json;

constexpr int version = 1;
constexpr const char* version_key = "twingrad_report";

Json figure(double value) {
  if (std::isnan(value)) {
    return "nan";
  }
  if (std::isinf(value)) {
    return value < 0 ? "-inf" : "inf";
  }
  return value;
}

double figure(const Json& json) {
  if (!json.is_string()) {
    return json.get<double>();
  }
  const auto text = json.get<std::string>();
  if (text == "nan") {
    return std::numeric_limits<double>::quiet_NaN();
  }
  if (text != "inf" && text != "-inf") {
    throw IoError("report: '" + text + "' stands where a number was expected");
  }
  return text == "inf" ? std::numeric_limits<double>::infinity() : -std::numeric_limits<double>::infinity();
}

template <class Enum>
Enum by_name(const Json& json, Enum last) {
  const auto text = json.get<std::string>();
  for (int i = 0; i <= static_cast<int>(last); ++i) {
    if (name(static_cast<Enum>(i)) == text) {
      return static_cast<Enum>(i);
    }
  }
  throw IoError("report: '" + text + "' is no verdict or finding of this version");
}
Verdict verdict_of(const Json& json) {
  return by_name(json, Verdict::agrees);
}

template <class Counts>
void put_counts(Json& json, const char* key, const Counts& counts) {
  for (const std::int64_t n : counts) {
    if (n != 0) {
      json[key] = counts;
      return;
    }
  }
}
template <class Counts>
void get_counts(const Json& json, const char* key, Counts& counts) {
  if (const auto found = json.find(key); found != json.end()) {
    if (found->size() != counts.size()) {
      throw IoError(std::string("report: '") + key + "' has " + std::to_string(found->size()) + " numbers, not " +
                    std::to_string(counts.size()));
    }
    counts = found->template get<Counts>();
  }
}

Json write(const Comparison& c) {
  Json json{{"finding", name(c.finding)},
            {"checked", c.checked},
            {"skipped", c.skipped},
            {"outside", c.outside},
            {"max_error", figure(c.max_error)},
            {"max_ratio", figure(c.max_ratio)},
            {"rms_ratio", figure(c.rms_ratio)},
            {"worst_index", c.worst_index},
            {"worst_actual", figure(c.worst_actual)},
            {"worst_expected", figure(c.worst_expected)},
            {"worst_bound", figure(c.worst_bound)}};
  put_counts(json, "ulps", c.ulps);
  put_counts(json, "outside_mod_32", c.outside_mod_32);
  put_counts(json, "outside_mod_128", c.outside_mod_128);
  return json;
}

Comparison read_comparison(const Json& json) {
  Comparison c;
  c.finding = by_name(json.at("finding"), Finding::drift);
  c.checked = json.at("checked").get<std::int64_t>();
  c.skipped = json.at("skipped").get<std::int64_t>();
  c.outside = json.at("outside").get<std::int64_t>();
  c.max_error = figure(json.at("max_error"));
  c.max_ratio = figure(json.at("max_ratio"));
  c.rms_ratio = figure(json.at("rms_ratio"));
  c.worst_index = json.at("worst_index").get<std::int64_t>();
  c.worst_actual = figure(json.at("worst_actual"));
  c.worst_expected = figure(json.at("worst_expected"));
  c.worst_bound = figure(json.at("worst_bound"));
  get_counts(json, "ulps", c.ulps);
  get_counts(json, "outside_mod_32", c.outside_mod_32);
  get_counts(json, "outside_mod_128", c.outside_mod_128);
  return c;
}

bool made(const Comparison& c) {
  return c.finding != Finding::nothing_checked || c.checked != 0 || c.skipped != 0;
}

Json write(const NodeResult& n) {
  Json json{{"node", n.node},       {"op", n.op},
            {"where", n.where},     {"label", n.label},
            {"type", n.type},       {"inputs", n.inputs},
            {"leaf", n.leaf},       {"backward", n.backward},
            {"view", n.view},       {"verdict", name(n.verdict)},
            {"repeats", n.repeats}, {"sigma", figure(n.sigma)},
            {"note", n.note}};
  if (made(n.isolated)) {
    json["isolated"] = write(n.isolated);
  }
  if (made(n.in_situ)) {
    json["in_situ"] = write(n.in_situ);
  }
  return json;
}

NodeResult read_node(const Json& json) {
  NodeResult n;
  n.node = json.at("node").get<int>();
  n.op = json.at("op").get<std::string>();
  n.where = json.at("where").get<std::string>();
  n.label = json.at("label").get<std::string>();
  n.type = json.at("type").get<std::string>();
  n.inputs = json.at("inputs").get<std::vector<int>>();
  n.leaf = json.at("leaf").get<bool>();
  n.backward = json.at("backward").get<bool>();
  n.view = json.at("view").get<bool>();
  n.verdict = verdict_of(json.at("verdict"));
  n.repeats = json.at("repeats").get<bool>();
  n.sigma = figure(json.at("sigma"));
  n.note = json.at("note").get<std::string>();
  if (json.contains("isolated")) {
    n.isolated = read_comparison(json.at("isolated"));
  }
  if (json.contains("in_situ")) {
    n.in_situ = read_comparison(json.at("in_situ"));
  }
  return n;
}

Json write(const ResultCheck& r) {
  return {{"name", r.name},
          {"type", r.type},
          {"rms", figure(r.rms)},
          {"rms_error", figure(r.rms_error)},
          {"predicted_rms", figure(r.predicted_rms)},
          {"max_error", figure(r.max_error)},
          {"worst_index", r.worst_index},
          {"worst_actual", figure(r.worst_actual)},
          {"worst_expected", figure(r.worst_expected)},
          {"amplifier", r.amplifier},
          {"verdict", name(r.verdict)}};
}

ResultCheck read_result(const Json& json) {
  ResultCheck r;
  r.name = json.at("name").get<std::string>();
  r.type = json.at("type").get<std::string>();
  r.rms = figure(json.at("rms"));
  r.rms_error = figure(json.at("rms_error"));
  r.predicted_rms = figure(json.at("predicted_rms"));
  r.max_error = figure(json.at("max_error"));
  r.worst_index = json.at("worst_index").get<std::int64_t>();
  r.worst_actual = figure(json.at("worst_actual"));
  r.worst_expected = figure(json.at("worst_expected"));
  r.amplifier = json.at("amplifier").get<std::string>();
  r.verdict = verdict_of(json.at("verdict"));
  return r;
}

Json write(const RuleResult& r) {
  return {{"op", r.op},
          {"where", r.where},
          {"reverse", figure(r.reverse)},
          {"forward", figure(r.forward)},
          {"bound", figure(r.bound)},
          {"method", r.method},
          {"verdict", name(r.verdict)},
          {"note", r.note}};
}

RuleResult read_rule(const Json& json) {
  RuleResult r;
  r.op = json.at("op").get<std::string>();
  r.where = json.at("where").get<std::string>();
  r.reverse = figure(json.at("reverse"));
  r.forward = figure(json.at("forward"));
  r.bound = figure(json.at("bound"));
  r.method = json.at("method").get<std::string>();
  r.verdict = verdict_of(json.at("verdict"));
  r.note = json.at("note").get<std::string>();
  return r;
}

Json write(const DeviceReport& d);

template <class Item>
Json write_all(const std::vector<Item>& items) {
  Json list = Json::array();
  for (const Item& item : items) {
    list.push_back(write(item));
  }
  return list;
}

template <class Item>
std::vector<Item> read_all(const Json& list, Item (*read)(const Json&)) {
  std::vector<Item> items;
  for (const Json& json : list) {
    items.push_back(read(json));
  }
  return items;
}

Json write(const DeviceReport& d) {
  return {{"device", d.device},
          {"description", d.description},
          {"verdict", name(d.verdict)},
          {"kernels_checked", d.kernels_checked},
          {"elements_checked", d.elements_checked},
          {"elements_skipped", d.elements_skipped},
          {"results", write_all(d.results)},
          {"nodes", write_all(d.nodes)}};
}

DeviceReport read_device(const Json& json) {
  DeviceReport d;
  d.device = json.at("device").get<std::string>();
  d.description = json.at("description").get<std::string>();
  d.verdict = verdict_of(json.at("verdict"));
  d.kernels_checked = json.at("kernels_checked").get<std::int64_t>();
  d.elements_checked = json.at("elements_checked").get<std::int64_t>();
  d.elements_skipped = json.at("elements_skipped").get<std::int64_t>();
  d.results = read_all(json.at("results"), read_result);
  d.nodes = read_all(json.at("nodes"), read_node);
  // Pages and texts follow inputs by position.
  for (std::size_t i = 0; i < d.nodes.size(); ++i) {
    for (const int input : d.nodes[i].inputs) {
      if (input < 0 || static_cast<std::size_t>(input) >= i) {
        throw IoError("report: node " + std::to_string(i) + " on " + d.device + " reads node " + std::to_string(input) +
                      ", which is not an earlier one");
      }
    }
  }
  return d;
}

}  // namespace

std::string to_json(const Report& report) {
  const Json json{{version_key, version},
                  {"verdict", name(report.verdict())},
                  {"agrees", report.agrees()},
                  {"seed", report.seed},
                  {"false_alarm", figure(report.false_alarm)},
                  {"lambda", figure(report.lambda)},
                  {"seconds", figure(report.seconds)},
                  {"rules", write_all(report.rules)},
                  {"devices", write_all(report.devices)}};
  // File names and labels need not be UTF-8; what is not becomes U+FFFD.
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Report from_json(const std::string& text) {
  try {
    const Json json = Json::parse(text);
    if (!json.is_object() || !json.contains(version_key)) {
      throw IoError(std::string("report: the text has no '") + version_key + "'; give one that to_json wrote");
    }
    if (const Json& found = json.at(version_key); found != version) {
      throw IoError("report: it is of version " + found.dump() + ", this library reads version " +
                    std::to_string(version) + "; write it again with this one");
    }
    Report report;
    report.seed = json.at("seed").get<std::uint64_t>();
    report.false_alarm = figure(json.at("false_alarm"));
    report.lambda = figure(json.at("lambda"));
    report.seconds = figure(json.at("seconds"));
    report.rules = read_all(json.at("rules"), read_rule);
    report.devices = read_all(json.at("devices"), read_device);
    return report;
  } catch (const nlohmann::json::exception& error) {
    throw IoError(std::string("report: the text is damaged or was not written by to_json: ") + error.what());
  }
}

}  // namespace twingrad::check
