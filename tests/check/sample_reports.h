// Reports made by hand, one of each kind, for the tests of how reports are shown.
//
//   const std::string text = to_text(samples::with_kernel_finding());
#pragma once

#include <twingrad/check/check.h>

#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace twingrad::check::samples {

inline constexpr double infinity = std::numeric_limits<double>::infinity();
inline constexpr double nan = std::numeric_limits<double>::quiet_NaN();

inline Comparison inside(double ratio) {
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

inline NodeResult leaf(int number, const std::string& label) {
  NodeResult node;
  node.node = number;
  node.op = "leaf";
  node.type = "(128, 10) float32";
  node.label = label;
  node.leaf = true;
  return node;
}

inline NodeResult op(int number, const std::string& name, std::vector<int> inputs, bool backward = false) {
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

inline ResultCheck result(const std::string& name, double rms_error) {
  ResultCheck check;
  check.name = name;
  check.type = "(128, 10) float32";
  check.rms = 1;
  check.rms_error = rms_error;
  check.predicted_rms = 1e-7;
  return check;
}

inline Report agreeing() {
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

inline void put_kernel_finding(NodeResult& node) {
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

inline Report with_kernel_finding() {
  Report report = agreeing();
  put_kernel_finding(report.devices[0].nodes[2]);
  report.devices[0].verdict = Verdict::kernel;
  return report;
}

inline Report with_alias() {
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

inline Report with_race() {
  Report report = agreeing();
  for (const std::size_t i : {5U, 6U}) {
    report.devices[0].nodes[i].verdict = Verdict::race;
    report.devices[0].nodes[i].repeats = false;
  }
  report.devices[0].verdict = Verdict::race;
  return report;
}

inline Report ill_conditioned() {
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

inline Report not_checked() {
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

inline Report warning() {
  Report report = agreeing();
  NodeResult& node = report.devices[0].nodes[4];
  node.isolated.finding = Finding::drift;
  node.isolated.outside = 1;
  node.isolated.max_ratio = 2.5;
  node.verdict = Verdict::warning;
  report.devices[0].verdict = Verdict::warning;
  return report;
}

inline Report with_wrong_rule() {
  Report report = agreeing();
  report.rules[0].reverse = 1.25;
  report.rules[0].verdict = Verdict::gradient_rule;
  return report;
}

/// Names that would break a page that does not escape them, and figures JSON has no number for.
inline Report hostile() {
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

inline std::vector<Report> all_reports() {
  return {agreeing(), with_kernel_finding(), with_alias(), with_race(), ill_conditioned(), not_checked(), warning(),
          hostile(),  with_wrong_rule(),     Report{}};
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace twingrad::check::samples
