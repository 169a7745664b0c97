// Saving and loading: bit for bit, whole or not at all, and an error that names what is wrong for every kind of broken
// file.
#include <gtest/gtest.h>
#include <twingrad/twingrad.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "tests/devices.h"

namespace twingrad {
namespace {

// A folder of its own for each test, gone afterwards.
class Folder {
 public:
  Folder() {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    std::string name = std::string(test->test_suite_name()) + "." + test->name();
    std::ranges::replace(name, '/', '_');
    path_ = std::filesystem::path(testing::TempDir()) / ("twingrad_" + name);
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path_); }

  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(path_)) {
      names.push_back(entry.path().filename());
    }
    return names;
  }

 private:
  std::filesystem::path path_;
};

std::string read_all(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

void write_all(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

std::string file_of(const std::string& header, const std::string& data) {
  std::string length(8, '\0');
  const std::uint64_t size = header.size();
  std::memcpy(length.data(), &size, 8);
  return length + header + data;
}

class SafetensorsTest : public tests::DeviceTest {
 protected:
  Folder folder;
};
INSTANTIATE_ON_DEVICES(SafetensorsTest);

TEST_P(SafetensorsTest, EveryDtypeComesBackBitForBit) {
  const TensorOptions on{.device = device()};
  const float subnormal = std::numeric_limits<float>::denorm_min();
  const float infinity = std::numeric_limits<float>::infinity();
  const auto odd_nan = std::bit_cast<float>(0x7fc01234U);
  const NamedTensors saved = {
      {"f32", tensor(std::vector<float>{1.1F, -0.0F, subnormal, infinity, odd_nan}, on)},
      {"f64", tensor(std::vector<double>{0.1, -1e300, 5e-324}, {.dtype = f64, .device = device()})},
      {"bf16", tensor(std::vector<double>{1.1, -2.5, 1e30}, {.dtype = bf16, .device = device()})},
      {"f16", tensor(std::vector<double>{1.1, -2.5, 6e-8}, {.dtype = f16, .device = device()})},
      {"i32", tensor(std::vector<std::int32_t>{-7, 2147483647}, on)},
      {"i64", tensor(std::vector<std::int64_t>{-7, 9007199254740993}, on)},
      {"u8", tensor(std::vector<std::uint8_t>{0, 255}, on)},
      {"bool", tensor(std::vector<bool>{true, false, true}, on)},
      {"scalar", tensor(2.5, on)},
      {"empty", zeros({0, 3}, on)},
      {"matrix", reshape(tensor(std::vector<float>{1, 2, 3, 4, 5, 6}, on), {2, 3})},
  };
  io::save(folder / "a.safetensors", saved);
  const NamedTensors loaded = io::load(folder / "a.safetensors", device());
  EXPECT_EQ(describe_mismatch(saved, loaded), "");
  ASSERT_EQ(loaded.size(), saved.size());
  for (std::size_t i = 0; i < saved.size(); ++i) {
    EXPECT_EQ(loaded[i].first, saved[i].first);
    EXPECT_EQ(loaded[i].second.device(), device());
    EXPECT_EQ(loaded[i].second.shape(), saved[i].second.shape());
  }
  // Equal files mean equal bits, NaN's payload included.
  io::save(folder / "b.safetensors", loaded);
  EXPECT_EQ(read_all(folder / "a.safetensors"), read_all(folder / "b.safetensors"));
  const auto values = find(loaded, "f32").to_vector<float>();
  EXPECT_EQ(std::bit_cast<std::uint32_t>(values[1]), 0x80000000U);
  EXPECT_EQ(values[2], subnormal);
  EXPECT_EQ(std::bit_cast<std::uint32_t>(values[4]), 0x7fc01234U);
  EXPECT_EQ(find(loaded, "i64").to_vector<std::int64_t>()[1], 9007199254740993);
}

TEST_P(SafetensorsTest, ViewsAndUnevaluatedTensorsAreWrittenRowByRow) {
  const Tensor x = tensor(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3}, {.device = device()});
  io::save(folder / "views", {{"transposed", transpose(x)}, {"sum", x + 1.0}, {"every other", slice(x, 1, 0, {}, 2)}});
  const NamedTensors loaded = io::load(folder / "views");
  EXPECT_EQ(find(loaded, "transposed").to_vector<float>(), (std::vector<float>{1, 4, 2, 5, 3, 6}));
  EXPECT_EQ(find(loaded, "transposed").shape(), (Shape{3, 2}));
  EXPECT_EQ(find(loaded, "sum").to_vector<float>(), (std::vector<float>{2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(find(loaded, "every other").to_vector<float>(), (std::vector<float>{1, 3, 4, 6}));
}

TEST_P(SafetensorsTest, AModelAndItsOptimizerComeBack) {
  const auto make = [&](std::int64_t seed) {
    auto model = std::make_unique<nn::Mlp>(std::vector<std::int64_t>{3, 5, 2},
                                           nn::MlpOptions{.normalization = nn::Normalization::batch, .seed = seed});
    model->to(device());
    return model;
  };
  const auto model = make(1);
  optim::Adam adam(model->parameters());
  const Tensor x = random_normal({6, 3}, {.key = 4}, {.device = device()});
  adam.step(gradients(sum(square((*model)(x))), model->parameters()));
  io::save(folder / "model", *model);
  io::save(folder / "adam", adam.state());

  const auto other = make(2);
  optim::Adam other_adam(other->parameters());
  io::load(folder / "model", *other);
  other_adam.load_state(io::load(folder / "adam"));
  const auto values = [](const NamedTensors& tensors) {
    std::vector<std::vector<double>> all;
    for (const auto& [name, tensor] : tensors) {
      all.push_back(tensor.to_vector<double>());
    }
    return all;
  };
  EXPECT_EQ(other->device(), device());
  EXPECT_EQ(values(other->state()), values(model->state()));
  EXPECT_EQ(values(other_adam.state()), values(adam.state()));
  model->eval();
  other->eval();
  EXPECT_EQ((*other)(x).to_vector<float>(), (*model)(x).to_vector<float>());
}

class SafetensorsFileTest : public testing::Test {
 protected:
  // The message of loading a file of these bytes.
  std::string complaint(const std::string& bytes) const {
    const std::filesystem::path path = folder / "broken.safetensors";
    write_all(path, bytes);
    try {
      io::load(path);
    } catch (const IoError& error) {
      const std::string message = error.what();
      EXPECT_NE(message.find(path.string()), std::string::npos) << message;
      return message;
    }
    return "nothing was thrown";
  }
  void expect_complaint(const std::string& bytes, const std::string& part) const {
    const std::string message = complaint(bytes);
    EXPECT_NE(message.find(part), std::string::npos) << "expected '" << part << "', got: " << message;
  }

  Folder folder;
};

constexpr const char* one_float = R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";

TEST_F(SafetensorsFileTest, ReadsWhatTheFormatSays) {
  const float value = 1.5F;
  std::string data(4, '\0');
  std::memcpy(data.data(), &value, 4);
  write_all(folder / "a", file_of(std::string(one_float) + "   ", data));
  EXPECT_EQ(find(io::load(folder / "a"), "a").to_vector<float>(), std::vector<float>{1.5F});

  // Tensors in another order than their data, with metadata.
  const std::string header = R"({"__metadata__":{"made by":"hand"},"second":{"dtype":"U8","shape":[2],)"
                             R"("data_offsets":[1,3]},"first":{"dtype":"BOOL","shape":[],"data_offsets":[0,1]}})";
  write_all(folder / "b", file_of(header, std::string("\x01\x07\x09")));
  const NamedTensors loaded = io::load(folder / "b");
  ASSERT_EQ(loaded.size(), 2U);
  EXPECT_EQ(loaded[0].first, "second");
  EXPECT_EQ(loaded[0].second.to_vector<std::uint8_t>(), (std::vector<std::uint8_t>{7, 9}));
  EXPECT_EQ(loaded[1].second.item(), 1.0);
  EXPECT_EQ(loaded[1].second.shape(), Shape{});

  write_all(folder / "c", file_of("{}", ""));
  EXPECT_TRUE(io::load(folder / "c").empty());
}

TEST_F(SafetensorsFileTest, WritesWhatTheFormatSays) {
  io::save(folder / "a",
           {{"a", tensor(std::vector<std::uint8_t>{1, 2})}, {"\xc3\xa4", tensor(std::vector<bool>{true})}});
  std::string header = R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                       "\"\xc3\xa4\":{\"dtype\":\"BOOL\",\"shape\":[1],\"data_offsets\":[2,3]}}";
  header.append((8 - header.size() % 8) % 8, ' ');
  EXPECT_EQ(read_all(folder / "a"), file_of(header, "\x01\x02\x01"));
}

TEST_F(SafetensorsFileTest, EveryBrokenFileIsRefusedWithItsReason) {
  const std::string four(4, '\0');
  EXPECT_THROW(io::load(folder / "is not there"), IoError);
  expect_complaint("", "it has 0 bytes");
  expect_complaint("1234567", "it has 7 bytes");
  expect_complaint(std::string(8, '\xff'), "its header would have 18446744073709551615 bytes");
  expect_complaint(file_of(one_float, four).substr(0, 20), "it ends at byte 20, inside a header of");
  expect_complaint(file_of("", ""), "does not start with '{'");
  expect_complaint(file_of("[]", ""), "does not start with '{'");
  expect_complaint(file_of("{\"a\":", ""), "its header is not JSON");
  expect_complaint(file_of("{} x", ""), "its header is not JSON");
  expect_complaint(file_of("{\"\xff\":1}", ""), "its header is not JSON");
  expect_complaint(file_of(one_float, ""), "need 4 bytes of data and it has 0; it is truncated");
  expect_complaint(file_of(one_float, four.substr(1)), "need 4 bytes of data and it has 3; it is truncated");
  expect_complaint(file_of(one_float, four + "x"), "need 4 bytes of data and it has 5");
  expect_complaint(file_of(R"({"a":{"dtype":"F32","shape":[1]}})", four), "tensor 'a'");
  expect_complaint(file_of(R"({"a":7})", four), "tensor 'a'");
  expect_complaint(file_of(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"more":1}})", four), "tensor 'a'");
  expect_complaint(file_of(R"({"a":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]}})", four), "dtype 'F8_E4M3'");
  expect_complaint(file_of(R"({"a":{"dtype":32,"shape":[4],"data_offsets":[0,4]}})", four), "dtype is not a text");
  expect_complaint(file_of(R"({"a":{"dtype":"F32","shape":1,"data_offsets":[0,4]}})", four), "shape is not a list");
  expect_complaint(file_of(R"({"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}})", four),
                   "shape is not a list of at most 8");
  expect_complaint(file_of(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", four), "shape holds -1");
  expect_complaint(file_of(R"({"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}})", four), "shape holds 1.5");
  expect_complaint(file_of(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}})", four),
                   "more elements than any file");
  expect_complaint(file_of(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", four), "do not hold shape (2)");
  expect_complaint(file_of(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,7]}})", four + "123"),
                   "do not hold shape (1)");
  expect_complaint(file_of(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", four), "do not hold shape (1)");
  expect_complaint(file_of(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}})", four), "not a pair");
  expect_complaint(file_of(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":["0","4"]}})", four), "not a pair");
  expect_complaint(file_of(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}})", four + "x"),
                   "starts at byte 1 of the data, where byte 0 was due");
  expect_complaint(file_of(R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},)"
                           R"("b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})",
                           four),
                   "tensor 'b' starts at byte 2 of the data, where byte 3 was due");
  expect_complaint(file_of(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                           R"("a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
                           "12"),
                   "names 'a' twice");
  expect_complaint(file_of(R"({"a":{"dtype":"BOOL","shape":[4],"data_offsets":[0,4]}})", std::string("\1\0\2\0", 4)),
                   "element 2 of a bool tensor is neither 0 nor 1");
  expect_complaint(file_of(R"({"__metadata__":{"a":1}})", ""), "'__metadata__'");
}

TEST_F(SafetensorsFileTest, EveryTruncationOfARealFileIsRefused) {
  const nn::Linear layer(3, 2);
  io::save(folder / "layer", layer);
  const std::string whole = read_all(folder / "layer");
  for (std::size_t length = 0; length < whole.size(); ++length) {
    EXPECT_NE(complaint(whole.substr(0, length)), "nothing was thrown") << length;
  }
}

TEST_F(SafetensorsFileTest, AFileThatDoesNotFitTheModuleNamesEveryDifference) {
  nn::Mlp model({3, 4, 2});
  const auto before = model.parameters()[0].to_vector<float>();
  io::save(folder / "other", {{"0.weight", zeros({4, 4})},
                              {"0.bias", zeros({4}, {.dtype = f64})},
                              {"2.weight", zeros({2, 4})},
                              {"3.bias", zeros({2})}});
  try {
    io::load(folder / "other", model);
    ADD_FAILURE() << "the file was taken";
  } catch (const IoError& error) {
    const std::string message = error.what();
    for (const char* part : {"other does not fit the module", "'0.weight' is (4, 4) float32, expected (4, 3) float32",
                             "'0.bias' is (4) float64, expected (4) float32", "'2.bias' ((2) float32) is missing",
                             "'3.bias' ((2) float32) is not expected"}) {
      EXPECT_NE(message.find(part), std::string::npos) << part << " in " << message;
    }
    EXPECT_EQ(message.find("'2.weight'"), std::string::npos) << message;
  }
  EXPECT_EQ(model.parameters()[0].to_vector<float>(), before);
}

TEST_F(SafetensorsFileTest, AFailedSaveLeavesTheOldFileAndNothingElse) {
  io::save(folder / "a", {{"x", ones({2})}});
  const std::string before = read_all(folder / "a");
  EXPECT_THROW(io::save(folder / "a", {{"x", ones({2})}, {"x", zeros({2})}}), ArgumentError);
  EXPECT_THROW(io::save(folder / "a", {{"__metadata__", ones({2})}}), ArgumentError);
  EXPECT_THROW(io::save(folder / "a", {{"\xff", ones({2})}}), ArgumentError);
  // A value that cannot be computed is met in the middle of writing.
  const Tensor bad = index_select(ones({2}), 0, tensor(std::vector<std::int64_t>{5}));
  EXPECT_THROW(io::save(folder / "a", {{"x", ones({2})}, {"y", bad}}), NumericError);
  EXPECT_EQ(read_all(folder / "a"), before);
  EXPECT_EQ(folder.files(), std::vector<std::string>{"a"});
}

TEST_F(SafetensorsFileTest, WhatCannotBeWrittenIsAnError) {
  EXPECT_THROW(io::save(folder / "no such folder/a", {{"x", ones({2})}}), IoError);
  std::filesystem::create_directory(folder / "taken");
  write_all(folder / "taken/inside", "x");
  EXPECT_THROW(io::save(folder / "taken", {{"x", ones({2})}}), IoError);
  EXPECT_THROW(io::load(folder / "taken"), IoError);
  EXPECT_EQ(folder.files(), std::vector<std::string>{"taken"});
}

}  // namespace
}  // namespace twingrad
