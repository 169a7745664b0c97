#include <twingrad/data/idx.h>
#include <twingrad/data/standardize.h>
#include <twingrad/error.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

namespace twingrad::data {
namespace {

using Bytes = std::span<const std::uint8_t>;

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& what) {
  throw IoError(path.string() + ": " + what);
}

std::uint32_t big_endian_u32(Bytes bytes) {
  return (std::uint32_t{bytes[0]} << 24) | (std::uint32_t{bytes[1]} << 16) | (std::uint32_t{bytes[2]} << 8) | bytes[3];
}

std::string hexadecimal(Bytes bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t byte : bytes) {
    text += text.empty() ? "" : " ";
    text += digits[byte >> 4];
    text += digits[byte & 15U];
  }
  return text;
}

/// The numbers of type T that `bytes` holds in big-endian order.
template <class T>
std::vector<T> big_endian_values(Bytes bytes) {
  using Unsigned =
      std::conditional_t<sizeof(T) == 1, std::uint8_t,
                         std::conditional_t<sizeof(T) == 2, std::uint16_t,
                                            std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>>>;
  std::vector<T> values(bytes.size() / sizeof(T));
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::uint64_t bits = 0;
    for (std::size_t byte = 0; byte < sizeof(T); ++byte) {
      bits = (bits << 8) | bytes[i * sizeof(T) + byte];
    }
    values[i] = std::bit_cast<T>(static_cast<Unsigned>(bits));
  }
  return values;
}

/// Calls function(T{}) with the element type of an IDX type code; false when there is no such code.
template <class Function>
bool with_element_type(std::uint8_t code, Function&& function) {
  switch (code) {
    case 0x08:
      function(std::uint8_t{});
      return true;
    case 0x09:
      function(std::int8_t{});
      return true;
    case 0x0b:
      function(std::int16_t{});
      return true;
    case 0x0c:
      function(std::int32_t{});
      return true;
    case 0x0d:
      function(float{});
      return true;
    case 0x0e:
      function(double{});
      return true;
    default:
      return false;
  }
}

std::vector<std::int64_t> read_labels(const IdxFiles& files, const IdxArray& array) {
  if (array.shape.size() != 1) {
    fail(files.labels, "labels have one axis, but the file has " + std::to_string(array.shape.size()));
  }
  std::vector<std::int64_t> labels;
  std::visit(
      [&]<class T>(const std::vector<T>& values) {
        if constexpr (std::is_integral_v<T>) {
          labels.assign(values.begin(), values.end());
        } else {
          fail(files.labels, "labels are integers, but the file holds floating-point numbers");
        }
      },
      array.values);
  const auto negative = std::ranges::find_if(labels, [](std::int64_t label) { return label < 0; });
  if (negative != labels.end()) {
    fail(files.labels, "label number " + std::to_string(negative - labels.begin()) + " is " +
                           std::to_string(*negative) + ", but labels count from 0");
  }
  return labels;
}

/// A data set whose class names are still to be given.
Dataset read_unnamed(const IdxFiles& files, const IdxOptions& options) {
  const IdxArray images = read_idx(files.images, {.max_bytes = options.max_bytes});
  if (images.shape.size() < 2) {
    fail(files.images, "images have two axes or more, but the file has " + std::to_string(images.shape.size()));
  }
  const IdxArray label_array = read_idx(files.labels, {.max_bytes = options.max_bytes});
  Dataset dataset;
  dataset.labels = read_labels(files, label_array);
  dataset.name = files.images.string();
  dataset.task = Task::classification;
  dataset.rows = images.shape[0];
  if (dataset.rows != std::ssize(dataset.labels)) {
    throw IoError(files.images.string() + " has " + std::to_string(dataset.rows) + " images, but " +
                  files.labels.string() + " has " + std::to_string(dataset.labels.size()) + " labels");
  }
  if (dataset.rows == 0) {
    fail(files.images, "there are no images in the file");
  }
  dataset.columns = 1;
  for (std::size_t axis = 1; axis < images.shape.size(); ++axis) {
    dataset.columns *= images.shape[axis];
  }
  if (dataset.columns == 0) {
    fail(files.images, "the images have no pixels");
  }
  std::visit(
      [&]<class T>(const std::vector<T>& values) {
        const auto bad = std::ranges::find_if(values, [](T x) { return !std::isfinite(static_cast<double>(x)); });
        if (bad != values.end()) {
          const std::int64_t i = bad - values.begin();
          fail(files.images, "image " + std::to_string(i / dataset.columns) + ", pixel " +
                                 std::to_string(i % dataset.columns) + " is not a finite number");
        }
        constexpr bool fits_float = sizeof(T) < 4 || std::is_same_v<T, float>;
        dataset.features = std::vector<std::conditional_t<fits_float, float, double>>(values.begin(), values.end());
      },
      images.values);
  return dataset;
}

void name_classes(Dataset& dataset, const IdxFiles& files, const std::vector<std::string>& class_names) {
  const auto largest = std::ranges::max_element(dataset.labels);
  if (*largest >= std::ssize(class_names)) {
    fail(files.labels, "label number " + std::to_string(largest - dataset.labels.begin()) + " is " +
                           std::to_string(*largest) + ", but there are " + std::to_string(class_names.size()) +
                           " classes");
  }
  dataset.class_names = class_names;
}

std::vector<std::string> numbered_classes(std::int64_t largest_label) {
  std::vector<std::string> names;
  for (std::int64_t label = 0; label <= largest_label; ++label) {
    names.push_back(std::to_string(label));
  }
  return names;
}

/// `name` with or without .gz in `directory`.
std::filesystem::path fashion_mnist_file(const std::filesystem::path& directory, const std::string& name) {
  for (const std::string suffix : {".gz", ""}) {
    std::filesystem::path path = directory / (name + suffix);
    if (std::filesystem::exists(path)) {
      return path;
    }
  }
  throw IoError("Fashion-MNIST: " + (directory / (name + ".gz")).string() +
                " is not there; install Debian's package dataset-fashion-mnist or name the directory with the files");
}

}  // namespace

IdxArray read_idx(const std::filesystem::path& path, const ReadOptions& options) {
  const std::vector<std::uint8_t> file = read_file(path, options);
  const Bytes bytes(file);
  constexpr std::size_t magic_bytes = 4;
  if (bytes.size() < magic_bytes) {
    fail(path, "an IDX file begins with 4 bytes of magic number, but the file has " + std::to_string(bytes.size()));
  }
  const Bytes magic = bytes.first(magic_bytes);
  const std::uint8_t type = magic[2];
  const std::size_t rank = magic[3];
  IdxArray array;
  std::uint64_t element_bytes = 0;
  const bool known_type = with_element_type(type, [&]<class T>(T) { element_bytes = sizeof(T); });
  if (magic[0] != 0 || magic[1] != 0 || !known_type || rank == 0) {
    fail(path,
         "it does not begin with an IDX magic number (00 00, a type from 08 to 0e, the number of axes) but with " +
             hexadecimal(magic));
  }
  const std::size_t header_bytes = magic_bytes + 4 * rank;
  if (bytes.size() < header_bytes) {
    fail(path, "the file is truncated: a header of " + std::to_string(rank) + " axes has " +
                   std::to_string(header_bytes) + " bytes, but the file has " + std::to_string(bytes.size()));
  }
  // No real file is larger than this, so the product may stop there instead of overflowing.
  constexpr std::uint64_t bound = std::uint64_t{1} << 62;
  std::uint64_t content_bytes = element_bytes;
  std::string shape;
  for (std::size_t axis = 0; axis < rank; ++axis) {
    const std::uint32_t length = big_endian_u32(bytes.subspan(magic_bytes + 4 * axis, 4));
    array.shape.push_back(length);
    shape += (axis == 0 ? "" : " x ") + std::to_string(length);
    content_bytes = length == 0 || content_bytes <= bound / length ? content_bytes * length : bound;
  }
  const Bytes content = bytes.subspan(header_bytes);
  if (content.size() != content_bytes) {
    const bool short_of = content.size() < content_bytes;
    fail(path, std::string(short_of ? "the file is truncated" : "the file goes on after its content") + ": " + shape +
                   " numbers of " + std::to_string(element_bytes) + " bytes take " + std::to_string(content_bytes) +
                   " bytes, but " + std::to_string(content.size()) + " follow the header");
  }
  with_element_type(type, [&]<class T>(T) { array.values = big_endian_values<T>(content); });
  return array;
}

Dataset read_idx_dataset(const IdxFiles& files, const IdxOptions& options) {
  Dataset dataset = read_unnamed(files, options);
  name_classes(dataset, files,
               options.class_names.empty() ? numbered_classes(std::ranges::max(dataset.labels)) : options.class_names);
  return dataset;
}

Split read_idx_split(const IdxFiles& train, const IdxFiles& test, const IdxOptions& options) {
  Split split{.train = read_unnamed(train, options), .test = read_unnamed(test, options)};
  if (split.train.columns != split.test.columns) {
    throw IoError(train.images.string() + " has images of " + std::to_string(split.train.columns) + " pixels, but " +
                  test.images.string() + " of " + std::to_string(split.test.columns));
  }
  const std::int64_t largest = std::max(std::ranges::max(split.train.labels), std::ranges::max(split.test.labels));
  const std::vector<std::string> names = options.class_names.empty() ? numbered_classes(largest) : options.class_names;
  name_classes(split.train, train, names);
  name_classes(split.test, test, names);
  return split;
}

Split fashion_mnist(const std::filesystem::path& directory) {
  const auto file = [&](const char* name) { return fashion_mnist_file(directory, name); };
  const IdxFiles train{.images = file("train-images-idx3-ubyte"), .labels = file("train-labels-idx1-ubyte")};
  const IdxFiles test{.images = file("t10k-images-idx3-ubyte"), .labels = file("t10k-labels-idx1-ubyte")};
  Split split = read_idx_split(train, test,
                               {.class_names = {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal",
                                                "Shirt", "Sneaker", "Bag", "Ankle boot"}});
  standardize(split, {.features = StandardizeOptions::Features::together});
  return split;
}

}  // namespace twingrad::data
