// Tier 0 of products: which precision they really have. Devices that round more than they declare are found out.
#include <gtest/gtest.h>
#include <twingrad/backend.h>
#include <twingrad/check/ops.h>
#include <twingrad/check/product_bits.h>
#include <twingrad/check/subject.h>
#include <twingrad/error.h>
#include <twingrad/kernels.h>

#include <array>
#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/cpu_forwarding_backend.h"
#include "tests/devices.h"

namespace twingrad::check {
namespace {

/// The CPU with products that a test replaces: TF32 where it is asked for, and whatever else goes wrong.
class ProductBackend final : public tests::CpuForwardingBackend {
 public:
  /// How many bits of its operands a product reads; 0: all.
  using Bits = std::function<int(const KernelCall&)>;
  explicit ProductBackend(Bits bits) : bits_(std::move(bits)) {}

  std::string description() const override { return "the CPU with products of fewer bits"; }
  void run(const KernelCall& call) override {
    if (call.op->family != Family::matmul) {
      return cpu_->run(call);
    }
    KernelCall plain = call;
    plain.attributes = {};
    const int bits = bits_(call);
    std::array<std::vector<double>, 2> kept;
    for (std::size_t i = 0; bits != 0 && i < kept.size(); ++i) {
      kept[i] = shorten(call.inputs[i], bits);
    }
    cpu_->run(plain);
    for (std::size_t i = 0; bits != 0 && i < kept.size(); ++i) {
      put(call.inputs[i], kept[i]);
    }
  }
  ErrorModel error_model(const KernelCall& call) const override {
    ErrorModel model = cpu_->error_model(call);
    if (call.op->family == Family::matmul && call.output.dtype == Dtype::f32 && !call.attributes.ints.empty()) {
      model.operand_bits = static_cast<int>(call.attributes.ints[0]);
    }
    return model;
  }

 private:
  template <class Function>
  static void each(const TensorView& view, const Function& function) {
    Dims index = Dims::filled(view.shape.size(), 0);
    for (std::int64_t i = 0; i < view.numel(); ++i) {
      std::int64_t at = 0;
      for (int axis = 0; axis < view.shape.size(); ++axis) {
        at += index[axis] * view.strides[axis];
      }
      visit(view.dtype, [&]<class T>(Type<T>) {
        if constexpr (std::is_floating_point_v<compute_t<T>>) {
          function(view.as<T>()[at], static_cast<std::size_t>(i));
        }
      });
      for (int axis = view.shape.size() - 1; axis >= 0 && ++index[axis] == view.shape[axis]; --axis) {
        index[axis] = 0;
      }
    }
  }
  template <class T>
  static T cast_to(double x) {
    return static_cast<T>(static_cast<compute_t<T>>(x));
  }
  /// Rounds the operand in place, ties to even; gives what it held.
  static std::vector<double> shorten(const TensorView& view, int bits) {
    std::vector<double> before(static_cast<std::size_t>(view.numel()));
    each(view, [&](auto& element, std::size_t i) {
      before[i] = static_cast<double>(static_cast<compute_t<std::decay_t<decltype(element)>>>(element));
    });
    each(view, [&](auto& element, std::size_t i) {
      int exponent = 0;
      const double mantissa = std::frexp(before[i], &exponent);
      element = cast_to<std::decay_t<decltype(element)>>(
          std::ldexp(std::nearbyint(std::ldexp(mantissa, bits)), exponent - bits));
    });
    return before;
  }
  static void put(const TensorView& view, const std::vector<double>& values) {
    each(view, [&](auto& element, std::size_t i) { element = cast_to<std::decay_t<decltype(element)>>(values[i]); });
  }

  Bits bits_;
};

bool asks_for_tf32(const KernelCall& call) {
  return call.output.dtype == Dtype::f32 && !call.attributes.ints.empty();
}

Device device_with(ProductBackend::Bits bits) {
  return register_backend(std::make_unique<ProductBackend>(std::move(bits)));
}

Device tf32_device() {
  static const Device device = device_with([](const KernelCall& call) { return asks_for_tf32(call) ? 11 : 0; });
  return device;
}

TEST(ProductBitsTest, TheCpuReadsWhatItDeclares) {
  const std::vector<ProductBits> found = product_bits(Device::cpu());
  ASSERT_EQ(found.size(), 4U);
  const std::vector<std::pair<Precision, int>> expected = {
      {Precision::fp32, 24}, {Precision::tf32, 0}, {Precision::mixed_bf16, 8}, {Precision::mixed_fp16, 11}};
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i].precision, expected[i].first);
    EXPECT_EQ(found[i].read_of_a, expected[i].second);
    EXPECT_EQ(found[i].read_of_b, expected[i].second);
    EXPECT_TRUE(found[i].agrees()) << to_string(found[i]);
  }
  EXPECT_NE(found[1].missing.find("the CPU has no TF32"), std::string::npos);
}

class ProductBitsDeviceTest : public tests::DeviceTest {};
INSTANTIATE_ON_DEVICES(ProductBitsDeviceTest);

TEST_P(ProductBitsDeviceTest, EveryDeviceReadsWhatItDeclares) {
  for (const ProductBits& found : product_bits(device())) {
    EXPECT_TRUE(found.agrees()) << to_string(found);
    if (found.precision == Precision::fp32) {
      EXPECT_EQ(found.declared, 24);
    }
  }
}

TEST(ProductBitsTest, Tf32IsToldFromFloat32) {
  const std::vector<ProductBits> found = product_bits(tf32_device());
  EXPECT_EQ(found[0].read_of_a, 24);
  EXPECT_EQ(found[1].declared, 11);
  EXPECT_EQ(found[1].read_of_a, 11);
  EXPECT_EQ(found[1].read_of_b, 11);
  for (const ProductBits& products : found) {
    EXPECT_TRUE(products.agrees()) << to_string(products);
  }
}

TEST(ProductBitsTest, Tf32InPlaceOfFloat32IsFound) {
  const auto found =
      product_bits(device_with([](const KernelCall& call) { return call.output.dtype == Dtype::f32 ? 11 : 0; }));
  EXPECT_EQ(found[0].read_of_a, 11);
  EXPECT_GT(found[0].wrong_products, 0);
  EXPECT_FALSE(found[0].agrees());
  EXPECT_NE(to_string(found[0]).find("reads 11 bits (24 declared)"), std::string::npos) << to_string(found[0]);
  EXPECT_TRUE(found[1].agrees());
}

TEST(ProductBitsTest, Bfloat16InPlaceOfOthersIsFound) {
  const auto found =
      product_bits(device_with([](const KernelCall& call) { return call.output.dtype == Dtype::f64 ? 0 : 8; }));
  EXPECT_FALSE(found[0].agrees());
  EXPECT_FALSE(found[1].agrees());
  EXPECT_TRUE(found[2].agrees());
  EXPECT_FALSE(found[3].agrees());
  EXPECT_EQ(found[3].read_of_a, 8);
}

TEST(ProductBitsTest, SumsAreSeenAsFarAsTheResultShowsThem) {
  const std::vector<ProductBits> found = product_bits(tf32_device());
  const std::vector<int> expected = {24, 24, 16, 19};
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(found[i].sum_bits, expected[i]);
    EXPECT_NE(to_string(found[i]).find("sums keep " + std::to_string(expected[i]) + " bits"), std::string::npos)
        << to_string(found[i]);
  }
}

/// Products of `dtype` fail, those in TF32 or the others.
Device failing_device(Dtype dtype, bool tf32) {
  return device_with([=](const KernelCall& call) -> int {
    if (call.output.dtype == dtype && asks_for_tf32(call) == tf32) {
      throw DeviceError("the device fell off the bus");
    }
    return asks_for_tf32(call) ? 11 : 0;
  });
}

TEST(ProductBitsTest, ADeviceThatIsNotThereOrFailsDoesNotAgree) {
  EXPECT_THROW(product_bits(Device::cuda(1000)), DeviceError);
  for (const Dtype dtype : {f32, bf16, f16}) {
    EXPECT_THROW(product_bits(failing_device(dtype, false)), DeviceError) << name(dtype);
  }
}

TEST(ProductBitsTest, ADeviceMayLackTf32Alone) {
  const std::vector<ProductBits> found = product_bits(failing_device(f32, true));
  EXPECT_NE(found[1].missing.find("the device fell off the bus"), std::string::npos) << to_string(found[1]);
  for (const ProductBits& products : found) {
    EXPECT_TRUE(products.agrees()) << to_string(products);
    EXPECT_EQ(products.missing.empty(), products.precision != Precision::tf32);
  }
}

TEST(ProductBitsTest, TheCheckOfAllOpsAsksForTf32AndPrintsWhatItFinds) {
  const OpsReport report =
      ops({.device = tf32_device(), .cases = 32, .seed = 4, .op = "matmul", .dtype = f32, .tf32 = true});
  EXPECT_TRUE(report.agrees()) << to_text(report);
  EXPECT_NE(to_text(report).find("tf32 reads 11 bits (11 declared), sums keep 24 bits"), std::string::npos);
  EXPECT_NE(to_json(report).find("\"declared_bits\": 11"), std::string::npos);
  EXPECT_THROW(ops({.cases = 1, .op = "matmul", .tf32 = true}), DeviceError);
}

TEST(ProductBitsTest, TheCheckOfAllOpsSeesBfloat16WhereTf32IsDeclared) {
  const Device coarse = device_with([](const KernelCall& call) { return asks_for_tf32(call) ? 8 : 0; });
  const OpsReport report = ops({.device = coarse, .cases = 32, .seed = 4, .op = "matmul", .dtype = f32, .tf32 = true});
  EXPECT_FALSE(report.failures.empty());
  EXPECT_FALSE(report.agrees());
}

TEST(ProductBitsTest, ProductsOf16BitsAgreeInEveryKindOfCase) {
  for (const Dtype dtype : {bf16, f16}) {
    const OpsReport report = ops({.cases = 32, .seed = 5, .op = "matmul", .dtype = dtype});
    EXPECT_TRUE(report.agrees()) << to_text(report);
    EXPECT_EQ(report.products.size(), 4U);
  }
}

}  // namespace
}  // namespace twingrad::check
