// Reads CSV files into a Table of named columns, numbers or text. Data sets are made from the table with make_dataset
// (dataset.h). Whatever in the file is not plainly a table of finite numbers and categories is an error that names
// file, line and column; nothing is guessed over.
//
//   tg::data::Table table = tg::data::read_csv("concrete.csv");
//   tg::data::Table cars = tg::data::read_csv("cars.csv", {.delimiter = ';', .missing = tg::data::Missing::drop_row,
//                                                          .categorical = {"origin"}, .ignore = {"name"}});
#pragma once

#include <twingrad/data/gzip.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace twingrad::data {

/// Whether the first row holds the columns' names.
enum class Header : std::uint8_t {
  automatic,  ///< it does when none of its fields is a number
  present,
  absent,  ///< columns are named "0", "1", ...
};

/// What becomes of a field that is missing.
enum class Missing : std::uint8_t {
  error,     ///< it is an error
  drop_row,  ///< its row is left out
  keep,      ///< a number becomes NaN, text the code -1; MeanImputer (standardize.h) fills such features later
};

struct CsvOptions {
  Header header = Header::automatic;
  char delimiter = ',';
  Missing missing = Missing::error;
  /// Fields that stand for a missing value.
  std::vector<std::string> missing_markers = {""};
  /// Columns to take as text even where they hold numbers (codes, mixed columns).
  std::vector<std::string> categorical = {};
  /// Columns to leave out; what stands in them is not looked at.
  std::vector<std::string> ignore = {};
  /// Drop spaces and tabs around fields that are not quoted.
  bool trim = true;
  /// Most bytes of the file after inflating.
  std::uint64_t max_bytes = ReadOptions{}.max_bytes;
};

/// One column: numbers, or text as codes into its sorted categories.
struct Column {
  std::string name;
  std::vector<double> numbers;          ///< one per row, NaN where missing; empty for text
  std::vector<std::int64_t> codes;      ///< one per row, -1 where missing; empty for numbers
  std::vector<std::string> categories;  ///< distinct, sorted by bytes; empty for numbers
  bool text = false;
};

struct Table {
  std::string path;                 ///< where it was read from, for messages
  std::vector<Column> columns;      ///< in the file's order, all with `rows` values
  std::vector<std::int64_t> lines;  ///< the line of the file, from 1, each row begins on
  std::int64_t rows = 0;

  /// The column of that name. Throws IoError that lists the columns when there is none.
  const Column& column(std::string_view name) const;
};

/// Reads a CSV file (RFC 4180), plain or gzip: fields may be quoted and then hold delimiters, line breaks and doubled
/// quotes; lines end in LF or CRLF; a UTF-8 byte order mark and empty lines at the end are skipped. A column is text
/// when none of its fields is a number, or when `categorical` names it; a column of both is an error. Numbers are what
/// std::from_chars reads, whatever the locale, with an optional plus sign.
///
/// Throws IoError that names file, line and column for: a file that cannot be read (see read_file) or is empty, no
/// rows, rows of different lengths, text in a number column, numbers outside float64, NaN and infinity, missing values
/// that the policy does not allow, an unterminated or misplaced quote, two columns of one name, and a column named in
/// the options that is not there. Throws ArgumentError for a delimiter that is a quote, a line break or part of a
/// number.
Table read_csv(const std::filesystem::path& path, const CsvOptions& options = {});

}  // namespace twingrad::data
