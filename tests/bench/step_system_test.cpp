// Our own system of the training-step benchmark, on every device: what it tells of a turn.
#include <gtest/gtest.h>
#include <omp.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>

#include "bench/step/work.h"
#include "bench/systems/twingrad_step.h"
#include "tests/devices.h"

namespace twingrad::tests {
namespace {

class StepSystem : public DeviceTest {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "stepsystem-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    DeviceTest::SetUp();
  }
  void TearDown() override {
    std::filesystem::remove_all(folder_);
    omp_set_num_threads(threads_);
    set_capture(captures_);
  }

  bench::Arguments arguments(const std::string& mode, const std::string& loss) const {
    const stepbench::Work work{.name = "small", .sizes = {3, 5, 1}, .batch = 8, .batches = 2, .loss = loss};
    stepbench::write_work(work, folder_ + "/work.json");
    stepbench::write_data(work, folder_ + "/data.safetensors");
    return {.work = bench::read_work(folder_ + "/work.json"),
            .data = folder_ + "/data.safetensors",
            .mode = mode,
            .threads = 1,
            .device = device().kind() == DeviceKind::cuda ? "cuda" : "cpu"};
  }
  std::string folder_;
  // What a system, or a test, changes for the whole program.
  int threads_ = omp_get_max_threads();
  bool captures_ = capture();
};
// The benchmark takes devices by name, which the fake one has not.
INSTANTIATE_TEST_SUITE_P(Devices, StepSystem, testing::Values(Device::cpu(), Device::cuda(0)),
                         [](const auto& device) { return device_label(device.param); });

TEST_P(StepSystem, TellsKernelsAndOnAGpuTheDevicesTime) {
  for (const char* mode : {"plain", "compile"}) {
    bench::TwingradStep system(arguments(mode, "mse"));
    const nlohmann::json answer = bench::run_steps(system, 30);
    EXPECT_EQ(answer.at("steps"), 30);
    const auto kernels = answer.at("kernels").get<std::uint64_t>();
    EXPECT_EQ(kernels % 30, 0U) << mode << ": as many in each step";
    EXPECT_GE(kernels / 30, 5U) << mode << ": three products, a gradient of relu and an update at least";
    EXPECT_LE(kernels / 30, 60U) << mode;
    ASSERT_EQ(answer.contains("device_seconds"), device().kind() == DeviceKind::cuda);
    if (device().kind() == DeviceKind::cuda) {
      const double seconds = answer.at("device_seconds");
      EXPECT_TRUE(std::isfinite(seconds));
      EXPECT_GT(seconds, 0);
    }
  }
}

TEST_P(StepSystem, ReplaysCountTheKernelsThatTheyReplay) {
  bench::TwingradStep replayed(arguments("compile", "mse"));
  const nlohmann::json before = bench::run_steps(replayed, 20);
  set_capture(false);
  bench::TwingradStep single(arguments("compile", "mse"));
  const nlohmann::json after = bench::run_steps(single, 20);
  EXPECT_EQ(before.at("kernels"), after.at("kernels"));
}

TEST_P(StepSystem, TheLossCanBeReadInEveryStep) {
  bench::TwingradStep system(arguments("compile", "binary_cross_entropy"));
  const nlohmann::json answer = bench::read_steps(system, 7);
  EXPECT_EQ(answer.at("steps"), 7);
  EXPECT_GT(answer.at("seconds").get<double>(), 0);
}

}  // namespace
}  // namespace twingrad::tests
