// Small helpers of this room's readers: numbers out of text whatever the locale, and lists of names for messages.
//
//   ParsedNumber parsed = parse_number("1e-3");   // {number, 0.001}
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace twingrad::data {

struct ParsedNumber {
  enum class Kind : std::uint8_t {
    number,
    not_a_number,  ///< text
    not_finite,    ///< "nan", "inf" and their like
    out_of_range,  ///< a number that float64 cannot hold
  };
  Kind kind = Kind::not_a_number;
  double value = 0;
};

/// Reads the whole of `text` as a decimal number with an optional sign and exponent. Never throws.
ParsedNumber parse_number(std::string_view text);

/// The shortest decimal text that reads back as `value`: "1", "0.1".
std::string format_number(double value);

/// "'a', 'b', 'c'", cut short after `limit` names. Says so when there are none.
std::string quoted_list(std::span<const std::string> names, std::size_t limit = 50);

}  // namespace twingrad::data
