// The driver's side of the protocol: children that answer, that are silent, that end, that cannot be started.
#include <gtest/gtest.h>
#include <twingrad/error.h>

#include <chrono>

#include "bench/step/process.h"

namespace {

using stepbench::Process;

constexpr double patience = 20;

TEST(StepProcess, AnswersLineByLineAndSeesItsEnvironment) {
  Process child({"sh", "-c", "while read line; do echo \"$line and $COLOUR\"; done"}, {{"COLOUR", "green"}},
                "/dev/null");
  EXPECT_EQ(child.ask("blue", patience), "blue and green");
  EXPECT_EQ(child.ask("red", patience), "red and green");
  EXPECT_GT(child.peak_memory(), 0);
}

TEST(StepProcess, IsSilentWhilePausedAndGoesOnWhenResumed) {
  Process child({"cat"}, {}, "/dev/null");
  child.pause();
  EXPECT_THROW(child.ask("hello", 0.3), twingrad::IoError);
  child.resume();
  EXPECT_EQ(child.read_line(patience), "hello");
}

TEST(StepProcess, SaysHowAChildFailed) {
  const std::string log = testing::TempDir() + "step_process.log";
  Process child({"sh", "-c", "echo no such module >&2; exit 3"}, {}, log);
  try {
    child.read_line(patience);
    ADD_FAILURE() << "nothing was thrown";
  } catch (const twingrad::IoError& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("ended without an answer"), std::string::npos) << text;
    EXPECT_NE(text.find("no such module"), std::string::npos) << text;
  }
}

TEST(StepProcess, AProgramThatIsNotThereIsAnError) {
  EXPECT_THROW(Process({"/nonexistent/program"}, {}, "/dev/null"), twingrad::IoError);
}

TEST(StepProcess, EndsChildrenThatDoNotListen) {
  const auto start = std::chrono::steady_clock::now();
  { Process child({"sleep", "1000"}, {}, "/dev/null"); }
  EXPECT_LT(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), 15);
}

}  // namespace
