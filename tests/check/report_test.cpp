// How reports are shown: as text, as JSON and back, as a page. All reports here are made by hand.
#include <gtest/gtest.h>
#include <twingrad/check/check.h>
#include <twingrad/check/report_json.h>
#include <twingrad/error.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace twingrad::check {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

Comparison inside(double ratio) {
  Comparison c;
  c.finding = Finding::none;
  c.checked = 1280;
  c.max_error = ratio * 1e-6;
  c.max_ratio = ratio;
  c.rms_ratio = 0.8;
  c.worst_index = 17;
  c.worst_actual = 0.5 + c.max_error;
  c.worst_expected = 0.5;
  c.worst_bound = 1e-6;
  c.ulps[0] = 1200;
  c.ulps[1] = 80;
  return c;
}

NodeResult leaf(int number, const std::string& label) {
  NodeResult node;
  node.node = number;
  node.op = "leaf";
  node.type = "(128, 10) float32";
  node.label = label;
  node.leaf = true;
  return node;
}

NodeResult op(int number, const std::string& name, std::vector<int> inputs, bool backward = false) {
  NodeResult node;
  node.node = number;
  node.op = name;
  node.type = "(128, 10) float32";
  node.where = "mlp.cpp:" + std::to_string(30 + number);
  node.inputs = std::move(inputs);
  node.backward = backward;
  node.isolated = inside(0.25);
  node.in_situ = inside(0);
  node.sigma = 1e-8;
  return node;
}

ResultCheck result(const std::string& name, double rms_error) {
  ResultCheck check;
  check.name = name;
  check.type = "(128, 10) float32";
  check.rms = 1;
  check.rms_error = rms_error;
  check.predicted_rms = 1e-7;
  return check;
}

Report agreeing() {
  Report report;
  report.seed = 42;
  report.lambda = 7.5;
  report.false_alarm = 1e-6;
  report.seconds = 1.25;
  DeviceReport device;
  device.device = "cpu";
  device.description = "a processor, 16 threads";
  device.nodes = {leaf(0, "x"),
                  leaf(1, "weight"),
                  op(2, "matmul", {0, 1}),
                  op(3, "relu", {2}),
                  op(4, "sum", {3}),
                  op(5, "relu_grad", {3, 4}, true),
                  op(6, "matmul", {0, 5}, true),
                  op(7, "sgd_update", {1, 6}, true)};
  device.nodes[3].isolated = inside(0);
  device.results = {result("loss", 1e-7), result("gradient of weight", 3e-8)};
  device.kernels_checked = 6;
  device.elements_checked = 7680;
  report.devices = {device};
  RuleResult rule;
  rule.op = "matmul";
  rule.where = "mlp.cpp:32";
  rule.reverse = 1.5;
  rule.forward = 1.5;
  rule.bound = 1e-12;
  rule.method = "dual numbers";
  report.rules = {rule};
  return report;
}

void put_kernel_finding(NodeResult& node) {
  node.verdict = Verdict::kernel;
  node.isolated.finding = Finding::element;
  node.isolated.outside = 40;
  node.isolated.max_ratio = 41000;
  node.isolated.worst_index = 31;
  node.isolated.ulps[16] = 40;
  node.isolated.outside_mod_32[31] = 40;
  for (std::size_t row = 0; row < 4; ++row) {
    node.isolated.outside_mod_128[32 * row + 31] = 10;
  }
}

Report with_kernel_finding() {
  Report report = agreeing();
  put_kernel_finding(report.devices[0].nodes[2]);
  report.devices[0].verdict = Verdict::kernel;
  return report;
}

Report with_alias() {
  Report report = agreeing();
  NodeResult& node = report.devices[0].nodes[5];
  node.verdict = Verdict::in_situ;
  node.in_situ.finding = Finding::element;
  node.in_situ.outside = 512;
  node.in_situ.max_error = 0.75;
  node.in_situ.max_ratio = infinity;
  node.note = "input 0 was not what matmul had written there";
  report.devices[0].verdict = Verdict::in_situ;
  return report;
}

Report with_race() {
  Report report = agreeing();
  for (const std::size_t i : {5U, 6U}) {
    report.devices[0].nodes[i].verdict = Verdict::race;
    report.devices[0].nodes[i].repeats = false;
  }
  report.devices[0].verdict = Verdict::race;
  return report;
}

Report ill_conditioned() {
  Report report = agreeing();
  ResultCheck& result = report.devices[0].results[1];
  result.verdict = Verdict::ill_conditioned;
  result.amplifier = "sub at mlp.cpp:40";
  result.worst_index = 3;
  result.worst_actual = 0.25;
  result.worst_expected = -0.125;
  report.devices[0].verdict = Verdict::ill_conditioned;
  return report;
}

Report not_checked() {
  Report report = agreeing();
  NodeResult& node = report.devices[0].nodes[4];
  node.isolated = {};
  node.in_situ = {};
  node.verdict = Verdict::not_checked;
  node.note = "every element leaves the range";
  report.devices[0].verdict = Verdict::not_checked;
  report.devices[0].elements_skipped = 7;
  return report;
}

Report warning() {
  Report report = agreeing();
  NodeResult& node = report.devices[0].nodes[4];
  node.isolated.finding = Finding::drift;
  node.isolated.outside = 1;
  node.isolated.max_ratio = 2.5;
  node.verdict = Verdict::warning;
  report.devices[0].verdict = Verdict::warning;
  return report;
}

Report with_wrong_rule() {
  Report report = agreeing();
  report.rules[0].reverse = 1.25;
  report.rules[0].verdict = Verdict::gradient_rule;
  return report;
}

/// Names that would break a page that does not escape them, and figures JSON has no number for.
Report hostile() {
  Report report = with_kernel_finding();
  DeviceReport& device = report.devices[0];
  device.device = "cpu<0>";
  device.description = "\"16\" & <b>threads</b>";
  device.nodes[0].label = "x\" onload='bad' & <script>";
  device.nodes[2].op = "a<b>&\"c\"'d'";
  device.nodes[2].where = "<file>&.cpp:1";
  device.nodes[2].note = "</template></script>";
  device.nodes[2].isolated.worst_actual = nan;
  device.nodes[2].isolated.worst_expected = -infinity;
  device.nodes[2].isolated.max_ratio = infinity;
  device.nodes[2].isolated.rms_ratio = nan;
  device.results[1].name = "gradient of <w> & \"b\"";
  device.results[1].rms_error = nan;
  report.rules[0].op = "<rule>";
  report.rules[0].verdict = Verdict::not_checked;
  report.rules[0].note = "no <formula> & none";
  report.lambda = infinity;
  return report;
}

std::vector<Report> all_reports() {
  return {agreeing(), with_kernel_finding(), with_alias(), with_race(), ill_conditioned(), not_checked(), warning(),
          hostile(),  with_wrong_rule(),     Report{}};
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// What is wrong with a page: tags that do not match, attributes without quotes, bare markup, ids given twice. Empty
/// when nothing is.
std::string fault_of(const std::string& html) {
  const std::string start = "<!DOCTYPE html>";
  if (html.rfind(start, 0) != 0) {
    return "no doctype";
  }
  std::vector<std::string> open;
  std::set<std::string> ids;
  const auto entity_at = [&](std::size_t i) {
    for (const char* entity : {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"}) {
      if (html.compare(i, std::string(entity).size(), entity) == 0) {
        return true;
      }
    }
    return false;
  };
  for (std::size_t i = start.size(); i < html.size();) {
    if (html[i] == '&' && !entity_at(i)) {
      return "a bare & at " + html.substr(i, 30);
    }
    if (html[i] == '>') {
      return "a bare > at " + html.substr(i, 30);
    }
    if (html[i] != '<') {
      ++i;
      continue;
    }
    const bool closes = html[i + 1] == '/';
    std::size_t end = i + (closes ? 2 : 1);
    std::string name;
    while (std::isalnum(static_cast<unsigned char>(html[end])) != 0) {
      name += html[end++];
    }
    if (name.empty()) {
      return "a bare < at " + html.substr(i, 30);
    }
    bool empty = false;
    while (html[end] != '>') {
      if (html[end] == '/') {
        empty = true;
        ++end;
      } else if (html[end] == ' ') {
        ++end;
      } else {
        const std::size_t equals = html.find('=', end);
        const std::string attribute = html.substr(end, equals - end);
        if (attribute.find_first_of(" <>\"'&") != std::string::npos || html[equals + 1] != '"') {
          return "a bad attribute in <" + name + ": " + html.substr(end, 40);
        }
        const std::size_t quote = html.find('"', equals + 2);
        const std::string value = html.substr(equals + 2, quote - equals - 2);
        if (value.find('<') != std::string::npos) {
          return "markup within an attribute: " + value;
        }
        if (attribute == "id" && !ids.insert(value).second) {
          return "the id " + value + " twice";
        }
        end = quote + 1;
      }
      if (end >= html.size()) {
        return "an open tag at the end";
      }
    }
    i = end + 1;
    if (closes) {
      if (open.empty() || open.back() != name) {
        return "</" + name + "> closes " + (open.empty() ? "nothing" : open.back());
      }
      open.pop_back();
    } else if (!empty) {
      open.push_back(name);
      if (name == "script" || name == "style") {
        i = html.find("</" + name, i);
      }
    }
  }
  return open.empty() ? "" : "<" + open.back() + "> is not closed";
}

TEST(Report, TheMostTellingVerdictOfDevicesAndRulesCounts) {
  EXPECT_EQ(agreeing().verdict(), Verdict::agrees);
  EXPECT_EQ(with_wrong_rule().verdict(), Verdict::gradient_rule);
  Report report = with_race();
  report.devices.push_back(with_kernel_finding().devices[0]);
  EXPECT_EQ(report.verdict(), Verdict::kernel);
}

TEST(Report, WarningsAgreeAndWhatWasNotCheckedDoesNot) {
  EXPECT_TRUE(agreeing().agrees());
  EXPECT_TRUE(warning().agrees());
  EXPECT_TRUE(ill_conditioned().agrees());
  EXPECT_FALSE(not_checked().agrees());
  EXPECT_FALSE(Report{}.agrees());
  for (const Report& report : {with_kernel_finding(), with_alias(), with_race(), with_wrong_rule()}) {
    EXPECT_FALSE(report.agrees()) << name(report.verdict());
  }
}

TEST(Report, WhatWasNotCheckedCountsForMoreThanAnIllConditionedGraph) {
  Report report = ill_conditioned();
  report.devices.push_back(not_checked().devices[0]);
  EXPECT_EQ(report.verdict(), Verdict::not_checked);
  EXPECT_FALSE(report.agrees());
}

TEST(Report, EveryVerdictHasItsOwnName) {
  std::set<std::string_view> names;
  for (int v = 0; v <= static_cast<int>(Verdict::agrees); ++v) {
    names.insert(name(static_cast<Verdict>(v)));
  }
  EXPECT_EQ(names.size(), static_cast<std::size_t>(Verdict::agrees) + 1);
}

TEST(ReportText, AgreementIsShort) {
  const std::string text = to_text(agreeing());
  EXPECT_EQ(text.rfind("agrees: cpu agrees with float64\n", 0), 0U) << text;
  EXPECT_LE(std::count(text.begin(), text.end(), '\n'), 12) << text;
  EXPECT_TRUE(contains(text, "seed 42, lambda 7.5, false-alarm budget 1e-06")) << text;
  EXPECT_TRUE(contains(text, "checked 6 kernels and 7,680 elements of 8 nodes (2 given")) << text;
  EXPECT_TRUE(contains(text, "gradient rules: 1 checked, 0 wrong")) << text;
  std::ostringstream out;
  out << agreeing();
  EXPECT_EQ(out.str(), text);
}

TEST(ReportText, AKernelFindingNamesNodeTypeLineFiguresAndPositions) {
  const std::string text = to_text(with_kernel_finding());
  EXPECT_EQ(text.rfind("kernel: matmul at mlp.cpp:32 computes wrong results on cpu (node 2)\n", 0), 0U) << text;
  EXPECT_TRUE(contains(text, "node 2  matmul  (128, 10) float32  at mlp.cpp:32")) << text;
  EXPECT_TRUE(contains(text, "40 of 1,280 elements are outside their bounds")) << text;
  EXPECT_TRUE(contains(text, "4.1e+04 times its bound")) << text;
  EXPECT_TRUE(contains(text, "element 31: got")) << text;
  EXPECT_TRUE(contains(text, "only indices with remainder 31 modulo 32 are wrong")) << text;
  EXPECT_TRUE(contains(text, "over 16384: 40")) << text;
  // With a finding, every result is listed.
  EXPECT_TRUE(contains(text, "gradient of weight")) << text;
}

TEST(ReportText, PositionsThatAreSpreadTellNothing) {
  Report report = with_kernel_finding();
  Comparison& c = report.devices[0].nodes[2].isolated;
  c.outside_mod_32.fill(2);
  c.outside_mod_128.fill(0);
  for (std::size_t i = 0; i < 64; ++i) {
    c.outside_mod_128[(i * 37) % 128] = 1;
  }
  c.outside = 64;
  EXPECT_FALSE(contains(to_text(report), "modulo"));
  // One wrong element is in one place by necessity.
  c.outside_mod_32.fill(0);
  c.outside_mod_128.fill(0);
  c.outside_mod_32[5] = 1;
  c.outside_mod_128[5] = 1;
  c.outside = 1;
  EXPECT_FALSE(contains(to_text(report), "modulo"));
}

TEST(ReportText, ATailShowsModulo128) {
  Report report = with_kernel_finding();
  Comparison& c = report.devices[0].nodes[2].isolated;
  c.outside_mod_32.fill(0);
  c.outside_mod_128.fill(0);
  c.outside = 40;
  for (std::size_t i = 120; i < 128; ++i) {
    c.outside_mod_128[i] = 5;
    c.outside_mod_32[i % 32] = 5;
  }
  EXPECT_TRUE(contains(to_text(report), "remainder 120-127 modulo 128"));
}

TEST(ReportText, AnAliasShowsThePlanAndTheNote) {
  const std::string text = to_text(with_alias());
  EXPECT_EQ(text.rfind("in situ: relu_grad at mlp.cpp:35 is right alone, wrong in the plan on cpu", 0), 0U) << text;
  EXPECT_TRUE(contains(text, "512 of 1,280 elements have other bits")) << text;
  EXPECT_TRUE(contains(text, "input 0 was not what matmul had written there")) << text;
}

TEST(ReportText, AnOverwrittenInputIsReportedThoughTheKernelDidItsWork) {
  Report report = with_alias();
  Comparison& c = report.devices[0].nodes[5].in_situ;
  c.finding = Finding::none;
  c.outside = 0;
  c.max_error = 0;
  c.max_ratio = 0;
  const std::string text = to_text(report);
  EXPECT_TRUE(contains(text, "its own output has the right bits")) << text;
  EXPECT_FALSE(contains(text, "got 0.5")) << text;
}

TEST(ReportText, ARaceIsTracedToItsFirstNode) {
  const std::string text = to_text(with_race());
  EXPECT_EQ(text.rfind("race: relu_grad at mlp.cpp:35 does not give the same bits every time on cpu (node 5)\n", 0), 0U)
      << text;
  EXPECT_TRUE(contains(text, "follows from node 5")) << text;
}

TEST(ReportText, IllConditionedResultsNameTheAmplifier) {
  const std::string text = to_text(ill_conditioned());
  EXPECT_TRUE(contains(text.substr(0, text.find('\n')), "sub at mlp.cpp:40 amplifies it")) << text;
  EXPECT_TRUE(contains(text, "element 3: got 0.25, expected -0.125")) << text;
}

TEST(ReportText, SkipsAreCountedWithReasons) {
  const std::string text = to_text(not_checked());
  EXPECT_TRUE(contains(text, "skipped 7 elements")) << text;
  EXPECT_TRUE(contains(text, "node 4: every element leaves the range")) << text;
}

TEST(ReportText, AWrongRuleShowsBothDerivatives) {
  const std::string text = to_text(with_wrong_rule());
  EXPECT_EQ(text.rfind("gradient rule: The gradient rule of matmul at mlp.cpp:32", 0), 0U) << text;
  EXPECT_TRUE(contains(text, "the rule gives 1.25, the formula 1.5 (dual numbers), bound 1e-12")) << text;
}

TEST(ReportText, EveryFindingIsNamedHoweverManyThereAre) {
  Report report = agreeing();
  for (int i = 8; i < 60; ++i) {
    report.devices[0].nodes.push_back(op(i, "add", {i - 1}, true));
    put_kernel_finding(report.devices[0].nodes.back());
  }
  report.devices[0].verdict = Verdict::kernel;
  const std::string text = to_text(report);
  for (int i = 8; i < 60; ++i) {
    EXPECT_TRUE(contains(text, "node " + std::to_string(i) + "  add")) << i;
  }
}

TEST(ReportJson, ComesBackAsItWasWritten) {
  for (const Report& report : all_reports()) {
    const std::string json = to_json(report);
    const Report back = from_json(json);
    EXPECT_EQ(to_json(back), json);
    EXPECT_EQ(to_text(back), to_text(report));
    EXPECT_EQ(to_html(back, "t"), to_html(report, "t"));
  }
}

TEST(ReportJson, KeepsFiguresExactlyAndNamesWhatIsNoNumber) {
  const auto json = nlohmann::json::parse(to_json(hostile()));
  EXPECT_EQ(json.at("twingrad_report"), 1);
  EXPECT_EQ(json.at("verdict"), "kernel");
  EXPECT_EQ(json.at("agrees"), false);
  EXPECT_EQ(json.at("lambda"), "inf");
  const auto& isolated = json.at("devices").at(0).at("nodes").at(2).at("isolated");
  EXPECT_EQ(isolated.at("worst_actual"), "nan");
  EXPECT_EQ(isolated.at("worst_expected"), "-inf");
  EXPECT_EQ(isolated.at("outside_mod_32").at(31), 40);
  Report report = agreeing();
  report.seed = std::numeric_limits<std::uint64_t>::max();
  report.lambda = 0.1 + 0.2;
  const Report back = from_json(to_json(report));
  EXPECT_EQ(back.seed, report.seed);
  EXPECT_EQ(back.lambda, report.lambda);
  EXPECT_EQ(back.devices[0].nodes[2].isolated.ulps, report.devices[0].nodes[2].isolated.ulps);
  EXPECT_TRUE(std::isnan(from_json(to_json(hostile())).devices[0].results[1].rms_error));
}

TEST(ReportJson, TextThatIsNotUtf8StaysReadable) {
  Report report = agreeing();
  report.devices[0].nodes[2].where = "caf\xe9.cpp:3";
  EXPECT_EQ(from_json(to_json(report)).devices[0].nodes[2].where, "caf\ufffd.cpp:3");
}

void expect_refused(const std::string& text, const std::string& part) {
  try {
    from_json(text);
    ADD_FAILURE() << "taken: " << text.substr(0, 80);
  } catch (const IoError& error) {
    EXPECT_TRUE(contains(error.what(), part)) << error.what();
  }
}

std::string with(const std::string& text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return std::string(text).replace(at, from.size(), to);
}

TEST(ReportJson, DamagedOrForeignTextIsRefused) {
  const std::string json = to_json(with_kernel_finding());
  expect_refused("", "damaged");
  expect_refused("{}", "twingrad_report");
  expect_refused("[1]", "twingrad_report");
  expect_refused(json.substr(0, json.size() / 2), "damaged");
  expect_refused(with(json, "\"twingrad_report\": 1", "\"twingrad_report\": 2"), "version 2");
  expect_refused(with(json, "\"lambda\": 7.5", R"("lambda": "much")"), "much");
  expect_refused(with(json, "\"seed\"", "\"sead\""), "seed");
  expect_refused(with(json, "\"verdict\": \"agrees\",\n     \"repeats\"", "\"verdict\": \"good\",\n     \"repeats\""),
                 "good");
  expect_refused(with(json, "\"inputs\": [\n      0,", "\"inputs\": [\n      9,"), "not an earlier one");
}

TEST(ReportHtml, IsWellFormedWhateverTheReport) {
  for (const Report& report : all_reports()) {
    EXPECT_EQ(fault_of(to_html(report, "a <title> & \"more\"")), "") << name(report.verdict());
  }
}

TEST(ReportHtml, NeedsNoNetwork) {
  for (const Report& report : all_reports()) {
    const std::string html = to_html(report, "mlp");
    for (const char* part : {"http:", "https:", "src=", "@import", "<link", "url(//"}) {
      EXPECT_FALSE(contains(html, part)) << part;
    }
  }
}

TEST(ReportHtml, EscapesWhatTheUserNamed) {
  const std::string html = to_html(hostile(), "<title>");
  EXPECT_TRUE(contains(html, "a&lt;b&gt;&amp;&quot;c&quot;&#39;d&#39;"));
  EXPECT_TRUE(contains(html, "&lt;file&gt;&amp;.cpp:1"));
  EXPECT_FALSE(contains(html, "<file>"));
  EXPECT_FALSE(contains(html, "<b>threads"));
  EXPECT_EQ(html.find("<script"), html.rfind("<script"));
}

TEST(ReportHtml, SaysTheVerdictFirstAndShowsEveryNodeWithItsLine) {
  const Report report = with_kernel_finding();
  const std::string html = to_html(report, "mlp");
  const std::size_t headline = html.find("matmul at mlp.cpp:32 computes wrong results on cpu (node 2)");
  ASSERT_NE(headline, std::string::npos);
  EXPECT_LT(headline, html.find("<svg"));
  for (const NodeResult& node : report.devices[0].nodes) {
    const std::size_t box = html.find("<g id=\"d0-" + std::to_string(node.node) + "\"");
    ASSERT_NE(box, std::string::npos) << node.node;
    const std::string drawn = html.substr(box, html.find("</g>", box) - box);
    EXPECT_TRUE(contains(drawn, ">" + (node.label.empty() ? node.op : node.label) + "<")) << drawn;
    EXPECT_TRUE(contains(drawn, ">(128, 10) float32<")) << drawn;
    EXPECT_TRUE(contains(drawn, node.where)) << drawn;
  }
  EXPECT_TRUE(contains(html, "gradient of weight"));
}

TEST(ReportHtml, ColoursNodesByTheirErrorAndMarksFindings) {
  Report report = with_kernel_finding();
  report.devices[0].nodes[5].isolated = inside(0.15);
  report.devices[0].nodes[6].isolated = inside(5);
  report.devices[0].nodes[4].isolated.max_ratio = nan;
  const std::string html = to_html(report, "mlp");
  EXPECT_TRUE(contains(html, "<g id=\"d0-2\" class=\"n fwd e7 bad\""));
  EXPECT_TRUE(contains(html, "<g id=\"d0-3\" class=\"n fwd e0\""));
  EXPECT_TRUE(contains(html, "<g id=\"d0-4\" class=\"n fwd e7\""));
  EXPECT_TRUE(contains(html, "<g id=\"d0-5\" class=\"n bwd e2\""));
  EXPECT_TRUE(contains(html, "<g id=\"d0-6\" class=\"n bwd e5\""));
  EXPECT_TRUE(contains(html, "<g id=\"d0-7\" class=\"n upd e3\""));
}

TEST(ReportHtml, LargeGraphsGetAnOverview) {
  Report report = agreeing();
  EXPECT_FALSE(contains(to_html(report, "mlp"), "class=\"overview\""));
  for (int i = 8; i < 300; ++i) {
    report.devices[0].nodes.push_back(op(i, "add", {i - 1, i - 2}));
  }
  const std::string html = to_html(report, "mlp");
  EXPECT_TRUE(contains(html, "class=\"overview\""));
  EXPECT_TRUE(contains(html, "href=\"#d0-299\""));
  EXPECT_EQ(fault_of(html), "");
}

}  // namespace
}  // namespace twingrad::check
