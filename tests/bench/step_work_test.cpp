// Works of the training-step benchmark: the file that comes with it, what is refused, floors, data, systems' commands.
#include <gtest/gtest.h>
#include <twingrad/error.h>
#include <twingrad/io/safetensors.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "bench/step/sweep.h"
#include "bench/step/systems.h"
#include "bench/step/work.h"
#include "bench/systems/work_file.h"

namespace {

using namespace stepbench;

const std::string works_file = TWINGRAD_SOURCE_DIR "/bench/works.json";

class StepWork : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "stepwork-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  std::string write(const std::string& text) const {
    std::ofstream(path("works.json")) << text;
    return path("works.json");
  }

 private:
  std::string folder_;
};

template <class Action>
void expect_refused(const Action& action, const std::string& text) {
  try {
    action();
    ADD_FAILURE() << "nothing was thrown; wanted: " << text;
  } catch (const twingrad::Error& error) {
    EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
  }
}

TEST_F(StepWork, TheFileHasTheSixWorksWithTheirFlops) {
  const std::vector<Work> works = read_works(works_file, "cuda");
  // What is quoted for these nets, to two digits.
  const std::vector<std::pair<std::string, double>> flops = {{"moons", 0.18e6}, {"digits", 26e6},  {"mnist", 1.6e9},
                                                             {"wide", 94e9},    {"large", 3.0e12}, {"narrow", 25e9}};
  ASSERT_EQ(works.size(), flops.size());
  for (std::size_t i = 0; i < works.size(); ++i) {
    EXPECT_EQ(works[i].name, flops[i].first);
    EXPECT_NEAR(step_flops(works[i]) / flops[i].second, 1, 0.03) << works[i].name;
  }
}

TEST_F(StepWork, FloorsOfASmallNetByHand) {
  const Work work{.name = "small", .sizes = {2, 3, 1}, .batch = 10, .batches = 1, .loss = "mse"};
  EXPECT_EQ(parameter_count(work), 2 * 3 + 3 + 3 * 1 + 1);
  // Forward and weight gradients of both layers, input gradient of the second: 2 * 10 * (2 * 6 + 3 * 3).
  EXPECT_DOUBLE_EQ(step_flops(work), 420);
  // Rows: 2 * (2 + 3) + 3 * (3 + 1) floats; Adam: 28 bytes for 13 parameters.
  EXPECT_DOUBLE_EQ(step_bytes(work), 4 * 10 * 22 + 28 * 13);
}

TEST_F(StepWork, ChoosesByNameAndLeavesOutWhatIsNotUsualOnTheDevice) {
  const std::vector<Work> works = read_works(works_file, "cpu");
  const std::vector<Work> usual = choose_works(works, {});
  EXPECT_TRUE(std::none_of(usual.begin(), usual.end(), [](const Work& work) { return work.name == "large"; }));
  EXPECT_EQ(usual.size(), 5U);
  const std::vector<Work> named = choose_works(works, {"large", "moons"});
  ASSERT_EQ(named.size(), 2U);
  EXPECT_EQ(named[0].name, "moons");
  expect_refused([&] { choose_works(works, {"mooons"}); }, "no work 'mooons'; there are moons, digits");
}

TEST_F(StepWork, RefusesFilesThatMakeNoSense) {
  const std::string adam = R"({"adam": {"lr": 1, "beta1": 0, "beta2": 0, "eps": 0}, "works": [)";
  const auto one = [&](const std::string& fields) { return write(adam + "{\"name\": \"w\", " + fields + "}]}"); };
  const auto read = [](const std::string& file) { return [file] { read_works(file, "cpu"); }; };
  const std::string rest = R"("batch": {"cpu": 2}, "batches": 1, "devices": ["cpu"])";
  expect_refused(read(path("missing.json")), "cannot read");
  expect_refused(read(write("{")), "not as expected");
  expect_refused(read(one(R"("sizes": [2, 1], "loss": "mse")")), "not as expected");
  expect_refused(read(one(R"("sizes": [2], "loss": "mse", )" + rest)), "the work 'w': `sizes`");
  expect_refused(read(one(R"("sizes": [2, 0], "loss": "mse", )" + rest)), "the work 'w': `sizes`");
  expect_refused(read(one(R"("sizes": [2, 1], "loss": "hinge", )" + rest)), "no loss 'hinge'");
  expect_refused(read(one(R"("sizes": [2, 3], "loss": "binary_cross_entropy", )" + rest)), "takes one output, not 3");
  expect_refused(read(one(R"("sizes": [2, 1], "loss": "mse", "batch": {"cpu": 0}, "batches": 1, "devices": [])")),
                 "`batch` and `batches`");
}

TEST_F(StepWork, DataIsTheSameTwiceAndWhatSystemsRead) {
  Work work{.name = "small", .sizes = {5, 4, 3}, .batch = 6, .batches = 2, .loss = "cross_entropy"};
  write_work(work, path("small.json"));
  const bench::WorkFile read = bench::read_work(path("small.json"));
  EXPECT_EQ(read.sizes, work.sizes);
  EXPECT_EQ(read.batch, 6);
  EXPECT_EQ(read.loss, "cross_entropy");

  write_data(work, path("one.safetensors"));
  write_data(work, path("two.safetensors"));
  const bench::DataFile one(path("one.safetensors"));
  const bench::DataFile two(path("two.safetensors"));
  EXPECT_EQ(one.shape("layer0.weight"), (std::vector<std::int64_t>{4, 5}));
  EXPECT_EQ(one.shape("layer1.bias"), (std::vector<std::int64_t>{3}));
  EXPECT_EQ(one.shape("x"), (std::vector<std::int64_t>{12, 5}));
  EXPECT_TRUE(std::ranges::equal(one.floats("x"), two.floats("x")));
  EXPECT_FALSE(std::ranges::all_of(one.floats("x"), [](float value) { return value == 0; }));
  const auto labels = one.integers("y");
  EXPECT_EQ(labels.size(), 12U);
  EXPECT_TRUE(std::ranges::all_of(labels, [](std::int64_t label) { return label >= 0 && label < 3; }));
  EXPECT_THROW(one.floats("y"), std::runtime_error);
  EXPECT_THROW(one.floats("z"), std::runtime_error);
}

TEST(StepSweep, CoversTheGridWithoutStepsThatAreTooLarge) {
  const std::vector<Work> works =
      sweep_works({.batches = {2, 4}, .widths = {3, 1000}, .layers = 2, .most_flops = 1000});
  ASSERT_EQ(works.size(), 2U);
  EXPECT_EQ(works[0].name, "b2-w3");
  EXPECT_EQ(works[1].name, "b4-w3");
  EXPECT_EQ(works[1].sizes, (std::vector<std::int64_t>{3, 3, 3}));
  EXPECT_LE(step_flops(works[1]), 1000);
  // Every work of the grid that comes without options can be run, and its data stays small.
  for (const Work& work : sweep_works({})) {
    EXPECT_LE(work.batch * work.batches * work.sizes[0], std::int64_t{1} << 27) << work.name;
  }
  expect_refused([] { sweep_works({.batches = {}}); }, "needs batches");
  expect_refused([] { sweep_works({.widths = {0}}); }, "needs widths");
  expect_refused([] { sweep_works({.most_flops = 1}); }, "nothing is left");
}

TEST(StepSystems, NamesAreUniqueAndUnknownOnesRefused) {
  std::vector<std::string> names;
  for (const SystemSpec& spec : catalogue()) {
    names.push_back(spec.name);
  }
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end());
  EXPECT_EQ(choose_systems({}).size(), names.size());
  ASSERT_EQ(choose_systems({"jax-scan"}).size(), 1U);
  expect_refused([] { choose_systems({"tensorflow"}); }, "no system 'tensorflow'; there are twingrad");
}

TEST(StepSystems, WhatIsNotInstalledIsLeftOutWithItsReason) {
  const Places nowhere{.binaries = "/nonexistent", .peers = "/nonexistent", .python = ""};
  const auto why = [&](const std::string& name, const Places& places) {
    return why_left_out(choose_systems({name}).front(), places, "cpu");
  };
  EXPECT_EQ(why("torch-graph", nowhere), "it runs with --device cuda alone");
  EXPECT_EQ(why_left_out(choose_systems({"handwritten"}).front(), nowhere, "cuda"), "it runs with --device cpu alone");
  EXPECT_NE(why("twingrad", nowhere).find("is not built"), std::string::npos);
  EXPECT_NE(why("libtorch", nowhere).find("TWINGRAD_BENCH_TORCH"), std::string::npos);
  EXPECT_NE(why("jax-jit", nowhere).find("no Python was given"), std::string::npos);
  const Places no_interpreter{.binaries = "", .peers = "", .python = "/nonexistent/python"};
  EXPECT_NE(why("torch-eager", no_interpreter).find("has no module torch"), std::string::npos);
  EXPECT_EQ(why("twingrad-uncaptured", nowhere), "it runs with --device cuda alone");
}

}  // namespace
