#include <twingrad/graph/node.h>
#include <twingrad/io/safetensors.h>
#include <twingrad/nn/module.h>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstring>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <span>
#include <string_view>

namespace twingrad::io {
namespace {

static_assert(std::endian::native == std::endian::little, "the file's numbers are little-endian, as this code's are");

using Json = nlohmann::ordered_json;

constexpr std::string_view metadata_key = "__metadata__";
constexpr std::uint64_t max_header_bytes = 100'000'000;

constexpr std::array<std::pair<Dtype, std::string_view>, 8> dtype_names{{{Dtype::f32, "F32"},
                                                                         {Dtype::f64, "F64"},
                                                                         {Dtype::bf16, "BF16"},
                                                                         {Dtype::f16, "F16"},
                                                                         {Dtype::i32, "I32"},
                                                                         {Dtype::i64, "I64"},
                                                                         {Dtype::u8, "U8"},
                                                                         {Dtype::boolean, "BOOL"}}};

std::string_view file_name(Dtype dtype) {
  return std::ranges::find(dtype_names, dtype, &std::pair<Dtype, std::string_view>::first)->second;
}

std::uint64_t byte_count(const Tensor& tensor) {
  return static_cast<std::uint64_t>(tensor.numel()) * size_of(tensor.dtype());
}

// The tensor's elements as they lie in the file.
std::vector<char> file_bytes(const Tensor& tensor) {
  std::vector<char> bytes(byte_count(tensor));
  visit(tensor.dtype(), [&]<class T>(Type<T>) {
    // The 16-bit floats travel as float32, which holds each of their values exactly.
    const auto values = tensor.to_vector<compute_t<T>>();
    for (std::size_t i = 0; i < values.size(); ++i) {
      const T element = static_cast<T>(values[i]);
      std::memcpy(bytes.data() + i * sizeof(T), &element, sizeof(T));
    }
  });
  return bytes;
}

std::string header_of(const NamedTensors& tensors) {
  Json header = Json::object();
  std::uint64_t offset = 0;
  for (const auto& [key, tensor] : tensors) {
    if (key == metadata_key) {
      throw ArgumentError("save: a tensor cannot be called '__metadata__', which the format keeps for itself");
    }
    if (header.contains(key)) {
      throw ArgumentError("save: there are two tensors called '" + key + "'; give them different names");
    }
    Json shape = Json::array();
    for (const std::int64_t length : tensor.shape()) {
      shape.push_back(length);
    }
    const std::uint64_t end = offset + byte_count(tensor);
    header[key] = {{"dtype", file_name(tensor.dtype())}, {"shape", shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const Json::exception&) {
    throw ArgumentError("save: a tensor's name is not valid UTF-8; rename it");
  }
  // The data starts at a multiple of eight bytes, as readers that map the file want it.
  text.append((8 - text.size() % 8) % 8, ' ');
  return text;
}

// A file that takes its place only when it is whole.
class NewFile {
 public:
  explicit NewFile(const std::filesystem::path& path) : path_(path), partial_(path) {
    static std::atomic<unsigned> counter{0};
    partial_ += ".partial-" + std::to_string(getpid()) + "-" + std::to_string(counter++);
    stream_.open(partial_, std::ios::binary | std::ios::trunc);
    check("open");
  }
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;
  ~NewFile() {
    if (!done_) {
      stream_.close();
      std::error_code ignored;
      std::filesystem::remove(partial_, ignored);
    }
  }

  void write(std::span<const char> bytes) {
    stream_.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    check("write to");
  }
  void finish() {
    stream_.close();
    check("finish");
    std::error_code error;
    std::filesystem::rename(partial_, path_, error);
    if (error) {
      throw IoError("save: cannot put " + path_.string() + " in place: " + error.message());
    }
    done_ = true;
  }

 private:
  void check(const char* what) const {
    if (!stream_) {
      const int code = errno;
      throw IoError(std::string("save: cannot ") + what + " " + partial_.string() + ": " + std::strerror(code) +
                    "; see that the folder exists, can be written and has room");
    }
  }

  std::filesystem::path path_;
  std::filesystem::path partial_;
  std::ofstream stream_;
  bool done_ = false;
};

// One file being read. Every complaint names it.
class Reader {
 public:
  explicit Reader(const std::filesystem::path& path) : path_(path) {
    std::error_code error;
    size_ = std::filesystem::file_size(path, error);
    if (error) {
      throw IoError("load: cannot read " + path.string() + ": " + error.message());
    }
    stream_.open(path, std::ios::binary);
    if (!stream_) {
      throw IoError("load: cannot open " + path.string() + ": " + std::strerror(errno));
    }
  }

  NamedTensors tensors(Device device) {
    const Json header = read_header();
    std::vector<Entry> entries;
    for (const auto& [key, value] : header.items()) {
      if (key == metadata_key) {
        check_metadata(value);
      } else {
        entries.push_back(read_entry(key, value));
      }
    }
    check_places(entries);
    NamedTensors result;
    for (const Entry& entry : entries) {
      result.emplace_back(entry.name, read_tensor(entry, device));
    }
    return result;
  }

 private:
  struct Entry {
    std::string name;
    Dtype dtype = Dtype::f32;
    Shape shape;
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
  };

  [[noreturn]] void fail(const std::string& what) const {
    throw IoError("load: " + path_.string() + " is not a valid safetensors file: " + what);
  }

  void read(void* target, std::uint64_t offset, std::uint64_t bytes) {
    stream_.seekg(static_cast<std::streamoff>(offset));
    stream_.read(static_cast<char*>(target), static_cast<std::streamsize>(bytes));
    if (!stream_) {
      throw IoError("load: reading " + std::to_string(bytes) + " bytes at offset " + std::to_string(offset) + " of " +
                    path_.string() + " failed");
    }
  }

  Json read_header() {
    std::uint64_t length = 0;
    if (size_ < sizeof(length)) {
      fail("it has " + std::to_string(size_) + " bytes, too few for the header's length");
    }
    read(&length, 0, sizeof(length));
    if (length > max_header_bytes) {
      fail("its header would have " + std::to_string(length) + " bytes; the format allows 100 million");
    }
    if (length > size_ - sizeof(length)) {
      fail("it ends at byte " + std::to_string(size_) + ", inside a header of " + std::to_string(length) + " bytes");
    }
    data_start_ = sizeof(length) + length;
    std::string text(length, ' ');
    read(text.data(), sizeof(length), length);
    if (!text.starts_with('{')) {
      fail("its header does not start with '{'");
    }
    std::set<std::string> names;
    const auto no_duplicates = [&](int depth, Json::parse_event_t event, const Json& key) {
      if (event == Json::parse_event_t::key && depth == 1 && !names.insert(key.get<std::string>()).second) {
        fail("its header names '" + key.get<std::string>() + "' twice");
      }
      return true;
    };
    try {
      return Json::parse(text, no_duplicates);
    } catch (const Json::parse_error& error) {
      fail("its header is not JSON (at byte " + std::to_string(sizeof(length) + error.byte) + ")");
    }
  }

  void check_metadata(const Json& value) const {
    if (!value.is_object() || !std::ranges::all_of(value, [](const Json& item) { return item.is_string(); })) {
      fail("'__metadata__' is not a list of named texts");
    }
  }

  Entry read_entry(const std::string& key, const Json& value) const {
    const std::string at = "tensor '" + key + "': ";
    if (!value.is_object() || value.size() != 3 || !value.contains("dtype") || !value.contains("shape") ||
        !value.contains("data_offsets")) {
      fail(at + "the header must give exactly dtype, shape and data_offsets");
    }
    Entry entry;
    entry.name = key;
    entry.dtype = read_dtype(at, value["dtype"]);
    const std::uint64_t elements = read_shape(at, value["shape"], entry.shape);
    const Json& offsets = value["data_offsets"];
    if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
        !offsets[1].is_number_unsigned()) {
      fail(at + "data_offsets is not a pair of byte offsets");
    }
    entry.begin = offsets[0].get<std::uint64_t>();
    entry.end = offsets[1].get<std::uint64_t>();
    const std::uint64_t size = size_of(entry.dtype);
    if (entry.end < entry.begin || (entry.end - entry.begin) / size != elements ||
        (entry.end - entry.begin) % size != 0) {
      fail(at + "data_offsets " + offsets.dump() + " do not hold shape " + to_string(entry.shape) + " of " +
           std::string(name(entry.dtype)));
    }
    return entry;
  }

  Dtype read_dtype(const std::string& at, const Json& value) const {
    if (!value.is_string()) {
      fail(at + "dtype is not a text");
    }
    const auto text = value.get<std::string>();
    for (const auto& [dtype, label] : dtype_names) {
      if (label == text) {
        return dtype;
      }
    }
    throw IoError("load: " + path_.string() + ": " + at + "dtype '" + text +
                  "' is not one that is read here (F32, F64, BF16, F16, I32, I64, U8, BOOL)");
  }

  std::uint64_t read_shape(const std::string& at, const Json& value, Shape& shape) const {
    if (!value.is_array() || value.size() > static_cast<std::size_t>(max_rank)) {
      fail(at + "shape is not a list of at most 8 lengths");
    }
    constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    std::uint64_t elements = 1;
    for (const Json& length : value) {
      if (!length.is_number_unsigned() || length.get<std::uint64_t>() > most) {
        fail(at + "shape holds " + length.dump() + ", which is not a length");
      }
      const auto n = length.get<std::uint64_t>();
      if (n != 0 && elements > most / n) {
        fail(at + "shape " + value.dump() + " has more elements than any file");
      }
      elements *= n;
      shape.push_back(static_cast<std::int64_t>(n));
    }
    return elements;
  }

  // The format wants the data covered without gaps, without overlaps and to the last byte.
  void check_places(const std::vector<Entry>& entries) const {
    std::vector<const Entry*> order;
    for (const Entry& entry : entries) {
      order.push_back(&entry);
    }
    std::ranges::sort(order, [](const Entry* a, const Entry* b) {
      return std::pair(a->begin, a->end) < std::pair(b->begin, b->end);
    });
    std::uint64_t covered = 0;
    for (const Entry* entry : order) {
      if (entry->begin != covered) {
        fail("tensor '" + entry->name + "' starts at byte " + std::to_string(entry->begin) +
             " of the data, where byte " + std::to_string(covered) + " was due");
      }
      covered = entry->end;
    }
    const std::uint64_t there = size_ - data_start_;
    if (there != covered) {
      fail("its tensors need " + std::to_string(covered) + " bytes of data and it has " + std::to_string(there) +
           (there < covered ? "; it is truncated" : ""));
    }
  }

  Tensor read_tensor(const Entry& entry, Device device) {
    std::vector<char> bytes(entry.end - entry.begin);
    read(bytes.data(), data_start_ + entry.begin, bytes.size());
    if (entry.dtype == Dtype::boolean) {
      const auto bad = std::ranges::find_if(bytes, [](char byte) { return byte != 0 && byte != 1; });
      if (bad != bytes.end()) {
        fail("tensor '" + entry.name + "': element " + std::to_string(bad - bytes.begin()) +
             " of a bool tensor is neither 0 nor 1");
      }
    }
    return leaf_from_host(bytes.data(), entry.shape, entry.dtype, device);
  }

  std::filesystem::path path_;
  std::ifstream stream_;
  std::uint64_t size_ = 0;
  std::uint64_t data_start_ = 0;
};

}  // namespace

void save(const std::filesystem::path& path, const NamedTensors& tensors) {
  const std::string header = header_of(tensors);
  const std::uint64_t length = header.size();
  NewFile file(path);
  std::array<char, sizeof(length)> length_bytes{};
  std::memcpy(length_bytes.data(), &length, sizeof(length));
  file.write(length_bytes);
  file.write(header);
  for (const auto& [key, tensor] : tensors) {
    file.write(file_bytes(tensor));
  }
  file.finish();
}

void save(const std::filesystem::path& path, const nn::Module& module) {
  save(path, module.state());
}

NamedTensors load(const std::filesystem::path& path, Device device) {
  return Reader(path).tensors(device);
}

void load(const std::filesystem::path& path, nn::Module& module) {
  const NamedTensors tensors = load(path);
  const std::string mismatch = describe_mismatch(module.state(), tensors);
  if (!mismatch.empty()) {
    throw IoError("load: " + path.string() + " does not fit the module:" + mismatch);
  }
  module.load_state(tensors);
}

}  // namespace twingrad::io
