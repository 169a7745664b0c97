// Devices by name, memory accounting, and running out of memory.
#include <gtest/gtest.h>
#include <twingrad/backend.h>
#include <twingrad/graph/memory_cache.h>
#include <twingrad/twingrad.h>

#include "tests/devices.h"

namespace twingrad {
namespace {

TEST(Device, ParsesNames) {
  EXPECT_EQ(Device::parse("cpu"), Device::cpu());
  EXPECT_EQ(Device::parse("cuda"), Device::cuda(0));
  EXPECT_EQ(Device::parse("cuda:3"), Device::cuda(3));
  EXPECT_EQ(Device::parse("auto"), Device::best());
  for (const char* bad : {"", "gpu", "cuda:", "cuda:-1", "cuda:x", "cuda:1x", "CPU"}) {
    try {
      Device::parse(bad);
      FAIL() << bad;
    } catch (const DeviceError& error) {
      EXPECT_NE(std::string(error.what()).find("cpu"), std::string::npos);
    }
  }
}

TEST(Device, ADeviceThatIsNotThereIsAClearError) {
  const Device absent = Device::cuda(cuda_device_count());
  EXPECT_FALSE(absent.available());
  EXPECT_THROW(tensor(std::vector<float>{1}, {.device = absent}), DeviceError);
  EXPECT_THROW(zeros({2}, {.device = absent}).eval(), DeviceError);
}

TEST(Device, EveryDeviceDescribesItself) {
  for (const Device device : tests::test_devices()) {
    EXPECT_FALSE(device.description().empty()) << device.name();
  }
}

TEST(Memory, TheCacheServesWhatWasReturned) {
  const Device device = tests::fake_device();
  const MemoryStats before = memory_stats(device);
  {
    const Tensor x = random_uniform({100000}, {1, 2}, {.device = device}).to(f64);
    x.eval();
  }
  const MemoryStats first = memory_stats(device);
  EXPECT_EQ(first.live, before.live);
  EXPECT_GT(first.cached, 0U);
  {
    const Tensor x = random_uniform({100000}, {1, 2}, {.device = device}).to(f64);
    x.eval();
  }
  EXPECT_EQ(memory_stats(device).allocations, first.allocations);
  release_cached_memory(device);
  EXPECT_EQ(memory_stats(device).cached, 0U);
}

// A backend with a fixed amount of memory and nothing else.
class SmallBackend final : public Backend {
 public:
  explicit SmallBackend(std::size_t bytes) : left_(bytes) {}
  std::string description() const override { return "small"; }
  void* allocate(std::size_t bytes) override {
    if (bytes > left_) {
      return nullptr;
    }
    left_ -= bytes;
    return ::operator new (bytes, std::align_val_t{256});
  }
  void deallocate(void* memory, std::size_t bytes) noexcept override {
    left_ += bytes;
    ::operator delete (memory, std::align_val_t{256});
  }
  void copy_from_host(void*, const void*, std::size_t) override {}
  void copy_to_host(void*, const void*, std::size_t) override {}
  void copy(void*, const void*, std::size_t) override {}
  void run(const KernelCall&) override {}
  ErrorModel error_model(const KernelCall&) const override { return {}; }
  void synchronize() override {}

 private:
  std::size_t left_;
};

TEST(Memory, OutOfMemoryNamesWhatWasWantedAndHeld) {
  SmallBackend backend(1 << 20);
  MemoryCache cache(backend);
  void* held = cache.allocate(700 * 1024, "small:0");
  try {
    cache.allocate(600 * 1024, "small:0");
    FAIL();
  } catch (const OutOfMemoryError& error) {
    const std::string text = error.what();
    for (const char* part : {"small:0", "wanted 600 KiB", "held 704 KiB", "the largest held: 704 KiB"}) {
      EXPECT_NE(text.find(part), std::string::npos) << text;
    }
  }
  cache.release(held);
  // What is cached is given back and tried again before it is an error.
  void* second = cache.allocate(900 * 1024, "small:0");
  EXPECT_NE(second, nullptr);
  cache.release(second);
  cache.release_cached();
}

TEST(Memory, APreferredBlockComesWhenItIsFree) {
  SmallBackend backend(1 << 20);
  MemoryCache cache(backend);
  void* const a = cache.allocate(2000, "small:0");
  void* const b = cache.allocate(2000, "small:0");
  EXPECT_FALSE(cache.has_free(a, 2000));
  cache.release(a);
  cache.release(b);
  EXPECT_TRUE(cache.has_free(a, 2000));
  EXPECT_TRUE(cache.has_free(a, 1100));
  EXPECT_FALSE(cache.has_free(a, 500));  // less than half of it: a waste
  EXPECT_FALSE(cache.has_free(a, 4000));
  EXPECT_EQ(cache.allocate(2000, "small:0", a), a);
  EXPECT_FALSE(cache.has_free(a, 2000));
  EXPECT_EQ(cache.allocate(2000, "small:0", a), b);
  EXPECT_EQ(cache.stats().allocations, 2U);
  cache.release(a);
  cache.release(b);
  EXPECT_EQ(cache.allocate(2000, "small:0"), b);  // the last one that was released
  EXPECT_EQ(cache.returns(), 0U);
  cache.release_cached();
  EXPECT_EQ(cache.returns(), 1U);
  EXPECT_FALSE(cache.has_free(a, 2000));
  cache.release_cached();
  EXPECT_EQ(cache.returns(), 1U);  // there was nothing
  cache.release(b);
  cache.release_cached();
}

TEST(Memory, RunningOutInAPlanIsOneClearErrorAndTheNextRunWorks) {
  const Device device = tests::fake_device();
  release_cached_memory(device);
  tests::fake_backend().set_memory_limit(8 << 20);
  const Tensor big = random_uniform({1 << 20}, {1, 0}, {.device = device});
  const Tensor bigger = cat({big, big, big, big});
  EXPECT_THROW(bigger.eval(), OutOfMemoryError);
  EXPECT_EQ(sum(ones({100}, {.device = device})).item(), 100.0);
  tests::fake_backend().set_memory_limit(0);
  EXPECT_EQ(bigger.to_vector<float>().size(), 4U << 20);
}

TEST(Memory, AnImpossibleSizeIsOutOfMemory) {
  const Tensor huge = random_uniform({std::int64_t{1} << 50}, {1, 0});
  EXPECT_THROW(huge.eval(), OutOfMemoryError);
}

}  // namespace
}  // namespace twingrad
