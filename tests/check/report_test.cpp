// How reports are shown as text, and as JSON and back.
#include <gtest/gtest.h>
#include <twingrad/check/check.h>
#include <twingrad/check/report_json.h>
#include <twingrad/error.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "tests/check/sample_reports.h"

namespace twingrad::check {
namespace {

using namespace samples;

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

}  // namespace
}  // namespace twingrad::check
