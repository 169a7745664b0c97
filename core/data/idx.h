// Reads IDX files, the format of MNIST and its successors (described at the end of http://yann.lecun.com/exdb/mnist/):
// a big-endian header with type and axis lengths, then the numbers. Plain or gzip.
//
//   tg::data::Split fashion = tg::data::fashion_mnist();
//   tg::data::Split digits = tg::data::read_idx_split({.images = "train-images.idx3", .labels = "train-labels.idx1"},
//                                                     {.images = "test-images.idx3", .labels = "test-labels.idx1"});
#pragma once

#include <twingrad/data/gzip.h>
#include <twingrad/data/split.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <variant>
#include <vector>

namespace twingrad::data {

/// An IDX file's content: numbers of the type the file names, in row-major order.
struct IdxArray {
  std::vector<std::int64_t> shape;
  std::variant<std::vector<std::uint8_t>, std::vector<std::int8_t>, std::vector<std::int16_t>,
               std::vector<std::int32_t>, std::vector<float>, std::vector<double>>
      values;
};

/// Reads an IDX file. Throws IoError for what read_file refuses, a header that is no IDX header (with the bytes found),
/// and content that is shorter or longer than the header says.
IdxArray read_idx(const std::filesystem::path& path, const ReadOptions& options = {});

/// The two files of a labelled set: images (rows, ...) of any type and labels (rows) of an integer type.
struct IdxFiles {
  std::filesystem::path images;
  std::filesystem::path labels;
};

struct IdxOptions {
  /// Names of the classes 0, 1, ...; empty: the numbers up to the largest label.
  std::vector<std::string> class_names = {};
  std::uint64_t max_bytes = ReadOptions{}.max_bytes;  ///< of each file after inflating
};

/// A classification of flattened images, pixel values as they are in the file. Features are kept as float, and as
/// double for files of int32 and float64. Throws IoError for what read_idx refuses, files with too few or too many
/// axes, numbers of images and labels that differ, no images, labels that are no integers, negative or without a name,
/// and NaN or infinity in the pixels.
Dataset read_idx_dataset(const IdxFiles& files, const IdxOptions& options = {});

/// A training and a test set with the same classes. Throws what read_idx_dataset does, and IoError when their images
/// differ in size.
Split read_idx_split(const IdxFiles& train, const IdxFiles& test, const IdxOptions& options = {});

/// Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017): 60,000 training and 10,000 test images of 28 x 28 grey pixels in ten
/// classes of clothing, standardised with the one mean and deviation of all training pixels. Reads the four files
/// train-images-idx3-ubyte.gz and so on (.gz may be missing) in `directory`, which is where Debian's package
/// dataset-fashion-mnist puts them. Throws IoError that names the package when they are not there.
Split fashion_mnist(const std::filesystem::path& directory = "/usr/share/datasets/fashion-mnist");

}  // namespace twingrad::data
