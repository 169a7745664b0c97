// Compiled kernels on disk: found again, damaged files as good as none, folders that cannot be written to no error.
#include "cuda/kernel_cache.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>

#include "tests/environment_variable.h"

namespace twingrad::cuda {
namespace {

class KernelCacheTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(testing::TempDir()) / "twingrad_kernel_cache_test";
    std::filesystem::remove_all(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  static std::string content(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  static void write(const std::string& path, const std::string& text) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
  }
  std::size_t files() const {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder_), {}));
  }

  std::filesystem::path folder_;
};

TEST_F(KernelCacheTest, FindsWhatWasStored) {
  const std::string image(
      "\x7f"
      "ELF\0\n\xff",
      7);
  const KernelCache cache((folder_ / "in" / "side").string());
  EXPECT_FALSE(cache.find("one"));
  cache.store("one", image);
  cache.store("two", "other");
  EXPECT_EQ(cache.find("one"), image);
  EXPECT_EQ(cache.find("two"), "other");
  EXPECT_EQ(KernelCache(cache.directory()).find("one"), image);
  EXPECT_FALSE(cache.find("three"));
  cache.store("one", "newer");
  EXPECT_EQ(cache.find("one"), "newer");
}

TEST_F(KernelCacheTest, LeavesNoDraftBehind) {
  const KernelCache cache(folder_.string());
  cache.store("one", "image");
  EXPECT_EQ(files(), 1U);
}

TEST_F(KernelCacheTest, ADamagedFileIsAsGoodAsNone) {
  const KernelCache cache(folder_.string());
  const std::string image(1000, 'x');
  cache.store("key", image);
  const std::string path = cache.path("key");
  const std::string whole = content(path);
  for (std::size_t i = 0; i < whole.size(); i += 7) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    write(path, damaged);
    EXPECT_FALSE(cache.find("key")) << "byte " << i;
  }
  for (const std::size_t length : {std::size_t{0}, std::size_t{10}, whole.size() / 2, whole.size() - 1}) {
    write(path, whole.substr(0, length));
    EXPECT_FALSE(cache.find("key")) << "cut to " << length;
  }
  write(path, whole + "y");
  EXPECT_FALSE(cache.find("key"));
  cache.store("key", image);
  EXPECT_EQ(cache.find("key"), image);
}

TEST_F(KernelCacheTest, AFileOfAnotherKeyIsNotTaken) {
  const KernelCache cache(folder_.string());
  cache.store("one", "image");
  std::filesystem::rename(cache.path("one"), cache.path("two"));
  EXPECT_FALSE(cache.find("two"));
}

TEST_F(KernelCacheTest, AFolderThatCannotBeWrittenToIsNoError) {
  write(folder_.string(), "a file in its place");
  const KernelCache cache((folder_ / "kernels").string());
  cache.store("one", "image");
  EXPECT_FALSE(cache.find("one"));
  const KernelCache off{std::string()};
  off.store("one", "image");
  EXPECT_FALSE(off.find("one"));
}

TEST_F(KernelCacheTest, TheUsersFolder) {
  using Value = std::optional<std::string>;
  const auto with = [](const Value& wish, const Value& cache, const Value& home) {
    const tests::EnvironmentVariable first("TWINGRAD_KERNEL_CACHE", wish);
    const tests::EnvironmentVariable second("XDG_CACHE_HOME", cache);
    const tests::EnvironmentVariable third("HOME", home);
    return KernelCache::user_directory();
  };
  EXPECT_EQ(with("/wish", "/cache", "/home"), "/wish");
  EXPECT_EQ(with("off", "/cache", "/home"), "");
  EXPECT_EQ(with(std::nullopt, "/cache", "/home"), "/cache/twingrad/kernels");
  EXPECT_EQ(with(std::nullopt, "relative", "/home"), "/home/.cache/twingrad/kernels");
  EXPECT_EQ(with(std::nullopt, std::nullopt, "/home"), "/home/.cache/twingrad/kernels");
  EXPECT_EQ(with(std::nullopt, std::nullopt, std::nullopt), "");
}

}  // namespace
}  // namespace twingrad::cuda
