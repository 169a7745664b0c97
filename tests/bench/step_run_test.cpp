// A run in which one system ends in its turns: the others keep what was measured of them.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "bench/step/report.h"
#include "bench/step/run_work.h"

namespace {

using namespace stepbench;

/// Systems that only answer: the same losses and outputs whatever they are. JAX ends as soon as it is asked for a
/// turn of more than 150 steps: calibration asks for 128, its turns have 200. Ours tells kernels and the device's time.
class StepRun : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "steprun-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    const std::string ready =
        R"(echo '{"ready": true, "version": "1", "flags": "", "precision": "float32", "threads": 1}')";
    const std::string answers = ready + R"(
while read command count; do
  case $command in
    run)
      [ "$0" = ")" + folder_ + R"(/jax_step.py" ] && [ "$count" -gt 150 ] && exit 3
      facts=
      [ "$0" = ")" + folder_ + R"(/bench_system_twingrad" ] &&
        facts=', "kernels": '$((17 * count))', "device_seconds": '"$count"'e-5'
      echo '{"seconds": '"$count"'e-4, "cpu_seconds": 1e-3, "steps": '"$count$facts"'}' ;;
    read) echo '{"seconds": '"$count"'e-3, "steps": '"$count"'}' ;;
    losses)
      losses=$(seq -s , "$count")
      echo '{"losses": ['"$losses"'], "weights": "0"}' ;;
    outputs) echo '{"outputs": [1, 2]}' ;;
  esac
done
)";
    script("jax_step.py", answers);
    script("bench_system_twingrad", "#!/bin/sh\n" + answers);
    script("bench_system_ceilings", "#!/bin/sh\necho '{\"flops\": 1e9, \"copy\": 1e9}'\n");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void script(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ + "/" + name) << text;
    std::filesystem::permissions(folder_ + "/" + name, std::filesystem::perms::owner_all);
  }

  WorkResult run(const std::vector<std::string>& systems, int starts, int repeats, double repeat_seconds) const {
    const Work work{.name = "small", .sizes = {2, 3, 1}, .batch = 4, .batches = 1, .loss = "mse"};
    Settings settings;
    settings.places = {.binaries = folder_, .peers = folder_, .python = "/bin/sh"};
    settings.starts = starts;
    settings.repeats = repeats;
    settings.repeat_seconds = repeat_seconds;
    settings.folder = folder_;
    return run_work(work, choose_systems(systems), settings);
  }

  std::string folder_;
};

TEST_F(StepRun, ASystemThatEndsInItsTurnsIsLeftOutAndTheOthersGoOn) {
  const WorkResult result = run({"twingrad-compile", "jax-scan"}, 2, 3, 0.02);
  ASSERT_EQ(result.entries.size(), 2U);
  EXPECT_EQ(result.entries[0].failure, "");
  EXPECT_EQ(result.entries[0].step_seconds.size(), 6U);
  EXPECT_EQ(result.entries[0].kernels_per_step, 17);
  ASSERT_EQ(result.entries[0].device_seconds.size(), 6U);
  EXPECT_DOUBLE_EQ(result.entries[0].device_seconds[0], 1e-5);
  ASSERT_EQ(result.entries[0].read_seconds.size(), 2U);  // once a start
  EXPECT_DOUBLE_EQ(result.entries[0].read_seconds[1], 1e-3);
  EXPECT_EQ(result.entries[1].steps, 200);
  EXPECT_NE(result.entries[1].failure.find("ended without an answer"), std::string::npos) << result.entries[1].failure;
  EXPECT_NE(to_table(result).find("jax-scan@1                  LEFT OUT: "), std::string::npos);
}

TEST_F(StepRun, WhatASystemDoesNotTellIsLeftOpen) {
  const WorkResult result = run({"jax-scan"}, 1, 1, 0.002);  // 20 steps: JAX lives
  ASSERT_EQ(result.entries.size(), 1U);
  EXPECT_EQ(result.entries[0].failure, "");
  EXPECT_FALSE(result.entries[0].kernels_per_step.has_value());
  EXPECT_TRUE(result.entries[0].device_seconds.empty());
  EXPECT_FALSE(to_json(result).at("systems").at(0).contains("kernels_per_step"));
}

}  // namespace
