// Entry of the test binary. Says which devices there are, so that a log without GPU results cannot be mistaken for one
// with them. Exit status 77: every selected test was skipped; 1 also when a filter selects none.
#include <twingrad/device.h>

#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <string_view>

namespace {

constexpr int all_skipped = 77;

bool only_lists(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]).starts_with("--gtest_list_tests")) {
      return true;
    }
  }
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  const bool lists = only_lists(argc, argv);
  testing::InitGoogleTest(&argc, argv);
  if (lists) {
    return RUN_ALL_TESTS();
  }
  // Kernels that are compiled on the way do not get into the user's own cache.
  setenv("TWINGRAD_KERNEL_CACHE", (testing::TempDir() + "twingrad-kernels").c_str(), 0);
  const int gpus = twingrad::cuda_device_count();
#if defined(TWINGRAD_CUDA_IS_EMULATED)
  std::cout << "GPUs: 0, and " << gpus << " emulated: their kernels run as host code\n";
#else
  std::cout << "GPUs: " << gpus << (gpus == 0 ? " (tests that need one are skipped)" : "") << '\n';
#endif
  const int status = RUN_ALL_TESTS();
  const testing::UnitTest& tests = *testing::UnitTest::GetInstance();
  if (tests.test_to_run_count() == 0) {
    std::cerr << "no test matches the filter\n";
    return EXIT_FAILURE;
  }
  if (status == 0 && tests.skipped_test_count() == tests.test_to_run_count()) {
    return all_skipped;
  }
  return status;
}
