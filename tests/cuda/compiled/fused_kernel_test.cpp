// Fused kernels on the device against the same parts one by one on it: the same bits, NaN counting as NaN, and nothing
// written beside the results.
#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/cuda/fused_fixture.h"
#include "tests/environment_variable.h"

namespace twingrad::cuda {
namespace {

TEST_F(FusedKernelTest, RandomChainsHaveTheBitsOfTheirParts) {
  const std::vector<Shape> shapes = {{1}, {7}, {1025}, {5, 8}, {5, 12}, {33, 7}, {3, 4, 16}, {2, 3, 1, 9}, {64, 64}};
  const std::vector<Dtype> dtypes = {f32, f32, f64, bf16, f16, i32, i64, u8, boolean};
  for (int chain = 0; chain < 18; ++chain) {
    const Shape& shape = shapes[static_cast<std::size_t>(chain) % shapes.size()];
    const Dtype dtype = dtypes[static_cast<std::size_t>(chain * 2 + chain / 9) % dtypes.size()];
    FusionBuilder builder;
    const std::size_t parts = 2 + below(9);
    while (builder.fusion().parts.size() < parts) {
      if (is_floating(dtype) && below(4) == 0) {
        add_random(builder, dtype, shape, static_cast<const formulas::UpdateFormulas*>(nullptr));
      } else {
        add_random(builder, dtype, shape, static_cast<const formulas::Formulas*>(nullptr));
      }
    }
    builder.fusion().parts.back().stored = true;
    const std::string what = "chain " + std::to_string(chain) + " of " + std::string(name(dtype));
    check(builder.fusion(), what);
    check(builder.fusion(), what + ", not aligned", 1);
  }
}

/// 2 x - y, stored, and its relu.
Fusion& small_chain(FusionBuilder& builder, Dtype dtype, const Shape& shape) {
  const TensorView x = view_of(dtype, shape);
  builder.add(formula_op<formulas::Mul>(), {x, view_of(dtype, shape, Dims::filled(shape.size(), 0))}, {-1, -1}, x,
              false);
  builder.add(formula_op<formulas::Sub>(), {x, x}, {0, -1}, x);
  builder.add(formula_op<formulas::Relu>(), {x}, {1}, x);
  return builder.fusion();
}

TEST_F(FusedKernelTest, SizesAroundVectorsAndBlocks) {
  for (const Dtype dtype : {f32, bf16}) {
    for (const std::int64_t n : {1, 2, 3, 4, 5, 7, 8, 9, 1023, 1024, 1025, 2047, 2048, 2049, 70001}) {
      FusionBuilder builder;
      check(small_chain(builder, dtype, {n}), std::to_string(n) + " elements");
    }
  }
}

TEST_F(FusedKernelTest, ResultsMayLieOnOperands) {
  for (const std::int64_t n : {1, 7, 1024, 70001}) {
    FusionBuilder builder;
    check(small_chain(builder, f32, {n}), std::to_string(n) + " elements", 0, true);
    FusionBuilder adam;
    const TensorView p = view_of(f32, {n});
    adam.add(formula_op<formulas::Accumulate>(), {p, p, view_of(f32, {2})}, {-1, -1, -1}, p);
    adam.add(formula_op<formulas::AccumulateSquare>(), {p, p, view_of(f32, {2})}, {-1, -1, -1}, p);
    adam.add(formula_op<formulas::Adam>(), {p, p, p, view_of(f32, {4})}, {-1, 0, 1, -1}, p);
    check(adam.fusion(), "Adam over " + std::to_string(n) + " elements", 0, true);
  }
}

TEST_F(FusedKernelTest, SeveralFusionsAtOnce) {
  for (const Dtype dtype : {f32, f16}) {
    std::vector<std::unique_ptr<FusionBuilder>> builders;
    std::vector<Fusion> fusions;
    for (const std::int64_t n : {1, 3000, 7, 1024, 1025, 256, 64}) {
      builders.push_back(std::make_unique<FusionBuilder>());
      const TensorView p = view_of(dtype, {n});
      builders.back()->add(formula_op<formulas::Accumulate>(), {p, p, view_of(dtype, {2})}, {-1, -1, -1}, p);
      builders.back()->add(formula_op<formulas::Sgd>(), {p, p, view_of(dtype, {1})}, {-1, 0, -1}, p);
      fusions.push_back(builders.back()->fusion());
    }
    std::unique_ptr<PreparedKernel> kernel = gpu_->merge(fusions);
    ASSERT_NE(kernel, nullptr);
    std::vector<Prepared> prepared;
    std::vector<void*> addresses;
    for (const Fusion& fusion : fusions) {
      prepared.push_back(run_apart(fusion, prepared.size() % 3, false));
      addresses.insert(addresses.end(), prepared.back().addresses.begin(), prepared.back().addresses.end());
    }
    kernel->run(addresses, std::source_location::current());
    for (std::size_t i = 0; i < fusions.size(); ++i) {
      compare(fusions[i], prepared[i], "fusion " + std::to_string(i));
    }
    free_all();
  }
}

/// A product of two operands, one broadcast, and a gradient through relu of it, with sums of both.
void add_summed_chain(FusionBuilder& builder, Dtype dtype, const Shape& shape, bool stored) {
  const TensorView x = view_of(dtype, shape);
  Strides row = contiguous_strides(shape);
  row[0] = 0;
  builder.add(formula_op<formulas::Mul>(), {x, view_of(dtype, shape, row)}, {-1, -1}, x, false);
  builder.add(formula_op<formulas::ReluGrad>(), {x, x}, {-1, 0}, x, stored);
}

/// With finite numbers, with NaN and infinities among them, off the alignment of vectors, and on an operand's memory.
class FusedSumsTest : public FusedKernelTest {
 protected:
  void check_all(const Fusion& fusion, const std::string& what) {
    for (const bool finite : {true, false}) {
      finite_ = finite;
      check(fusion, what);
    }
    finite_ = true;
    check(fusion, what + ", not aligned", 1);
    check(fusion, what + ", in place", 0, true);
  }
};

TEST_F(FusedSumsTest, ColumnsHaveTheBitsOfTheirKernels) {
  const std::vector<Shape> shapes = {{2, 2},    {2, 3},    {3, 31},   {100, 16}, {64, 10},  {33, 7},   {64, 128},
                                     {256, 33}, {257, 40}, {512, 13}, {682, 3},  {2, 4097}, {5, 2, 12}};
  for (const Dtype dtype : {f32, f64, bf16, f16}) {
    for (const Shape& shape : shapes) {
      FusionBuilder builder;
      add_summed_chain(builder, dtype, shape, true);
      const Axes axes = shape.size() == 3 ? Axes{0, 1} : Axes{0};
      builder.add_sum(Reduce::sum, 1, dtype, shape, axes);
      check_all(builder.fusion(), std::string(name(dtype)) + " " + to_string(shape));
    }
  }
}

TEST_F(FusedSumsTest, WholeSumsHaveTheBitsOfTheirKernels) {
  for (const Dtype dtype : {f32, f64, bf16, f16}) {
    for (const std::int64_t n : {1, 2, 7, 31, 32, 33, 100, 127, 129, 1000, 1024, 1025, 2048}) {
      for (const Reduce kind : {Reduce::sum, Reduce::mean}) {
        FusionBuilder builder;
        add_summed_chain(builder, dtype, {n}, kind == Reduce::sum);
        builder.add_sum(kind, 1, dtype, {n}, {0});
        check_all(builder.fusion(), std::string(name(dtype)) + " " + std::to_string(n));
      }
    }
  }
}

TEST_F(FusedSumsTest, SeveralSumsOfOneChain) {
  for (const Shape& shape : std::vector<Shape>{{64, 4}, {100, 1}, {7, 33}, {16, 64}}) {
    FusionBuilder builder;
    add_summed_chain(builder, f32, shape, true);
    builder.add_sum(Reduce::mean, 0, f32, shape, {0, 1});
    builder.add_sum(Reduce::sum, 1, f32, shape, {0});
    builder.add_sum(Reduce::mean, 1, f32, shape, {0});
    check_all(builder.fusion(), to_string(shape));
  }
}

TEST_F(FusedSumsTest, AreKeptFromChainsThatHaveNone) {
  // More than one block has room for: there is no such kernel, and the caller asks for the chain alone.
  FusionBuilder builder;
  add_summed_chain(builder, f32, {64, 256}, true);
  EXPECT_NE(gpu_->fuse(builder.fusion()), nullptr);
  builder.add_sum(Reduce::sum, 1, f32, {64, 256}, {0, 1});
  EXPECT_EQ(gpu_->fuse(builder.fusion()), nullptr);
}

TEST_F(FusedKernelTest, FusionsOfOtherTypesAreNotMerged) {
  FusionBuilder a;
  FusionBuilder b;
  const std::vector<Fusion> fusions = {small_chain(a, f32, {8}), small_chain(b, f64, {8})};
  EXPECT_EQ(gpu_->merge(fusions), nullptr);
}

TEST_F(FusedKernelTest, ProductsWithReluHaveTheBitsOfBoth) {
  Op product;
  product.name = "matmul";
  product.family = Family::matmul;
  for (const Dtype dtype : {f32, bf16, f16}) {
    for (const auto& [m, k, n] : std::vector<std::array<std::int64_t, 3>>{{32, 20, 16}, {100, 64, 64}, {1, 8, 8}}) {
      for (const bool with_bias : {false, true}) {
        FusionBuilder builder;
        std::vector<TensorView> inputs = {view_of(dtype, {m, k}), view_of(dtype, {k, n})};
        if (with_bias) {
          inputs.push_back(view_of(dtype, {n}));
        }
        builder.add(product, inputs, std::vector<int>(inputs.size(), -1), view_of(dtype, {m, n}), false);
        builder.add(formula_op<formulas::Relu>(), {view_of(dtype, {m, n})}, {0}, view_of(dtype, {m, n}));
        // Where the epilogue has other bits or is slower there is no kernel, and nothing to compare.
        if (gpu_->fuse(builder.fusion()) != nullptr) {
          check(builder.fusion(), std::string(name(dtype)) + (with_bias ? " with bias" : ""));
          check(builder.fusion(), std::string(name(dtype)) + ", not aligned", 1);
        }
      }
    }
  }
}

TEST_F(FusedKernelTest, WithoutNvrtcOnlyTheCommonChainsAreFused) {
  const tests::EnvironmentVariable off("TWINGRAD_NVRTC", "off");
  gpu_ = make_cuda_backend(0);
  EXPECT_NE(gpu_->description().find("common chains only: no NVRTC (TWINGRAD_NVRTC=off)"), std::string::npos)
      << gpu_->description();
  FusionBuilder rare;
  EXPECT_EQ(gpu_->fuse(small_chain(rare, f64, {8})), nullptr);
  FusionBuilder common;
  const TensorView p = view_of(f32, {9});
  common.add(formula_op<formulas::Accumulate>(), {p, p, view_of(f32, {2})}, {-1, -1, -1}, p);
  common.add(formula_op<formulas::Sgd>(), {p, p, view_of(f32, {1})}, {-1, 0, -1}, p);
  check(common.fusion(), "momentum");
}

TEST_F(FusedKernelTest, KernelsAreKeptOnDisk) {
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "twingrad_fused_kernel_test";
  std::filesystem::remove_all(folder);
  const tests::EnvironmentVariable cache("TWINGRAD_KERNEL_CACHE", folder.string());
  const auto files = [&] {
    std::vector<std::filesystem::path> paths;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      paths.push_back(entry.path());
    }
    return paths;
  };
  const auto run = [&] {
    gpu_ = make_cuda_backend(0);
    FusionBuilder builder;
    check(small_chain(builder, f32, {100}), "kept");
  };
  run();
  EXPECT_NE(gpu_->description().find("kernels kept on disk"), std::string::npos) << gpu_->description();
  ASSERT_EQ(files().size(), 1U);
  const auto written = std::filesystem::last_write_time(files()[0]);
  run();
  ASSERT_EQ(files().size(), 1U);
  EXPECT_EQ(std::filesystem::last_write_time(files()[0]), written) << "compiled again";
  const auto size = std::filesystem::file_size(files()[0]);
  std::filesystem::resize_file(files()[0], size / 2);
  run();
  ASSERT_EQ(files().size(), 1U);
  EXPECT_EQ(std::filesystem::file_size(files()[0]), size) << "a damaged file is written anew";
  std::filesystem::remove_all(folder);
}

TEST_F(FusedKernelTest, ProductsThatAreMeasuredStayRightAndAreRemembered) {
  const std::filesystem::path file = std::filesystem::path(testing::TempDir()) / "twingrad_product_choices.txt";
  std::filesystem::remove(file);
  const tests::EnvironmentVariable choices("TWINGRAD_PRODUCT_CHOICES", file.string());
  Op product;
  product.name = "matmul";
  product.family = Family::matmul;
  const auto result = [&](bool with_bias) {
    gpu_ = make_cuda_backend(0);
    EXPECT_NE(gpu_->description().find("choices in " + file.string()), std::string::npos) << gpu_->description();
    random_.seed(7);
    Block a = block(33 * 40 * 4, 0);
    Block b = block(40 * 24 * 4, 0);
    Block bias = block(24 * 4, 0);
    Block out = block(33 * 24 * 4, 0);
    for (Block* one : {&a, &b, &bias}) {
      for (std::size_t i = 0; i < one->bytes / 4; ++i) {
        const auto value = static_cast<float>(below(5)) - 2.0F;
        std::memcpy(one->host.data() + one->start + i * 4, &value, 4);
      }
      send(*one);
    }
    send(out);
    KernelCall call;
    call.op = &product;
    call.inputs = {view_of(f32, {33, 40}), view_of(f32, {40, 24})};
    call.inputs[0].data = a.data();
    call.inputs[1].data = b.data();
    if (with_bias) {
      call.inputs.push_back(view_of(f32, {24}));
      call.inputs[2].data = bias.data();
    }
    call.output = view_of(f32, {33, 24});
    call.output.data = out.data();
    gpu_->run(call);
    fetch(out);
    const auto at = [](const Block& one, std::size_t i) {
      float value;
      std::memcpy(&value, one.host.data() + one.start + i * 4, 4);
      return value;
    };
    for (std::size_t i = 0; i < 33; ++i) {
      for (std::size_t j = 0; j < 24; ++j) {
        float sum = with_bias ? at(bias, j) : 0.0F;
        for (std::size_t k = 0; k < 40; ++k) {
          sum += at(a, i * 40 + k) * at(b, k * 24 + j);
        }
        EXPECT_EQ(at(out, i * 24 + j), sum);
      }
    }
    free_all();
  };
  const auto content = [&] {
    std::ifstream stream(file);
    return std::string(std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>());
  };
  result(false);
  result(true);
  const std::string first = content();
  EXPECT_TRUE(first.starts_with("twingrad products 1\n")) << first;
  EXPECT_NE(first.find("float32 m 33 n 24 k 40"), std::string::npos) << first;
  EXPECT_NE(first.find("float32 bias m 33 n 24 k 40"), std::string::npos) << first;
  result(false);
  result(true);
  EXPECT_EQ(content(), first) << "measured again";
  std::ofstream(file) << "something else\n";
  EXPECT_THROW((void)make_cuda_backend(0), IoError);
  std::filesystem::remove(file);
}

}  // namespace
}  // namespace twingrad::cuda
