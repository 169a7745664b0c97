// What the tests of the data room share: temporary files, gzip files made by hand, and checks of error messages.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

namespace twingrad::data::test {

/// A directory of its own for one test, removed with all its files at the end.
class TempFiles {
 public:
  TempFiles() {
    const testing::TestInfo* test = testing::UnitTest::GetInstance()->current_test_info();
    directory_ = std::filesystem::path(testing::TempDir()) / (std::string("twingrad_") + test->test_suite_name() + "_" +
                                                              test->name() + "_" + std::to_string(getpid()));
    std::filesystem::create_directories(directory_);
  }
  TempFiles(const TempFiles&) = delete;
  TempFiles& operator=(const TempFiles&) = delete;
  ~TempFiles() {
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }

  const std::filesystem::path& directory() const { return directory_; }
  std::filesystem::path write(const std::string& name, std::string_view content) const {
    const std::filesystem::path path = directory_ / name;
    std::ofstream(path, std::ios::binary).write(content.data(), static_cast<std::streamsize>(content.size()));
    return path;
  }

 private:
  std::filesystem::path directory_;
};

/// Runs `action` and expects an E whose message holds every one of `parts`.
template <class E, class Action>
void expect_error(Action&& action, const std::vector<std::string>& parts) {
  try {
    action();
  } catch (const E& error) {
    for (const std::string& part : parts) {
      EXPECT_NE(std::string_view(error.what()).find(part), std::string_view::npos)
          << "'" << part << "' is not in: " << error.what();
    }
    return;
  } catch (const std::exception& error) {
    ADD_FAILURE() << "another kind of error was thrown: " << error.what();
    return;
  }
  ADD_FAILURE() << "no error was thrown";
}

inline std::string little_endian_32(std::uint32_t value) {
  std::string bytes;
  for (int i = 0; i < 4; ++i) {
    bytes.push_back(static_cast<char>(value >> (8 * i) & 255U));
  }
  return bytes;
}

/// CRC-32 bit by bit, as gzip's trailer wants it.
inline std::uint32_t crc32_of(std::string_view content) {
  std::uint32_t crc = 0xffffffffU;
  for (const char c : content) {
    crc ^= static_cast<std::uint8_t>(c);
    for (int bit = 0; bit < 8; ++bit) {
      crc = (crc >> 1) ^ ((crc & 1U) != 0 ? 0xedb88320U : 0U);
    }
  }
  return ~crc;
}

/// `content` (below 65,536 bytes) as one gzip member with one stored block: 10 bytes of header, 5 of block header, the
/// content, 4 of checksum and 4 of length.
inline std::string gzip_stored(std::string_view content) {
  const auto size = static_cast<std::uint32_t>(content.size());
  std::string file("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\x01", 11);
  file += little_endian_32(size | (~size << 16));
  file += content;
  return file + little_endian_32(crc32_of(content)) + little_endian_32(size);
}

/// A file that ships with the examples.
inline std::filesystem::path example_file(const std::string& name) {
  return std::filesystem::path(TWINGRAD_SOURCE_DIR) / "examples" / "data" / name;
}

}  // namespace twingrad::data::test
