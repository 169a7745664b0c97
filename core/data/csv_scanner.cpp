#include <twingrad/data/csv_scanner.h>
#include <twingrad/error.h>

#include <utility>

namespace twingrad::data {

CsvScanner::CsvScanner(std::string path, std::string_view text, const CsvScannerOptions& options)
    : path_(std::move(path)), text_(text), options_(options) {
  constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
  if (text_.starts_with(byte_order_mark)) {
    text_.remove_prefix(byte_order_mark.size());
  }
  // Empty lines at the end are no records, and a last record needs no line break.
  text_ = text_.substr(0, text_.find_last_not_of("\r\n") + 1);
}

bool CsvScanner::next(CsvRecord& record) {
  record.text.clear();
  record.ends.clear();
  record.line = line_;
  if (at_end()) {
    return false;
  }
  while (true) {
    while (!at_end() && at_blank()) {
      ++position_;
    }
    if (!at_end() && text_[position_] == '"') {
      read_quoted(record);
    } else {
      read_plain(record);
    }
    record.ends.push_back(record.text.size());
    if (at_end()) {
      return true;
    }
    if (at_line_break()) {
      skip_line_break();
      return true;
    }
    ++position_;  // the delimiter
  }
}

bool CsvScanner::at_blank() const {
  const char c = text_[position_];
  return options_.trim && (c == ' ' || c == '\t') && c != options_.delimiter;
}

void CsvScanner::skip_line_break() {
  position_ += text_.substr(position_).starts_with("\r\n") ? 2U : 1U;
  ++line_;
}

void CsvScanner::read_quoted(CsvRecord& record) {
  const std::int64_t first_line = line_;
  ++position_;
  while (true) {
    if (at_end()) {
      fail(first_line, record.size(), "a quote is opened and never closed");
    }
    const char c = text_[position_++];
    if (c == '"') {
      if (at_end() || text_[position_] != '"') {
        break;
      }
      ++position_;
    } else if (c == '\n') {
      ++line_;
    }
    record.text.push_back(c);
  }
  while (!at_end() && at_blank()) {
    ++position_;
  }
  if (!at_end() && !at_line_break() && text_[position_] != options_.delimiter) {
    fail(line_, record.size(), "text follows the closing quote; quotes inside a quoted field are doubled");
  }
}

void CsvScanner::read_plain(CsvRecord& record) {
  const std::size_t begin = position_;
  while (!at_end() && !at_line_break() && text_[position_] != options_.delimiter) {
    if (text_[position_] == '"') {
      fail(line_, record.size(), "a quote stands inside an unquoted field; quote the whole field and double the quote");
    }
    ++position_;
  }
  std::string_view field = text_.substr(begin, position_ - begin);
  if (options_.trim) {
    field = field.substr(0, field.find_last_not_of(" \t") + 1);
  }
  record.text.append(field);
}

void CsvScanner::fail(std::int64_t line, std::size_t field, const std::string& what) const {
  throw IoError(path_ + ":" + std::to_string(line) + ": column number " + std::to_string(field + 1) + ": " + what);
}

}  // namespace twingrad::data
