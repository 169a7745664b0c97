// `stepbench compare`: verdicts with regard to noise, and what it refuses.
#include <gtest/gtest.h>
#include <twingrad/error.h>

#include "bench/step/compare.h"

namespace {

using namespace stepbench;
using Json = nlohmann::json;

/// `count` times around `centre`, one percent apart at most.
std::vector<double> times(double centre, int count = 60) {
  std::vector<double> result;
  for (int i = 0; i < count; ++i) {
    result.push_back(centre * (1 + 0.01 * ((i * 7) % 21 - 10) / 10));
  }
  return result;
}

Json system(const std::string& name, double centre) {
  return {{"name", name}, {"step_seconds", times(centre)}};
}

/// A run of one work; `again` is the second run of the same system, for the noise.
Json run(double ours, double again, double peer) {
  return {
      {"format", 1},
      {"machine", {{"processor", "some"}, {"family_model", "1/2"}, {"threads", 2}}},
      {"works",
       {{{"work", {{"name", "moons"}, {"batch", 100}}},
         {"systems", {system("twingrad@2", ours), system("twingrad-again@2", again), system("jax-jit@1", peer)}}}}}};
}

Verdict verdict_on(const std::vector<Change>& changes, const std::string& name) {
  for (const Change& change : changes) {
    if (change.system == name) {
      return change.verdict;
    }
  }
  ADD_FAILURE() << name << " was not compared";
  return Verdict::tie;
}

TEST(StepCompare, ChangesBeyondTheNoiseAreSeen) {
  const std::vector<Change> changes = compare(run(1.0, 1.0, 1.0), run(0.9, 0.9, 1.1));
  ASSERT_EQ(changes.size(), 3U);
  EXPECT_EQ(verdict_on(changes, "twingrad@2"), Verdict::faster);
  EXPECT_EQ(verdict_on(changes, "jax-jit@1"), Verdict::slower);
  EXPECT_NEAR(changes[0].ratio, 0.9, 1e-12);
}

TEST(StepCompare, TheSameRunIsATie) {
  for (const Change& change : compare(run(1.0, 1.0, 1.0), run(1.0, 1.0, 1.0))) {
    EXPECT_EQ(change.verdict, Verdict::tie) << change.system;
  }
}

TEST(StepCompare, NoiseOfTheSameSystemTwiceWidensTheTie) {
  EXPECT_NEAR(noise_of(run(1.0, 1.2, 1.0)), 0.2, 1e-12);
  EXPECT_NEAR(noise_of(run(1.2, 1.0, 1.0)), 0.2, 1e-12);
  // The same change as above, in a run whose own repetition was 20 % off.
  const std::vector<Change> changes = compare(run(1.0, 1.2, 1.0), run(0.9, 0.9, 1.1));
  EXPECT_EQ(verdict_on(changes, "twingrad@2"), Verdict::tie);
  EXPECT_EQ(verdict_on(changes, "jax-jit@1"), Verdict::tie);
}

TEST(StepCompare, SystemsThatOneRunLeftOutAreNotCompared) {
  Json after = run(1.0, 1.0, 1.0);
  after["works"][0]["systems"][2] = {{"name", "jax-jit@1"}, {"left_out", "not installed"}};
  EXPECT_EQ(compare(run(1.0, 1.0, 1.0), after).size(), 2U);
}

/// compare() throws with a message that has `text`.
void expect_refused(const Json& before, const Json& after, const std::string& text) {
  try {
    compare(before, after);
    ADD_FAILURE() << "nothing was thrown; wanted: " << text;
  } catch (const twingrad::Error& error) {
    EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
  }
}

TEST(StepCompare, RefusesWhatCannotBeCompared) {
  const Json good = run(1, 1, 1);
  expect_refused(Json::object(), good, "first file is no result");
  expect_refused(good, Json(3), "second file is no result");
  Json other_machine = good;
  other_machine["machine"]["threads"] = 8;
  expect_refused(good, other_machine, "different machines (threads: 2 and 8)");
  Json with_gpu = good;
  with_gpu["machine"]["gpu"] = "one";
  expect_refused(good, with_gpu, "different machines (gpu: null and \"one\")");
  Json other_batch = good;
  other_batch["works"][0]["work"]["batch"] = 64;
  expect_refused(good, other_batch, "the work 'moons' differs");
  Json other_work = good;
  other_work["works"][0]["work"]["name"] = "digits";
  expect_refused(good, other_work, "in common");
  Json broken = good;
  broken["works"][0]["systems"][0].erase("name");
  expect_refused(broken, good, "not as expected");
}

}  // namespace
