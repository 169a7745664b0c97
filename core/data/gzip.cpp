#include <twingrad/data/gzip.h>
#include <twingrad/error.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>
#include <system_error>

#include <zlib.h>

namespace twingrad::data {
namespace {

constexpr std::size_t chunk_bytes = std::size_t{1} << 20;

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& what) {
  throw IoError("cannot read " + path.string() + ": " + what);
}

[[noreturn]] void fail_too_large(const std::filesystem::path& path, const ReadOptions& options) {
  fail(path, "it has more than " + std::to_string(options.max_bytes) +
                 " bytes; raise max_bytes if a file of that size is meant");
}

std::vector<std::uint8_t> read_raw(const std::filesystem::path& path, const ReadOptions& options) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  if (status.type() == std::filesystem::file_type::not_found) {
    fail(path, "there is no such file");
  }
  if (error) {
    fail(path, error.message());
  }
  if (std::filesystem::is_directory(status)) {
    fail(path, "it is a directory");
  }
  errno = 0;
  std::ifstream stream(path, std::ios::binary);
  if (!stream) {
    fail(path, errno != 0 ? std::strerror(errno) : "it cannot be opened");
  }
  std::vector<std::uint8_t> bytes;
  if (std::filesystem::is_regular_file(status)) {
    const std::uintmax_t size = std::filesystem::file_size(path, error);
    if (!error && size <= options.max_bytes) {
      bytes.reserve(static_cast<std::size_t>(size) + 1);
    }
  }
  // In chunks to the end rather than by size, so that pipes work too.
  while (stream) {
    const std::size_t before = bytes.size();
    bytes.resize(std::max(before + 1, std::min(bytes.capacity(), before + chunk_bytes)));
    stream.read(reinterpret_cast<char*>(bytes.data() + before), static_cast<std::streamsize>(bytes.size() - before));
    bytes.resize(before + static_cast<std::size_t>(stream.gcount()));
    if (bytes.size() > options.max_bytes) {
      fail_too_large(path, options);
    }
  }
  if (stream.bad() || !stream.eof()) {
    fail(path, errno != 0 ? std::strerror(errno) : "reading failed");
  }
  return bytes;
}

bool is_gzip(const std::uint8_t* bytes, std::size_t size) {
  return size >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b;
}

/// zlib's inflate state with its lifetime.
class Inflater {
 public:
  Inflater() {
    constexpr int gzip_window = 15 + 16;  // the largest window; + 16 asks for gzip's header and checksum
    if (inflateInit2(&stream, gzip_window) != Z_OK) {
      throw IoError("zlib cannot start: out of memory");
    }
  }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  ~Inflater() { inflateEnd(&stream); }

  z_stream stream{};
};

std::vector<std::uint8_t> inflate_all(const std::filesystem::path& path, std::vector<std::uint8_t>& packed,
                                      const ReadOptions& options) {
  Inflater inflater;
  z_stream& stream = inflater.stream;
  std::vector<std::uint8_t> out;
  std::size_t position = 0;
  const auto place = [&] { return "at byte " + std::to_string(position) + " of " + std::to_string(packed.size()); };
  while (true) {
    const std::size_t before = out.size();
    out.resize(std::max(before + chunk_bytes, before + before / 2));
    // zlib counts in unsigned int, which is narrower than a file can be long.
    const std::size_t room = std::min<std::size_t>(out.size() - before, std::size_t{1} << 30);
    const std::size_t input = std::min<std::size_t>(packed.size() - position, std::size_t{1} << 30);
    stream.next_out = out.data() + before;
    stream.avail_out = static_cast<uInt>(room);
    stream.next_in = packed.data() + position;
    stream.avail_in = static_cast<uInt>(input);
    const int result = inflate(&stream, Z_NO_FLUSH);
    position += input - stream.avail_in;
    out.resize(before + room - stream.avail_out);
    if (out.size() > options.max_bytes) {
      fail_too_large(path, options);
    }
    if (result == Z_STREAM_END) {
      if (position == packed.size()) {
        return out;
      }
      if (!is_gzip(packed.data() + position, packed.size() - position)) {
        fail(path, "the gzip stream is followed by something else " + place());
      }
      inflateReset(&stream);
    } else if (result == Z_BUF_ERROR || (result == Z_OK && position == packed.size() && stream.avail_out != 0)) {
      fail(path, "the gzip stream is truncated: it goes on after the end of the file, " + place());
    } else if (result != Z_OK) {
      fail(path,
           "the gzip stream is corrupt " + place() + ": " + (stream.msg != nullptr ? stream.msg : zError(result)));
    }
  }
}

}  // namespace

std::vector<std::uint8_t> read_file(const std::filesystem::path& path, const ReadOptions& options) {
  std::vector<std::uint8_t> bytes = read_raw(path, options);
  return is_gzip(bytes.data(), bytes.size()) ? inflate_all(path, bytes, options) : bytes;
}

}  // namespace twingrad::data
