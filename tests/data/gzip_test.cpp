#include "test_files.h"

#include <twingrad/data/gzip.h>
#include <twingrad/error.h>

#include <gtest/gtest.h>

#include <string>

namespace twingrad::data {
namespace {

using test::expect_error;
using test::gzip_stored;
using test::TempFiles;

std::string read_text(const std::filesystem::path& path, const ReadOptions& options = {}) {
  const std::vector<std::uint8_t> bytes = read_file(path, options);
  return {bytes.begin(), bytes.end()};
}

TEST(ReadFile, GivesPlainBytesAsTheyAre) {
  const TempFiles files;
  const std::string content("a\0b\r\n\xff", 6);
  EXPECT_EQ(read_text(files.write("plain", content)), content);
  EXPECT_EQ(read_text(files.write("one_byte", "\x1f")), "\x1f");
  EXPECT_EQ(read_text(files.write("empty", "")), "");
}

TEST(ReadFile, InflatesByContentAndNotByName) {
  const TempFiles files;
  EXPECT_EQ(read_text(files.write("packed.csv", gzip_stored("one,two\n"))), "one,two\n");
  EXPECT_EQ(read_text(files.write("plain.gz", "one,two\n")), "one,two\n");
  EXPECT_EQ(read_text(files.write("nothing.gz", gzip_stored(""))), "");
}

TEST(ReadFile, InflatesACompressedFile) {
  const std::string digits = read_text(test::example_file("digits.csv.gz"));
  EXPECT_EQ(digits.size(), 264712U);
  EXPECT_TRUE(digits.starts_with("0,0,5,13,9,1,0,"));
}

TEST(ReadFile, ReadsFilesOfManyChunks) {
  const TempFiles files;
  std::string content;
  for (int i = 0; content.size() < 5'000'000; ++i) {
    content += std::to_string(i);
  }
  EXPECT_EQ(read_text(files.write("large", content)), content);
  std::string members;
  for (std::size_t begin = 0; begin < content.size(); begin += 60'000) {
    members += gzip_stored(std::string_view(content).substr(begin, 60'000));
  }
  EXPECT_EQ(read_text(files.write("large.gz", members)), content);
}

TEST(ReadFile, JoinsMembers) {
  const TempFiles files;
  const std::string members = gzip_stored("first ") + gzip_stored("") + gzip_stored("second");
  EXPECT_EQ(read_text(files.write("members.gz", members)), "first second");
}

TEST(ReadFile, RefusesEveryTruncation) {
  const TempFiles files;
  const std::string whole = gzip_stored("some content");
  for (std::size_t size = 2; size < whole.size(); ++size) {
    SCOPED_TRACE(size);
    const auto path = files.write("cut.gz", std::string_view(whole).substr(0, size));
    expect_error<IoError>([&] { read_file(path); },
                          {"cut.gz", "truncated", "byte " + std::to_string(size) + " of " + std::to_string(size)});
  }
  const auto second = files.write("second.gz", whole + whole.substr(0, 20));
  expect_error<IoError>([&] { read_file(second); }, {"second.gz", "truncated"});
}

TEST(ReadFile, RefusesCorruptStreamsWithReasonAndOffset) {
  const TempFiles files;
  const std::string whole = gzip_stored("some content");
  std::string bad_content = whole;
  bad_content[17] = 'X';
  expect_error<IoError>([&] { read_file(files.write("content.gz", bad_content)); },
                        {"content.gz", "corrupt", "incorrect data check", "of 35"});
  std::string bad_length = whole;
  bad_length[31] = 'X';
  expect_error<IoError>([&] { read_file(files.write("length.gz", bad_length)); },
                        {"length.gz", "corrupt", "incorrect length check", "byte 35 of 35"});
  std::string bad_block = whole;
  bad_block[10] = '\x07';
  expect_error<IoError>([&] { read_file(files.write("block.gz", bad_block)); },
                        {"block.gz", "corrupt", "invalid block type", "byte 11 of 35"});
  std::string bad_method = whole;
  bad_method[2] = '\x07';
  expect_error<IoError>([&] { read_file(files.write("method.gz", bad_method)); },
                        {"method.gz", "corrupt", "unknown compression method"});
}

TEST(ReadFile, RefusesWhatFollowsTheStream) {
  const TempFiles files;
  expect_error<IoError>([&] { read_file(files.write("tail.gz", gzip_stored("some content") + "tail")); },
                        {"tail.gz", "followed by something else", "byte 35 of 39"});
}

TEST(ReadFile, HoldsTheSizeLimit) {
  const TempFiles files;
  const auto plain = files.write("plain", std::string(100, 'x'));
  EXPECT_EQ(read_text(plain, {.max_bytes = 100}).size(), 100U);
  expect_error<IoError>([&] { read_file(plain, {.max_bytes = 99}); }, {"more than 99 bytes", "max_bytes"});
  const auto packed = test::example_file("digits.csv.gz");
  EXPECT_EQ(read_text(packed, {.max_bytes = 264712}).size(), 264712U);
  expect_error<IoError>([&] { read_file(packed, {.max_bytes = 264711}); },
                        {"digits.csv.gz", "more than 264711 bytes", "max_bytes"});
}

TEST(ReadFile, NamesWhatCannotBeRead) {
  const TempFiles files;
  expect_error<IoError>([&] { read_file(files.directory() / "missing.csv"); }, {"missing.csv", "no such file"});
  expect_error<IoError>([&] { read_file(files.directory()); }, {files.directory().string(), "directory"});
  const auto below_a_file = files.write("file", "x") / "below";
  expect_error<IoError>([&] { read_file(below_a_file); }, {"below"});
}

}  // namespace
}  // namespace twingrad::data
