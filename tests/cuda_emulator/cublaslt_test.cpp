// The emulated cuBLASLt: right results by every algorithm, and refusals where the library refuses.
#include <cublasLt.h>

#include <cmath>
#include <random>

#include "tests/cuda_emulator/fixture.h"

namespace cuda_emulator {
namespace {

/// Descriptors of one float32 product, and its operands on the device.
struct Problem {
  std::int64_t m = 5, n = 7, k = 9, batch = 1;
  bool a_turned = false, b_turned = false;
  std::uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  cublasComputeType_t compute = CUBLAS_COMPUTE_32F;
  float alpha = 1.0F, beta = 0.0F;
};

class CublasLtTest : public EmulatorTest {
 protected:
  void SetUp() override {
    EmulatorTest::SetUp();
    ASSERT_EQ(cublasLtCreate(&handle_), CUBLAS_STATUS_SUCCESS);
    workspace_ = allocate<char>(workspace_bytes);
  }
  void TearDown() override {
    EXPECT_EQ(cublasLtDestroy(handle_), CUBLAS_STATUS_SUCCESS);
    EmulatorTest::TearDown();
  }

  std::vector<float> random(std::int64_t count) {
    std::normal_distribution<float> draw;
    std::vector<float> values(static_cast<std::size_t>(count));
    for (float& value : values) {
      value = draw(engine_);
    }
    return values;
  }

  template <class T>
  static void set(cublasLtMatmulDescOpaque_t& operation, cublasLtMatmulDescAttributes_t attribute, const T& value) {
    ASSERT_EQ(cublasLtMatmulDescSetAttribute(&operation, attribute, &value, sizeof value), CUBLAS_STATUS_SUCCESS);
  }
  static void set_batch(cublasLtMatrixLayoutOpaque_t& layout, std::int64_t batch, std::int64_t stride) {
    const auto count = static_cast<std::int32_t>(batch);
    ASSERT_EQ(cublasLtMatrixLayoutSetAttribute(&layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count),
              CUBLAS_STATUS_SUCCESS);
    ASSERT_EQ(
        cublasLtMatrixLayoutSetAttribute(&layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride, sizeof stride),
        CUBLAS_STATUS_SUCCESS);
  }

  void describe(const Problem& problem) {
    p_ = problem;
    cublasLtMatmulDescInit(&operation_, p_.compute, CUDA_R_32F);
    const std::int32_t turned_a = p_.a_turned ? CUBLAS_OP_T : CUBLAS_OP_N;
    const std::int32_t turned_b = p_.b_turned ? CUBLAS_OP_T : CUBLAS_OP_N;
    set(operation_, CUBLASLT_MATMUL_DESC_TRANSA, turned_a);
    set(operation_, CUBLASLT_MATMUL_DESC_TRANSB, turned_b);
    set(operation_, CUBLASLT_MATMUL_DESC_EPILOGUE, p_.epilogue);
    const auto layout = [&](cublasLtMatrixLayoutOpaque_t& into, std::int64_t rows, std::int64_t columns) {
      cublasLtMatrixLayoutInit(&into, CUDA_R_32F, static_cast<std::uint64_t>(rows), static_cast<std::uint64_t>(columns),
                               rows);
      set_batch(into, p_.batch, rows * columns);
    };
    layout(a_layout_, p_.a_turned ? p_.k : p_.m, p_.a_turned ? p_.m : p_.k);
    layout(b_layout_, p_.b_turned ? p_.n : p_.k, p_.b_turned ? p_.k : p_.n);
    layout(d_layout_, p_.m, p_.n);
    a_values_ = random(p_.batch * p_.m * p_.k);
    b_values_ = random(p_.batch * p_.k * p_.n);
    c_values_ = random(p_.batch * p_.m * p_.n);
    bias_values_ = random(std::max(p_.m, p_.n));
    a_ = upload(a_values_);
    b_ = upload(b_values_);
    c_ = upload(c_values_);
    d_ = allocate<float>(c_values_.size());
    bias_ = upload(bias_values_);
    mask_ = upload(std::vector<unsigned char>(static_cast<std::size_t>(p_.n) * 128 / 8));
    if (p_.epilogue != CUBLASLT_EPILOGUE_DEFAULT) {
      const void* bias = bias_;
      void* mask = mask_;
      set(operation_, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
      set(operation_, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, mask);
      set(operation_, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, std::int64_t{128});
    }
    cublasLtMatmulPreferenceInit(&preference_);
    const std::uint64_t bytes = workspace_bytes;
    cublasLtMatmulPreferenceSetAttribute(&preference_, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes, sizeof bytes);
  }

  std::vector<cublasLtMatmulHeuristicResult_t> algorithms(cublasStatus_t expected = CUBLAS_STATUS_SUCCESS) {
    std::vector<cublasLtMatmulHeuristicResult_t> results(8);
    int found = 0;
    EXPECT_EQ(cublasLtMatmulAlgoGetHeuristic(handle_, &operation_, &a_layout_, &b_layout_, &d_layout_, &d_layout_,
                                             &preference_, 8, results.data(), &found),
              expected);
    results.resize(static_cast<std::size_t>(found));
    return results;
  }
  cublasStatus_t run(const cublasLtMatmulAlgo_t* algorithm) {
    return cublasLtMatmul(handle_, &operation_, &p_.alpha, a_, &a_layout_, b_, &b_layout_, &p_.beta, c_, &d_layout_, d_,
                          &d_layout_, algorithm, workspace_, workspace_bytes, nullptr);
  }
  std::vector<float> result() { return download(d_, c_values_.size()); }

  /// alpha op(a) op(b) + beta c at (i, j), in float64, and the sum of its terms' magnitudes.
  std::pair<double, double> expected(std::int64_t batch, std::int64_t i, std::int64_t j) const {
    double sum = 0.0;
    double magnitude = 0.0;
    for (std::int64_t l = 0; l < p_.k; ++l) {
      const double x =
          a_values_[static_cast<std::size_t>(batch * p_.m * p_.k + (p_.a_turned ? i * p_.k + l : l * p_.m + i))];
      const double y =
          b_values_[static_cast<std::size_t>(batch * p_.k * p_.n + (p_.b_turned ? l * p_.n + j : j * p_.k + l))];
      sum += x * y;
      magnitude += std::fabs(x * y);
    }
    const double c = c_values_[static_cast<std::size_t>(batch * p_.m * p_.n + j * p_.m + i)];
    return {p_.alpha * sum + p_.beta * c, std::fabs(p_.alpha) * magnitude + std::fabs(p_.beta * c)};
  }
  /// Checks every element, after `change`, to what so many roundings of relative size `unit` may do.
  template <class Change>
  void expect_result(double unit, const Change& change) {
    const std::vector<float> found = result();
    for (std::int64_t batch = 0; batch < p_.batch; ++batch) {
      for (std::int64_t j = 0; j < p_.n; ++j) {
        for (std::int64_t i = 0; i < p_.m; ++i) {
          const auto [sum, magnitude] = expected(batch, i, j);
          const double bias = std::fabs(bias_values_[static_cast<std::size_t>(i)]);
          const double bound = unit * static_cast<double>(p_.k + 4) * (magnitude + bias);
          ASSERT_NEAR(found[static_cast<std::size_t>((batch * p_.n + j) * p_.m + i)], change(sum, i, j), bound)
              << "batch " << batch << ", element " << i << ", " << j;
        }
      }
    }
  }

  static constexpr std::size_t workspace_bytes = 1 << 20;
  static constexpr double float_unit = 0x1p-24;

  std::mt19937 engine_{1};
  cublasLtHandle_t handle_ = nullptr;
  char* workspace_ = nullptr;
  Problem p_;
  cublasLtMatmulDescOpaque_t operation_{};
  cublasLtMatrixLayoutOpaque_t a_layout_{}, b_layout_{}, d_layout_{};
  cublasLtMatmulPreferenceOpaque_t preference_{};
  std::vector<float> a_values_, b_values_, c_values_, bias_values_;
  float *a_ = nullptr, *b_ = nullptr, *c_ = nullptr, *d_ = nullptr, *bias_ = nullptr;
  unsigned char* mask_ = nullptr;
};

TEST_F(CublasLtTest, EveryAlgorithmMultiplies) {
  for (const bool a_turned : {false, true}) {
    for (const bool b_turned : {false, true}) {
      for (const std::int64_t batch : {1, 3}) {
        describe({.m = 8, .n = 12, .k = 20, .batch = batch, .a_turned = a_turned, .b_turned = b_turned});
        const auto found = algorithms();
        ASSERT_EQ(found.size(), 3U);
        for (const auto& one : found) {
          ASSERT_EQ(run(&one.algo), CUBLAS_STATUS_SUCCESS);
          expect_result(float_unit, [](double sum, auto, auto) { return sum; });
        }
      }
    }
  }
}

TEST_F(CublasLtTest, AlgorithmsDifferInTheLastBits) {
  describe({.m = 16, .n = 16, .k = 512});
  std::vector<std::vector<float>> results;
  for (const auto& one : algorithms()) {
    ASSERT_EQ(run(&one.algo), CUBLAS_STATUS_SUCCESS);
    results.push_back(result());
  }
  ASSERT_EQ(results.size(), 3U);
  EXPECT_NE(results[0], results[1]);
  EXPECT_NE(results[0], results[2]);
  EXPECT_NE(results[1], results[2]);
}

TEST_F(CublasLtTest, ScalesAndAdds) {
  describe({.alpha = 2.5F, .beta = -0.5F});
  ASSERT_EQ(run(nullptr), CUBLAS_STATUS_SUCCESS);
  expect_result(float_unit, [](double sum, auto, auto) { return sum; });
}

TEST_F(CublasLtTest, RoundsToTf32WhenAsked) {
  describe({.m = 1, .n = 1, .k = 1, .compute = CUBLAS_COMPUTE_32F_FAST_TF32});
  for (const auto& [value, rounded] :
       {std::pair{1.0F + 0x1p-10F, 1.0F + 0x1p-10F}, std::pair{1.0F + 0x1p-11F, 1.0F + 0x1p-10F},
        std::pair{1.0F + 0x1p-12F, 1.0F}, std::pair{-1.0F - 0x1p-11F, -1.0F - 0x1p-10F}}) {
    a_ = upload(std::vector<float>{value});
    b_ = upload(std::vector<float>{1.0F});
    ASSERT_EQ(run(nullptr), CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(result()[0], rounded);
  }
}

TEST_F(CublasLtTest, EpiloguesOfTheForwardPass) {
  const auto bias = [&](auto i) { return static_cast<double>(bias_values_[static_cast<std::size_t>(i)]); };
  const auto relu = [](double x) { return x > 0.0 ? x : 0.0; };
  describe({.epilogue = CUBLASLT_EPILOGUE_BIAS});
  ASSERT_EQ(run(nullptr), CUBLAS_STATUS_SUCCESS);
  expect_result(float_unit, [&](double sum, auto i, auto) { return sum + bias(i); });
  describe({.epilogue = CUBLASLT_EPILOGUE_RELU});
  ASSERT_EQ(run(nullptr), CUBLAS_STATUS_SUCCESS);
  expect_result(float_unit, [&](double sum, auto, auto) { return relu(sum); });
  describe({.epilogue = CUBLASLT_EPILOGUE_RELU_AUX_BIAS});
  ASSERT_EQ(run(nullptr), CUBLAS_STATUS_SUCCESS);
  expect_result(float_unit, [&](double sum, auto i, auto) { return relu(sum + bias(i)); });
  const std::vector<unsigned char> mask = download(mask_, static_cast<std::size_t>(p_.n) * 16);
  const std::vector<float> found = result();
  for (std::int64_t j = 0; j < p_.n; ++j) {
    for (std::int64_t i = 0; i < p_.m; ++i) {
      const bool set = (mask[static_cast<std::size_t>(j * 16 + i / 8)] >> (i % 8) & 1) != 0;
      EXPECT_EQ(set, found[static_cast<std::size_t>(j * p_.m + i)] > 0.0F);
    }
  }
}

TEST_F(CublasLtTest, EpiloguesOfTheBackwardPass) {
  describe({.epilogue = CUBLASLT_EPILOGUE_DRELU_BGRAD});
  const auto bit = [&](auto i, auto j) { return (i + 2 * j) % 3 == 0; };
  std::vector<unsigned char> mask(static_cast<std::size_t>(p_.n) * 16);
  for (std::int64_t j = 0; j < p_.n; ++j) {
    for (std::int64_t i = 0; i < p_.m; ++i) {
      mask[static_cast<std::size_t>(j * 16 + i / 8)] |= static_cast<unsigned char>(bit(i, j) << (i % 8));
    }
  }
  ASSERT_EQ(cudaMemcpy(mask_, mask.data(), mask.size(), cudaMemcpyHostToDevice), cudaSuccess);
  ASSERT_EQ(run(nullptr), CUBLAS_STATUS_SUCCESS);
  expect_result(float_unit, [&](double sum, auto i, auto j) { return bit(i, j) ? sum : 0.0; });
  std::vector<float> gradient = download(bias_, static_cast<std::size_t>(p_.m));
  for (std::int64_t i = 0; i < p_.m; ++i) {
    double sum = 0.0;
    double magnitude = 0.0;
    for (std::int64_t j = 0; j < p_.n; ++j) {
      sum += bit(i, j) ? expected(0, i, j).first : 0.0;
      magnitude += expected(0, i, j).second;
    }
    EXPECT_NEAR(gradient[static_cast<std::size_t>(i)], sum, float_unit * static_cast<double>(p_.k + p_.n) * magnitude);
  }

  describe({.epilogue = CUBLASLT_EPILOGUE_BGRADB});
  ASSERT_EQ(run(nullptr), CUBLAS_STATUS_SUCCESS);
  expect_result(float_unit, [](double sum, auto, auto) { return sum; });
  gradient = download(bias_, static_cast<std::size_t>(p_.n));
  for (std::int64_t j = 0; j < p_.n; ++j) {
    double sum = 0.0;
    for (std::int64_t l = 0; l < p_.k; ++l) {
      sum += b_values_[static_cast<std::size_t>(j * p_.k + l)];
    }
    EXPECT_NEAR(gradient[static_cast<std::size_t>(j)], sum, 1e-5);
  }

  describe({.epilogue = CUBLASLT_EPILOGUE_BGRADA});
  ASSERT_EQ(run(nullptr), CUBLAS_STATUS_SUCCESS);
  gradient = download(bias_, static_cast<std::size_t>(p_.m));
  for (std::int64_t i = 0; i < p_.m; ++i) {
    double sum = 0.0;
    for (std::int64_t l = 0; l < p_.k; ++l) {
      sum += a_values_[static_cast<std::size_t>(l * p_.m + i)];
    }
    EXPECT_NEAR(gradient[static_cast<std::size_t>(i)], sum, 1e-5);
  }
}

TEST_F(CublasLtTest, RefusesWhatTheLibraryDoesNotSupport) {
  describe({});
  // An epilogue of float64.
  cublasLtMatmulDescInit(&operation_, CUBLAS_COMPUTE_64F, CUDA_R_64F);
  for (cublasLtMatrixLayoutOpaque_t* layout : {&a_layout_, &b_layout_, &d_layout_}) {
    const std::int32_t type = CUDA_R_64F;
    cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_TYPE, &type, sizeof type);
  }
  EXPECT_FALSE(algorithms().empty());
  const void* bias = bias_;
  set(operation_, CUBLASLT_MATMUL_DESC_EPILOGUE, std::uint32_t{CUBLASLT_EPILOGUE_BIAS});
  set(operation_, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  algorithms(CUBLAS_STATUS_NOT_SUPPORTED);
  // Float32 memory summed in float64.
  describe({});
  set(operation_, CUBLASLT_MATMUL_DESC_COMPUTE_TYPE, std::int32_t{CUBLAS_COMPUTE_64F});
  algorithms(CUBLAS_STATUS_NOT_SUPPORTED);
  // A bias that is not aligned, and one that is missing.
  describe({.epilogue = CUBLASLT_EPILOGUE_BIAS});
  bias = bias_ + 1;
  set(operation_, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  algorithms(CUBLAS_STATUS_NOT_SUPPORTED);
  bias = nullptr;
  set(operation_, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  algorithms(CUBLAS_STATUS_INVALID_VALUE);
  // A mask whose columns do not begin at 16 bytes.
  describe({.epilogue = CUBLASLT_EPILOGUE_RELU_AUX});
  set(operation_, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, std::int64_t{64});
  algorithms(CUBLAS_STATUS_INVALID_VALUE);
  // Sizes that do not fit.
  describe({});
  cublasLtMatrixLayoutInit(&b_layout_, CUDA_R_32F, 8, 7, 8);
  algorithms(CUBLAS_STATUS_INVALID_VALUE);
  // An attribute of the wrong size.
  const std::int32_t narrow = 5;
  EXPECT_EQ(cublasLtMatrixLayoutSetAttribute(&a_layout_, CUBLASLT_MATRIX_LAYOUT_LD, &narrow, sizeof narrow),
            CUBLAS_STATUS_INVALID_VALUE);
}

TEST_F(CublasLtTest, OffersOnlyWhatAlignmentAndWorkspaceAllow) {
  describe({.m = 8, .n = 8, .k = 8});
  EXPECT_EQ(algorithms().size(), 3U);
  const std::uint32_t four = 4;
  cublasLtMatmulPreferenceSetAttribute(&preference_, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &four, sizeof four);
  EXPECT_EQ(algorithms().size(), 2U);
  const std::uint64_t none = 0;
  cublasLtMatmulPreferenceSetAttribute(&preference_, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &none, sizeof none);
  EXPECT_EQ(algorithms().size(), 1U);
}

TEST_F(CublasLtTest, RefusesMemoryThatAGpuCouldNotUse) {
  describe({.m = 8, .n = 8, .k = 8});
  const auto found = algorithms();
  const auto expect_refused = [&](const cublasLtMatmulAlgo_t* algorithm) {
    EXPECT_EQ(run(algorithm), CUBLAS_STATUS_INVALID_VALUE);
  };
  float* const a = a_;
  a_ = a + 1;  // beyond its end, and the first algorithm asked for 16 bytes
  expect_refused(&found[0].algo);
  expect_refused(nullptr);
  std::vector<float> host(64);
  a_ = host.data();
  expect_refused(nullptr);
  a_ = a;
  char* const workspace = workspace_;
  workspace_ = workspace + 128;
  expect_refused(&found[1].algo);
  workspace_ = nullptr;
  expect_refused(&found[1].algo);
  workspace_ = workspace;
  const cublasLtMatmulAlgo_t never_chosen{};
  expect_refused(&never_chosen);
  EXPECT_EQ(run(&found[1].algo), CUBLAS_STATUS_SUCCESS);
}

}  // namespace
}  // namespace cuda_emulator
