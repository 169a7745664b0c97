// The file of chosen algorithms: read again as written, other lines kept, damage named by its line.
#include "cuda/product_choices.h"

#include <gtest/gtest.h>
#include <twingrad/error.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace twingrad::cuda {
namespace {

class ProductChoicesTest : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::remove(path_); }
  void TearDown() override { std::filesystem::remove(path_); }

  void write(const std::string& text) const { std::ofstream(path_) << text; }
  void expect_error(const std::string& text, const std::string& words) const {
    write(text);
    try {
      const ProductChoices choices(path_);
      FAIL() << "no error for " << text;
    } catch (const IoError& error) {
      EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
    }
  }

  const std::string path_ = (std::filesystem::path(testing::TempDir()) / "twingrad_product_choices_test").string();
};

TEST_F(ProductChoicesTest, AreReadAsWritten) {
  const AlgorithmWords one = {1, 2, 3, 4, 5, 6, 7, 0xffffffffffffffffU};
  const AlgorithmWords two = {0xabcdef0123456789U};
  {
    ProductChoices choices(path_);
    EXPECT_FALSE(choices.find("a, m 1"));
    choices.add("a, m 1", one);
    choices.add("b, m 2", {});
    choices.add("b, m 2", two);
  }
  ProductChoices choices(path_);
  EXPECT_EQ(choices.find("a, m 1"), one);
  EXPECT_EQ(choices.find("b, m 2"), two);
  EXPECT_FALSE(choices.find("c"));
  choices.add("c", one);
  EXPECT_EQ(ProductChoices(path_).find("a, m 1"), one);
}

TEST_F(ProductChoicesTest, DamageIsNamedByItsLine) {
  const std::string heading = "twingrad products 1\n";
  const std::string digits(128, '0');
  write(heading + "key\t" + digits + "\n");
  EXPECT_TRUE(ProductChoices(path_).find("key"));
  expect_error("other\n", "line 1");
  expect_error("key\t" + digits + "\n", "line 1");
  expect_error(heading + "key\t" + digits + "\nkey " + digits + "\n", "line 3");
  expect_error(heading + "key\t" + digits.substr(1) + "\n", "line 2");
  expect_error(heading + "key\t" + digits.substr(1) + "g\n", "line 2");
}

TEST_F(ProductChoicesTest, APlaceThatCannotBeWrittenToIsAnError) {
  ProductChoices choices("/nowhere/at/all/choices.txt");
  EXPECT_THROW(choices.add("key", {}), IoError);
}

}  // namespace
}  // namespace twingrad::cuda
