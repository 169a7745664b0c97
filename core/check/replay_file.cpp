// The file format: JSON with elements as hexadecimal digits of their bytes, lowest address first, equal neighbours
// joined ("0000803f*12"), and a CRC-32 of the whole, so that a damaged file is told from a changed result.
#include <twingrad/check/replay.h>
#include <twingrad/check/subject.h>

#include <zlib.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>
#include <utility>

namespace twingrad::check {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view format = "twingrad-replay";
constexpr int version = 2;
constexpr std::string_view digits = "0123456789abcdef";

std::string to_hex(const void* data, std::size_t size) {
  const auto* bytes = static_cast<const unsigned char*>(data);
  std::string text;
  for (std::size_t i = 0; i < size; ++i) {
    text += digits[bytes[i] >> 4];
    text += digits[bytes[i] & 15U];
  }
  return text;
}

std::vector<unsigned char> from_hex(const std::string& text) {
  std::vector<unsigned char> bytes;
  const auto digit = [&](char c) {
    const std::size_t value = digits.find(c);
    if (value == std::string_view::npos) {
      throw IoError(std::string("'") + c + "' is no hexadecimal digit");
    }
    return static_cast<unsigned>(value);
  };
  if (text.size() % 2 != 0) {
    throw IoError("an odd number of hexadecimal digits");
  }
  for (std::size_t i = 0; i < text.size(); i += 2) {
    bytes.push_back(static_cast<unsigned char>(digit(text[i]) << 4 | digit(text[i + 1])));
  }
  return bytes;
}

std::string elements_to_hex(const std::vector<double>& values, const std::vector<std::int64_t>& integers, Dtype dtype) {
  return visit(dtype, [&]<class T>(Type<T>) {
    std::string text;
    std::string last;
    std::int64_t repeated = 0;
    const auto flush = [&] {
      if (repeated > 0) {
        text += (text.empty() ? "" : " ") + last + (repeated > 1 ? "*" + std::to_string(repeated) : "");
      }
    };
    for (std::size_t i = 0; i < values.size(); ++i) {
      auto element = static_cast<T>(static_cast<compute_t<T>>(values[i]));
      if constexpr (std::is_same_v<T, std::int64_t>) {
        element = integers.empty() ? element : integers[i];
      }
      std::string bits = to_hex(&element, sizeof element);
      if (bits != last) {
        flush();
        last = std::move(bits);
        repeated = 0;
      }
      ++repeated;
    }
    flush();
    return text;
  });
}

/// The elements' bytes, one after the other.
std::vector<unsigned char> expanded(const std::string& text, const TensorType& type) {
  const std::size_t size = size_of(type.dtype);
  const auto count = static_cast<std::size_t>(numel(type.shape));
  std::vector<unsigned char> bytes;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    const std::size_t star = word.find('*');
    const std::vector<unsigned char> element = from_hex(word.substr(0, star));
    std::size_t repeated = 1;
    if (star != std::string::npos && std::sscanf(word.c_str() + star, "*%zu", &repeated) != 1) {
      throw IoError("'" + word + "' is no repeated element");
    }
    if (element.size() != size || repeated > count || bytes.size() + repeated * size > count * size) {
      throw IoError("the elements are not those of " + describe(type));
    }
    for (std::size_t i = 0; i < repeated; ++i) {
      bytes.insert(bytes.end(), element.begin(), element.end());
    }
  }
  if (bytes.size() != count * size) {
    throw IoError("there are " + std::to_string(bytes.size() / size) + " elements for " + describe(type));
  }
  return bytes;
}

Array<double> elements_from_hex(const std::string& text, const TensorType& type) {
  const std::vector<unsigned char> bytes = expanded(text, type);
  Array<double> array{type, {}, {}};
  visit(type.dtype, [&]<class T>(Type<T>) {
    for (std::size_t i = 0; i < bytes.size() / sizeof(T); ++i) {
      T element;
      if constexpr (std::is_same_v<T, bool>) {
        element = bytes[i] != 0;
      } else {
        std::memcpy(&element, bytes.data() + i * sizeof(T), sizeof(T));
      }
      array.data.push_back(static_cast<double>(static_cast<compute_t<T>>(element)));
      if constexpr (std::is_same_v<T, std::int64_t>) {
        array.integers.push_back(element);
      }
    }
  });
  return array;
}

Dtype dtype_named(const std::string& text) {
  for (const Dtype dtype :
       {Dtype::f32, Dtype::f64, Dtype::bf16, Dtype::f16, Dtype::i32, Dtype::i64, Dtype::u8, Dtype::boolean}) {
    if (name(dtype) == text) {
      return dtype;
    }
  }
  throw IoError("'" + text + "' is no dtype");
}

Verdict verdict_named(const std::string& text) {
  for (int v = 0; v <= static_cast<int>(Verdict::agrees); ++v) {
    if (name(static_cast<Verdict>(v)) == text) {
      return static_cast<Verdict>(v);
    }
  }
  throw IoError("'" + text + "' is no verdict");
}

Json write_type(const TensorType& type) {
  return {{"dtype", name(type.dtype)}, {"shape", std::vector<std::int64_t>(type.shape.begin(), type.shape.end())}};
}

Dims read_dims(const Json& json) {
  Dims dims;
  for (const Json& value : json) {
    dims.push_back(value.get<std::int64_t>());
  }
  return dims;
}

TensorType read_type(const Json& json) {
  const TensorType type{read_dims(json.at("shape")), dtype_named(json.at("dtype").get<std::string>())};
  if (std::any_of(type.shape.begin(), type.shape.end(), [](std::int64_t length) { return length < 0; })) {
    throw IoError("a shape has a negative length");
  }
  return type;
}

Strides read_strides(const Json& json, const Shape& shape) {
  if (!json.contains("strides")) {
    return contiguous_strides(shape);
  }
  const Strides strides = read_dims(json.at("strides"));
  if (strides.size() != shape.size()) {
    throw IoError("an input has " + std::to_string(shape.size()) + " axes and " + std::to_string(strides.size()) +
                  " strides");
  }
  return strides;
}

std::string checksum(Json json) {
  json.erase("crc32");
  const std::string text = json.dump();
  const unsigned long crc = crc32(0, reinterpret_cast<const Bytef*>(text.data()), static_cast<uInt>(text.size()));
  const auto word = static_cast<std::uint32_t>(crc);
  return to_hex(&word, sizeof word);
}

const Op* op_named(const std::string& text, std::span<const Op* const> custom) {
  std::vector<const Op*> ops = all_ops();
  ops.insert(ops.end(), custom.begin(), custom.end());
  const auto found = std::find_if(ops.begin(), ops.end(), [&](const Op* op) { return op->name == text; });
  if (found == ops.end()) {
    throw ArgumentError("the op '" + text +
                        "' is not known here; a custom op's file replays in the program that has the op");
  }
  return *found;
}

Failure read(const Json& json, std::span<const Op* const> custom) {
  if (!json.is_object() || json.value("format", "") != format) {
    throw IoError("it is no replay file");
  }
  if (json.value("version", 0) != version) {
    throw IoError("it has version " + json.at("version").dump() + "; this library reads version " +
                  std::to_string(version));
  }
  if (json.at("crc32").get<std::string>() != checksum(json)) {
    throw IoError("it is damaged: the checksum does not fit");
  }
  Failure failure;
  failure.use.op = op_named(json.at("op").get<std::string>(), custom);
  failure.use.attributes.ints = read_dims(json.at("ints"));
  const std::vector<unsigned char> reals = from_hex(json.at("reals").get<std::string>());
  if (reals.size() != sizeof failure.use.attributes.reals) {
    throw IoError("it has " + std::to_string(reals.size()) + " bytes of real attributes");
  }
  std::memcpy(failure.use.attributes.reals.data(), reals.data(), reals.size());
  for (const Json& input : json.at("inputs")) {
    const TensorType type = read_type(input);
    failure.use.inputs.push_back(elements_from_hex(input.at("bits").get<std::string>(), type));
    failure.use.strides.push_back(read_strides(input, type.shape));
  }
  const Json& output = json.at("output");
  failure.use.type = read_type(output);
  failure.actual = elements_from_hex(output.at("actual").get<std::string>(), failure.use.type).data;
  failure.expected =
      elements_from_hex(output.at("expected_float64").get<std::string>(), {failure.use.type.shape, Dtype::f64}).data;
  failure.verdict = verdict_named(json.at("verdict").get<std::string>());
  failure.where = json.at("where").get<std::string>();
  failure.device = json.at("device").get<std::string>();
  failure.device_description = json.at("device_description").get<std::string>();
  failure.seed = json.at("seed").get<std::uint64_t>();
  const std::vector<unsigned char> lambda = from_hex(json.at("lambda").get<std::string>());
  if (lambda.size() != sizeof failure.lambda) {
    throw IoError("its lambda is not 8 bytes");
  }
  std::memcpy(&failure.lambda, lambda.data(), lambda.size());
  return failure;
}

Json write(const Failure& failure, const Comparison& found) {
  Json inputs = Json::array();
  for (std::size_t j = 0; j < failure.use.inputs.size(); ++j) {
    const Array<double>& input = failure.use.inputs[j];
    Json one = write_type(input.type);
    if (!failure.use.strides.empty() &&
        !TensorView{nullptr, input.type.dtype, input.type.shape, failure.use.strides[j]}.contiguous()) {
      const Strides& strides = failure.use.strides[j];
      one["strides"] = std::vector<std::int64_t>(strides.begin(), strides.end());
    }
    one["bits"] = elements_to_hex(input.data, input.integers, input.type.dtype);
    inputs.push_back(std::move(one));
  }
  Json output = write_type(failure.use.type);
  output["actual"] = elements_to_hex(failure.actual, {}, failure.use.type.dtype);
  output["expected_float64"] = elements_to_hex(failure.expected, {}, Dtype::f64);
  const Dims& ints = failure.use.attributes.ints;
  Json json = {{"format", format},
               {"version", version},
               {"op", failure.use.op->name},
               {"where", failure.where},
               {"verdict", name(failure.verdict)},
               {"found", to_string(found)},
               {"device", failure.device},
               {"device_description", failure.device_description},
               {"seed", failure.seed},
               {"lambda", to_hex(&failure.lambda, sizeof failure.lambda)},
               {"ints", std::vector<std::int64_t>(ints.begin(), ints.end())},
               {"reals", to_hex(failure.use.attributes.reals.data(), sizeof failure.use.attributes.reals)},
               {"inputs", inputs},
               {"output", output}};
  json["crc32"] = checksum(json);
  return json;
}

}  // namespace

static_assert(std::endian::native == std::endian::little, "replay files hold elements lowest byte first");

void save_replay(const std::string& path, Failure failure, Device device) {
  failure.use = shrink(std::move(failure.use), device, failure.lambda);
  const NodeUse& use = failure.use;
  failure.actual =
      run_alone(*use.op, use.attributes, use.inputs, use.type, device, std::source_location::current(), use.strides);
  failure.expected = reference<double>(*use.op, use.attributes, use.inputs, use.type, ErrorModel{}).data;
  std::ofstream file(path, std::ios::binary);
  file << write(failure, check_node(use, device, failure.lambda)).dump(1) << '\n';
  file.close();
  if (!file) {
    throw IoError(path + ": cannot be written");
  }
}

Failure load_replay(const std::string& path, std::span<const Op* const> custom) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) {
    throw IoError(path + ": cannot be read");
  }
  try {
    return read(Json::parse(text.str()), custom);
  } catch (const IoError& error) {
    throw IoError(path + ": " + error.what());
  } catch (const ArgumentError& error) {
    throw ArgumentError(path + ": " + error.what());
  } catch (const Json::exception& error) {
    throw IoError(path + ": it is damaged: " + error.what());
  } catch (const ShapeError& error) {
    throw IoError(path + ": it is damaged: " + error.what());
  }
}

}  // namespace twingrad::check
