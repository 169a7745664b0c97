// The page and the table of a run: what they say of wins, losses, ties, and what was left out.
#include <gtest/gtest.h>
#include <twingrad/error.h>

#include <cmath>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "bench/step/compare.h"
#include "bench/step/page.h"
#include "bench/step/report.h"
#include "bench/step/text.h"

namespace {

using namespace stepbench;

EntryResult entry(const std::string& name, Role role, const std::vector<double>& seconds) {
  EntryResult result;
  result.name = name;
  result.system = name;
  result.role = role;
  result.description = "a < b & c";
  result.version = "1.0";
  result.precision = "float32";
  result.steps = 10;
  result.step_seconds = seconds;
  result.cpu_seconds = seconds;
  result.disturbance = std::vector<double>(seconds.size(), 0.0);
  result.ready_seconds = {0.5};
  result.first_step_seconds = {0.75};
  result.peak_memory = 12'000'000;
  result.losses = {1.0, 0.5};
  return result;
}

WorkResult some_result() {
  WorkResult result;
  result.work = {.name = "small", .sizes = {2, 3, 1}, .batch = 10, .batches = 1, .loss = "mse"};
  result.ceilings = {.flops = 420e6, .copy = 1e12};  // a floor of 1 us
  result.reference_losses = {1.0, 0.5};
  result.entries = {entry("ours", Role::ours, {2e-6, 2e-6, 2e-6, 4e-6}),
                    entry("quick", Role::peer, {1e-6, 1e-6, 1e-6, 2e-6}),
                    entry("slow", Role::peer, {6e-6, 6e-6, 6e-6, 12e-6})};
  EntryResult broken = entry("broken", Role::peer, {});
  broken.failure = "its outputs are not float32";
  result.entries.push_back(broken);
  return result;
}

nlohmann::json run_of(const WorkResult& result) {
  return {{"format", 1},
          {"machine",
           {{"processor", "some"},
            {"family_model", "1/2"},
            {"threads", 2},
            {"system", "Linux"},
            {"compiler", "GCC"},
            {"commit", "abc"},
            {"date", "2026"}}},
          {"starts", 3},
          {"left_out", {{{"system", "jax-jit"}, {"reason", "no module jax"}}}},
          {"works", {to_json(result)}}};
}

void expect_has(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << "missing: " << part << "\nin: " << text;
}

/// The table's row of a system, with one space where there are several.
std::string row_of(const std::string& table, const std::string& system) {
  const std::size_t begin = table.find("\n  " + system + " ");
  if (begin == std::string::npos) {
    return "";
  }
  std::string row;
  for (const char c : table.substr(begin + 3, table.find('\n', begin + 1) - begin - 3)) {
    if (c != ' ' || row.empty() || row.back() != ' ') {
      row += c;
    }
  }
  return row;
}

TEST(StepReport, TheTableHasRatiosFloorsAndWhatWasLeftOut) {
  const std::string table = to_table(some_result());
  expect_has(table, "floor 1.0 us");
  // Turn by turn: the slow last turn of both leaves the ratio alone.
  expect_has(row_of(table, "quick"), "quick 0.500 0.500-0.500 ");
  expect_has(row_of(table, "quick"), " 100.0 % 1.0 us ");
  expect_has(row_of(table, "slow"), "slow 3.000 3.000-3.000 ");
  expect_has(table, "broken                      LEFT OUT: its outputs are not float32");
}

/// Ours tells what not every system does.
WorkResult telling_result() {
  WorkResult result = some_result();
  result.entries[0].kernels_per_step = 17;
  result.entries[0].device_seconds = {1.5e-6, 1.5e-6, 1.5e-6, 9e-6};
  result.entries[0].read_seconds = {8e-6};
  return result;
}

TEST(StepReport, TheTableHasKernelsAndTheDevicesTimeWhereTheyAreKnown) {
  const std::string table = to_table(telling_result());
  expect_has(row_of(table, "ours"), " 2.0 us 1.5 us 8.0 us 17 ");
  expect_has(row_of(table, "quick"), " 1.0 us - - - ");
}

TEST(StepReport, JsonHasThemUnderNamesOfTheirOwn) {
  const nlohmann::json systems = to_json(telling_result()).at("systems");
  EXPECT_EQ(systems.at(0).at("kernels_per_step"), 17);
  EXPECT_EQ(systems.at(0).at("device_seconds").size(), 4U);
  EXPECT_EQ(systems.at(0).at("read_seconds").size(), 1U);
  for (const char* key : {"kernels_per_step", "device_seconds", "read_seconds"}) {
    EXPECT_FALSE(systems.at(1).contains(key)) << key;
  }
}

TEST(StepPage, HasKernelsAndTheDevicesTimeWhereTheyAreKnown) {
  const std::string page = to_page(run_of(telling_result()));
  expect_has(page, "<th>step</th><th>on the device</th><th>loss read</th><th>kernels</th>");
  expect_has(page, "<td>2.0 us</td><td>1.5 us</td><td>8.0 us</td><td>17</td>");
  expect_has(page, "<td>1.0 us</td><td>-</td><td>-</td><td>-</td>");
}

TEST(StepPage, ReadsTheFilesOfEarlierRuns) {
  for (const char* name : {"steps-cpu.json", "steps-wide-cpu.json"}) {
    std::ifstream in(std::string(TWINGRAD_SOURCE_DIR "/bench/results/") + name);
    const nlohmann::json run = nlohmann::json::parse(in);
    ASSERT_FALSE(run.at("works").at(0).at("systems").at(0).contains("kernels_per_step")) << name;
    expect_has(to_page(run), "<td>-</td><td>-</td><td>-</td>");
    // A run of now beside it: what it knows more is no obstacle.
    nlohmann::json now = run;
    for (nlohmann::json& system : now["works"][0]["systems"]) {
      system["kernels_per_step"] = 17;
      system["device_seconds"] = {1.0};
      system["read_seconds"] = {1.0};
    }
    EXPECT_FALSE(compare(run, now).empty()) << name;
    EXPECT_FALSE(compare(now, run).empty()) << name;
  }
}

TEST(StepText, CountsAreShort) {
  EXPECT_EQ(count_text(17), "17");
  EXPECT_EQ(count_text(100), "100");
  EXPECT_EQ(count_text(17.25), "17.25");
  EXPECT_EQ(count_text(0), "0");
}

TEST(StepReport, DisturbanceThatTheSystemDoesNotTellIsADashAndNull) {
  WorkResult result = some_result();
  result.entries[1].disturbance = {0.01, 0.03, 0.5, 0.02};
  result.entries[2].disturbance = std::vector<double>(4, std::nan(""));
  const std::string table = to_table(result);
  EXPECT_TRUE(row_of(table, "ours").ends_with(" 0 %")) << table;
  EXPECT_TRUE(row_of(table, "quick").ends_with(" 50 %")) << table;
  EXPECT_TRUE(row_of(table, "slow").ends_with(" -")) << table;
  const std::string json = to_json(result).dump();
  EXPECT_NE(json.find("\"disturbance\":[null,null,null,null]"), std::string::npos) << json;
}

TEST(StepReport, LongFailuresAreNotCutOff) {
  WorkResult result = some_result();
  result.entries.back().failure = std::string(5000, 'x') + " end";
  expect_has(to_table(result), result.entries.back().failure + "\n");
}

TEST(StepPage, SaysBehindAsPlainlyAsAhead) {
  const std::string behind = to_page(run_of(some_result()));
  expect_has(behind, "<span class='chip loss'>behind</span>");
  expect_has(behind, "2.00 x faster than ours");
  expect_has(behind, "3.00 x slower than ours");
  WorkResult better = some_result();
  better.entries.erase(better.entries.begin() + 1);
  expect_has(to_page(run_of(better)), "<span class='chip win'>ahead</span>");
  better.entries[1].step_seconds = {1e-6, 2e-6, 2e-6, 8e-6};
  expect_has(to_page(run_of(better)), "<span class='chip'>tie</span>");
}

TEST(StepPage, NamesWhatWasLeftOutAndEscapesText) {
  const std::string page = to_page(run_of(some_result()));
  expect_has(page, "Left out: jax-jit</b>: no module jax");
  expect_has(page, "left out: its outputs are not float32");
  expect_has(page, "a &lt; b &amp; c");
  EXPECT_EQ(page.find("a < b"), std::string::npos);
  EXPECT_EQ(page.find("http"), std::string::npos) << "the page must need no network";
}

TEST(StepPage, ARunOfPeersAloneHasNoRatiosAndSaysSo) {
  WorkResult result = some_result();
  result.entries.erase(result.entries.begin());
  expect_has(to_page(run_of(result)), "not both were measured");
}

TEST(StepPage, ASweepIsHeatMaps) {
  nlohmann::json run = run_of(some_result());
  run["sweep"] = true;
  const std::string page = to_page(run);
  expect_has(page,
             "<tr><th>width \\ batch</th><th>10</th></tr>\n<tr><td>2</td><td style='background:color-mix(in srgb,"
             "var(--loss)");
  EXPECT_EQ(page.find("Roofline"), std::string::npos);
}

/// A sweep of one width over batches, with our step times.
nlohmann::json sweep_of(const std::string& device, const std::vector<std::pair<int, double>>& seconds_of_batches) {
  nlohmann::json run = run_of(some_result());
  run["sweep"] = true;
  run["machine"]["processor"] = device;
  run["works"] = nlohmann::json::array();
  for (const auto& [batch, seconds] : seconds_of_batches) {
    WorkResult result = some_result();
    result.work.batch = batch;
    result.entries[0].step_seconds = {seconds, seconds, seconds, seconds};
    run["works"].push_back(nlohmann::json(to_json(result)));
  }
  return run;
}

TEST(StepPage, TwoSweepsSayFromWhichBatchOnTheOtherDeviceIsAhead) {
  const nlohmann::json host = sweep_of("host", {{16, 1e-6}, {32, 2e-6}, {64, 4e-6}, {128, 8e-6}});
  const std::string page = to_page(host, sweep_of("other", {{16, 3e-6}, {32, 1e-6}, {64, 5e-6}, {128, 6e-6}}));
  // Ahead at 32 too, but not at all larger ones.
  expect_has(page, "<tr><td>2</td><td class='left'>other from batch 128 on</td></tr>");
  expect_has(page, "width 2</text>");
  expect_has(to_page(host, sweep_of("other", {{16, 1e-7}, {32, 1e-7}, {64, 1e-7}, {128, 9e-6}})),
             "host still at batch 128</td>");
  expect_has(to_page(host, sweep_of("other", {{256, 1e-7}})), "no batch in common");
  EXPECT_THROW(to_page(run_of(some_result()), host), twingrad::ArgumentError);
  nlohmann::json narrower = host;
  for (nlohmann::json& work : narrower["works"]) {
    work["work"]["sizes"] = {1, 1};
  }
  EXPECT_THROW(to_page(host, narrower), twingrad::ArgumentError);
}

TEST(StepPage, RefusesOtherFiles) {
  EXPECT_THROW(to_page(nlohmann::json::object()), twingrad::IoError);
  EXPECT_THROW(to_page(nlohmann::json(1)), twingrad::IoError);
  nlohmann::json run = run_of(some_result());
  run["works"][0].erase("floor_seconds");
  EXPECT_THROW(to_page(run), twingrad::IoError);
  run = run_of(some_result());
  run.erase("machine");
  EXPECT_THROW(to_page(run), twingrad::IoError);
}

}  // namespace
