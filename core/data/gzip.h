// Reads a whole file into memory, inflating it when it is gzip. Every reader of this room (csv.h, idx.h) starts here,
// so that a file may be stored either way; whether it is gzip is decided by its first two bytes, never by its name.
//
//   std::vector<std::uint8_t> bytes = tg::data::read_file("digits.csv.gz");
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace twingrad::data {

struct ReadOptions {
  /// Most bytes the file may have after inflating: a small gzip file can claim terabytes.
  std::uint64_t max_bytes = std::uint64_t{4} << 30;
};

/// The bytes of the file at `path`, inflated when it is gzip (RFC 1952; several members one after another are joined).
/// Throws IoError when the file is missing, cannot be read or is larger than allowed, and when its gzip stream is
/// truncated, corrupt (with zlib's reason and the offset in the file) or followed by something else.
std::vector<std::uint8_t> read_file(const std::filesystem::path& path, const ReadOptions& options = {});

}  // namespace twingrad::data
