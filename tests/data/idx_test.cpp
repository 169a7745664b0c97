#include "test_files.h"

#include <twingrad/data/idx.h>
#include <twingrad/error.h>

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <string>
#include <vector>

namespace twingrad::data {
namespace {

using test::expect_error;
using test::TempFiles;

using Shape = std::vector<std::int64_t>;

std::string big_endian(std::uint64_t value, int bytes) {
  std::string text;
  for (int i = bytes - 1; i >= 0; --i) {
    text.push_back(static_cast<char>(value >> (8 * i) & 255U));
  }
  return text;
}

/// An IDX file: type code, axis lengths, content.
std::string idx(char type, const Shape& shape, std::string_view content) {
  std::string file{'\0', '\0', type, static_cast<char>(shape.size())};
  for (const std::int64_t length : shape) {
    file += big_endian(static_cast<std::uint64_t>(length), 4);
  }
  return file + std::string(content);
}

/// Three images of 2 x 2 and their labels 2, 0, 1.
const std::string images = idx(0x08, {3, 2, 2}, std::string("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\xff", 12));
const std::string labels = idx(0x08, {3}, std::string("\x02\x00\x01", 3));

TEST(Idx, ReadsEveryType) {
  const TempFiles files;
  const auto read = [&](char type, const Shape& shape, const std::string& content) {
    const IdxArray array = read_idx(files.write("array.idx", idx(type, shape, content)));
    EXPECT_EQ(array.shape, shape);
    return array.values;
  };
  EXPECT_EQ(std::get<std::vector<std::uint8_t>>(read(0x08, {2}, "\x01\xff")), (std::vector<std::uint8_t>{1, 255}));
  EXPECT_EQ(std::get<std::vector<std::int8_t>>(read(0x09, {2}, "\x01\xff")), (std::vector<std::int8_t>{1, -1}));
  EXPECT_EQ(std::get<std::vector<std::int16_t>>(read(0x0b, {1, 2}, "\x01\x02\xff\xfe")),
            (std::vector<std::int16_t>{0x102, -2}));
  EXPECT_EQ(std::get<std::vector<std::int32_t>>(read(0x0c, {2, 1}, big_endian(0x01020304, 4) + "\xff\xff\xff\xfe")),
            (std::vector<std::int32_t>{0x01020304, -2}));
  EXPECT_EQ(std::get<std::vector<float>>(read(0x0d, {1}, big_endian(0x3fc00000, 4))), (std::vector<float>{1.5F}));
  EXPECT_EQ(std::get<std::vector<double>>(read(0x0e, {1, 1, 1}, big_endian(0xbff8000000000000, 8))),
            (std::vector<double>{-1.5}));
  EXPECT_TRUE(std::get<std::vector<std::uint8_t>>(read(0x08, {0}, "")).empty());
}

TEST(Idx, ReadsGzip) {
  const TempFiles files;
  const IdxArray array = read_idx(files.write("array.idx", test::gzip_stored(images)));
  EXPECT_EQ(array.shape, (Shape{3, 2, 2}));
}

TEST(Idx, RefusesBadHeaders) {
  const TempFiles files;
  const auto refuse = [&](std::string_view content, const std::vector<std::string>& parts) {
    const auto path = files.write("bad.idx", content);
    expect_error<IoError>([&] { read_idx(path); }, parts);
  };
  refuse("", {"bad.idx", "4 bytes", "has 0"});
  refuse(std::string_view("\0\0\x08", 3), {"bad.idx", "4 bytes", "has 3"});
  refuse("\x89PNG and more", {"bad.idx", "magic number", "89 50 4e 47"});
  refuse(std::string_view("\0\x01\x08\x01\0\0\0\0", 8), {"bad.idx", "magic number", "00 01 08 01"});
  refuse(idx(0x0a, {1}, "x"), {"bad.idx", "magic number", "00 00 0a 01"});
  refuse(idx(0x08, {}, "x"), {"bad.idx", "magic number", "00 00 08 00"});
  refuse(std::string_view(images).substr(0, 15), {"bad.idx", "truncated", "3 axes has 16 bytes", "has 15"});
}

TEST(Idx, RefusesContentOfAnotherSize) {
  const TempFiles files;
  const auto refuse = [&](std::string_view content, const std::vector<std::string>& parts) {
    const auto path = files.write("bad.idx", content);
    expect_error<IoError>([&] { read_idx(path); }, parts);
  };
  for (std::size_t size = 16; size < images.size(); ++size) {
    refuse(std::string_view(images).substr(0, size),
           {"bad.idx", "truncated", "3 x 2 x 2", "take 12 bytes", std::to_string(size - 16) + " follow"});
  }
  refuse(images + "x", {"bad.idx", "goes on after its content", "take 12 bytes", "13 follow"});
  refuse(idx(0x0e, {2}, "12345678"), {"bad.idx", "truncated", "of 8 bytes take 16 bytes", "8 follow"});
  const std::int64_t huge = 0xffffffff;
  refuse(idx(0x08, {huge, huge, huge, huge}, "x"), {"bad.idx", "truncated", "1 follow"});
}

TEST(Idx, RefusesWhatGzipRefuses) {
  const TempFiles files;
  const std::string packed = test::gzip_stored(images);
  const auto cut = files.write("cut.gz", std::string_view(packed).substr(0, packed.size() - 1));
  expect_error<IoError>([&] { read_idx(cut); }, {"cut.gz", "truncated"});
  std::string flipped = packed;
  flipped[20] = 'x';
  const auto corrupt = files.write("corrupt.gz", flipped);
  expect_error<IoError>([&] { read_idx(corrupt); }, {"corrupt.gz", "corrupt", "incorrect data check"});
  expect_error<IoError>([&] { read_idx(files.directory() / "none.gz"); }, {"none.gz", "no such file"});
  expect_error<IoError>([&] { read_idx(files.write("long", images), {.max_bytes = 27}); }, {"more than 27 bytes"});
}

TEST(IdxDataset, FlattensImages) {
  const TempFiles files;
  const Dataset set = read_idx_dataset({files.write("images", images), files.write("labels", labels)});
  EXPECT_NO_THROW(set.check());
  EXPECT_EQ(set.rows, 3);
  EXPECT_EQ(set.columns, 4);
  EXPECT_EQ(std::get<std::vector<float>>(set.features), (std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 255}));
  EXPECT_EQ(set.labels, (std::vector<std::int64_t>{2, 0, 1}));
  EXPECT_EQ(set.class_names, (std::vector<std::string>{"0", "1", "2"}));
  const Dataset named = read_idx_dataset({files.directory() / "images", files.directory() / "labels"},
                                         {.class_names = {"a", "b", "c", "d"}});
  EXPECT_EQ(named.classes(), 4);
}

TEST(IdxDataset, KeepsWideTypesAsDouble) {
  const TempFiles files;
  const auto path = files.write("images", idx(0x0c, {1, 1}, big_endian(16777217, 4)));
  const Dataset set = read_idx_dataset({path, files.write("labels", idx(0x0b, {1}, big_endian(1, 2)))});
  EXPECT_EQ(std::get<std::vector<double>>(set.features), (std::vector<double>{16777217}));
  EXPECT_EQ(set.labels, (std::vector<std::int64_t>{1}));
}

TEST(IdxDataset, RefusesFilesThatDoNotFit) {
  const TempFiles files;
  const auto refuse = [&](const std::string& image_file, const std::string& label_file,
                          const std::vector<std::string>& parts, const IdxOptions& options = {}) {
    const IdxFiles pair{files.write("images", image_file), files.write("labels", label_file)};
    expect_error<IoError>([&] { read_idx_dataset(pair, options); }, parts);
  };
  refuse(images, idx(0x08, {2}, "\1\1"), {"images has 3 images", "labels has 2 labels"});
  refuse(labels, labels, {"images", "two axes or more", "has 1"});
  refuse(images, images, {"labels", "one axis", "has 3"});
  refuse(idx(0x08, {0, 2, 2}, ""), idx(0x08, {0}, ""), {"images", "no images"});
  refuse(idx(0x08, {1, 0}, ""), idx(0x08, {1}, "\1"), {"images", "no pixels"});
  refuse(images, idx(0x09, {3}, "\1\xfe\1"), {"labels", "label number 1 is -2"});
  refuse(images, idx(0x0d, {3}, std::string(12, '\0')), {"labels", "integers", "floating-point"});
  refuse(images, labels, {"labels", "label number 0 is 2", "2 classes"}, {.class_names = {"a", "b"}});
  refuse(idx(0x0d, {1, 2}, big_endian(0, 4) + big_endian(0x7fc00000, 4)), idx(0x08, {1}, "\1"),
         {"images", "image 0, pixel 1", "not a finite number"});
}

TEST(IdxSplit, SharesItsClasses) {
  const TempFiles files;
  const IdxFiles train{files.write("train-images", images), files.write("train-labels", labels)};
  const IdxFiles test{files.write("test-images", idx(0x08, {1, 2, 2}, "abcd")),
                      files.write("test-labels", idx(0x08, {1}, "\5"))};
  const Split split = read_idx_split(train, test);
  EXPECT_EQ(split.train.classes(), 6);
  EXPECT_EQ(split.test.classes(), 6);
  EXPECT_EQ(split.test.labels, (std::vector<std::int64_t>{5}));
  const IdxFiles wide{files.write("wide-images", idx(0x08, {1, 3}, "abc")), test.labels};
  expect_error<IoError>([&] { read_idx_split(train, wide); },
                        {"train-images has images of 4 pixels", "wide-images of 3"});
}

TEST(FashionMnist, NamesThePackageWhenMissing) {
  const TempFiles files;
  expect_error<IoError>([&] { fashion_mnist(files.directory()); },
                        {(files.directory() / "train-images-idx3-ubyte.gz").string(), "dataset-fashion-mnist"});
}

TEST(FashionMnist, ReadsFilesWithOrWithoutGzipAndStandardisesThem) {
  const TempFiles files;
  files.write("train-images-idx3-ubyte", images);
  files.write("train-labels-idx1-ubyte.gz", test::gzip_stored(labels));
  files.write("t10k-images-idx3-ubyte.gz", test::gzip_stored(images));
  files.write("t10k-labels-idx1-ubyte", labels);
  const Split split = fashion_mnist(files.directory());
  EXPECT_EQ(split.train.classes(), 10);
  EXPECT_EQ(split.train.class_names.back(), "Ankle boot");
  const auto& values = std::get<std::vector<float>>(split.train.features);
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / 12;
  const double square = std::inner_product(values.begin(), values.end(), values.begin(), 0.0) / 12;
  // Twelve floats of at most 3.4, each rounded to 2^-24 relative.
  EXPECT_NEAR(mean, 0.0, 2.1e-7);
  EXPECT_NEAR(square, 1.0, 4.2e-7);
}

TEST(FashionMnist, IsTheDataSetItSays) {
  const std::filesystem::path directory = "/usr/share/datasets/fashion-mnist";
  if (!std::filesystem::exists(directory)) {
    GTEST_SKIP() << "Debian's package dataset-fashion-mnist is not installed";
  }
  const Split split = fashion_mnist();
  EXPECT_EQ(split.train.rows, 60'000);
  EXPECT_EQ(split.test.rows, 10'000);
  EXPECT_EQ(split.train.columns, 784);
  EXPECT_EQ(split.train.labels.front(), 9);
  std::vector<int> counts(10);
  for (const std::int64_t label : split.train.labels) {
    ++counts[static_cast<std::size_t>(label)];
  }
  EXPECT_EQ(counts, std::vector<int>(10, 6000));
  // A black pixel is -mean / deviation; the published mean and deviation of the training pixels are 0.2860 and 0.3530.
  EXPECT_NEAR(split.train.feature(0, 0), -0.2860 / 0.3530, 2e-4);
}

}  // namespace
}  // namespace twingrad::data
