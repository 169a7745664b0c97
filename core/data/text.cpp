#include <twingrad/data/text.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <system_error>

namespace twingrad::data {

ParsedNumber parse_number(std::string_view text) {
  using Kind = ParsedNumber::Kind;
  if (text.size() > 1 && text.front() == '+' && text[1] != '-') {  // from_chars takes only a minus
    text.remove_prefix(1);
  }
  ParsedNumber parsed;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, parsed.value);
  if (error == std::errc::invalid_argument || stop != end) {
    parsed.kind = Kind::not_a_number;
  } else if (error == std::errc::result_out_of_range) {
    parsed.kind = Kind::out_of_range;
  } else {
    parsed.kind = std::isfinite(parsed.value) ? Kind::number : Kind::not_finite;
  }
  return parsed;
}

std::string format_number(double value) {
  std::array<char, 32> buffer{};
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  return {buffer.data(), result.ptr};
}

std::string quoted_list(std::span<const std::string> names, std::size_t limit) {
  if (names.empty()) {
    return "none";
  }
  std::string list;
  for (std::size_t i = 0; i < std::min(names.size(), limit); ++i) {
    list += (i == 0 ? "'" : ", '") + names[i] + "'";
  }
  if (names.size() > limit) {
    list += " and " + std::to_string(names.size() - limit) + " more";
  }
  return list;
}

}  // namespace twingrad::data
