// Kernels that are compiled while the program runs: the way through NVRTC and cudaLibraryLoadData().
#include <nvrtc.h>

#include <string>

#include "tests/cuda_emulator/fixture.h"

namespace cuda_emulator {
namespace {

constexpr const char* header = "template <class T> __device__ T twice(T x) { return x + x; }\n";
constexpr const char* header_name = "parts/twice.h";
constexpr const char* text = R"(
#include "parts/twice.h"
extern "C" __global__ void __launch_bounds__(64) reversed_twice(const float* x, float* out, int count) {
  __shared__ float shared[64];
  const int i = static_cast<int>(threadIdx.x);
  shared[i] = i < count ? twice(x[i]) : 0.0f;
  __syncthreads();
  if (i < count) {
    out[i] = shared[count - 1 - i];
  }
}
)";

class LibraryTest : public EmulatorTest {
 protected:
  struct Outcome {
    nvrtcResult result;
    std::string log, image;
  };
  static Outcome compile(const std::string& source,
                         std::vector<const char*> options = {"--gpu-architecture=sm_90", "--std=c++20"}) {
    Outcome outcome{};
    nvrtcProgram program = nullptr;
    EXPECT_EQ(nvrtcCreateProgram(&program, source.c_str(), "test.cu", 1, &header, &header_name), NVRTC_SUCCESS);
    outcome.result = nvrtcCompileProgram(program, static_cast<int>(options.size()), options.data());
    std::size_t bytes = 0;
    EXPECT_EQ(nvrtcGetProgramLogSize(program, &bytes), NVRTC_SUCCESS);
    outcome.log.resize(bytes);
    EXPECT_EQ(nvrtcGetProgramLog(program, outcome.log.data()), NVRTC_SUCCESS);
    if (outcome.result == NVRTC_SUCCESS) {
      EXPECT_EQ(nvrtcGetCUBINSize(program, &bytes), NVRTC_SUCCESS);
      outcome.image.resize(bytes);
      EXPECT_EQ(nvrtcGetCUBIN(program, outcome.image.data()), NVRTC_SUCCESS);
    }
    EXPECT_EQ(nvrtcDestroyProgram(&program), NVRTC_SUCCESS);
    return outcome;
  }
  static cudaError_t load(cudaLibrary_t* library, const std::string& image) {
    return cudaLibraryLoadData(library, image.data(), nullptr, nullptr, 0, nullptr, nullptr, 0);
  }
};

TEST_F(LibraryTest, CompilesLoadsAndLaunches) {
  const Outcome outcome = compile(text);
  ASSERT_EQ(outcome.result, NVRTC_SUCCESS) << outcome.log;
  cudaLibrary_t library = nullptr;
  cudaKernel_t kernel = nullptr;
  ASSERT_EQ(load(&library, outcome.image), cudaSuccess);
  EXPECT_EQ(cudaLibraryGetKernel(&kernel, library, "no_such_kernel"), cudaErrorSymbolNotFound);
  ASSERT_EQ(cudaLibraryGetKernel(&kernel, library, "reversed_twice"), cudaSuccess);
  const float* x = upload(std::vector<float>{1, 2, 3, 4, 5});
  float* out = allocate<float>(5);
  int count = 5;
  void* arguments[] = {&x, &out, &count};
  const auto* function = reinterpret_cast<const void*>(kernel);
  EXPECT_EQ(cudaLaunchKernel(function, dim3(1), dim3(64), arguments, 0, nullptr), cudaSuccess);
  count = 0;
  EXPECT_EQ(cudaLibraryUnload(library), cudaSuccess);
  EXPECT_EQ(download(out, 5), (std::vector<float>{10, 8, 6, 4, 2}));
  EXPECT_EQ(cudaLaunchKernel(function, dim3(1), dim3(64), arguments, 0, nullptr), cudaErrorInvalidDeviceFunction);
  EXPECT_EQ(cudaLibraryUnload(library), cudaErrorInvalidValue);
}

TEST_F(LibraryTest, CompilesTheSameTextOnce) {
  const Outcome first = compile(text);
  const std::uint64_t before = counters().compilations;
  const Outcome second = compile(text);
  EXPECT_EQ(counters().compilations, before);
  EXPECT_EQ(first.image, second.image);
}

TEST_F(LibraryTest, SaysWhatDoesNotCompile) {
  const Outcome outcome = compile("extern \"C\" __global__ void wrong() { undeclared(); }");
  EXPECT_EQ(outcome.result, NVRTC_ERROR_COMPILATION);
  EXPECT_NE(outcome.log.find("undeclared"), std::string::npos) << outcome.log;
  EXPECT_NE(outcome.log.find("test.cu:1"), std::string::npos) << outcome.log;
}

TEST_F(LibraryTest, HasNoHeadersOfTheHost) {
  EXPECT_EQ(compile("#include <vector>\nextern \"C\" __global__ void k() {}").result, NVRTC_ERROR_COMPILATION);
}

TEST_F(LibraryTest, RefusesWhatItDoesNotKnow) {
  EXPECT_EQ(compile(text, {"--gpu-architecture=sm_1"}).result, NVRTC_ERROR_INVALID_OPTION);
  EXPECT_EQ(compile(text, {"--make-it-fast"}).result, NVRTC_ERROR_INVALID_OPTION);
  cudaLibrary_t library = nullptr;
  EXPECT_EQ(load(&library, std::string(64, 'x')), cudaErrorInvalidKernelImage);
}

}  // namespace
}  // namespace cuda_emulator
