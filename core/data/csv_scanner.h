// Splits CSV text into records and fields, as RFC 4180 has it; private to csv.cpp, which decides what fields mean.
//
//   CsvScanner scanner(path, text, {.delimiter = ',', .trim = true});
//   for (CsvRecord record; scanner.next(record);) { ... }
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace twingrad::data {

/// The fields of one record. Reused from record to record, so that reading allocates only while records grow.
struct CsvRecord {
  std::int64_t line = 0;  ///< of the record's first character, from 1

  std::size_t size() const { return ends.size(); }
  std::string_view operator[](std::size_t field) const {
    const std::size_t begin = field == 0 ? 0 : ends[field - 1];
    return std::string_view(text).substr(begin, ends[field] - begin);
  }

  std::string text;               ///< all fields, unquoted, one after another
  std::vector<std::size_t> ends;  ///< where each field ends in `text`
};

struct CsvScannerOptions {
  char delimiter = ',';
  bool trim = true;
};

class CsvScanner {
 public:
  /// `text` must outlive the scanner; `path` is named in errors.
  CsvScanner(std::string path, std::string_view text, const CsvScannerOptions& options);

  /// Reads the next record; false at the end of the text. Empty lines are records of one empty field, except at the
  /// end. Throws IoError for an unterminated quote, a quote inside an unquoted field, and text after a closing quote.
  bool next(CsvRecord& record);

 private:
  [[noreturn]] void fail(std::int64_t line, std::size_t field, const std::string& what) const;
  bool at_end() const { return position_ == text_.size(); }
  bool at_line_break() const { return text_[position_] == '\n' || text_[position_] == '\r'; }
  bool at_blank() const;
  void skip_line_break();
  void read_quoted(CsvRecord& record);
  void read_plain(CsvRecord& record);

  std::string path_;
  std::string_view text_;
  CsvScannerOptions options_;
  std::size_t position_ = 0;
  std::int64_t line_ = 1;
};

}  // namespace twingrad::data
