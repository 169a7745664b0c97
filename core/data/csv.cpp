#include <twingrad/data/csv.h>
#include <twingrad/data/csv_scanner.h>
#include <twingrad/data/text.h>
#include <twingrad/error.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <numeric>
#include <optional>
#include <span>
#include <unordered_map>
#include <utility>

namespace twingrad::data {
namespace {

/// Looks strings up by views of them.
struct ViewHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};

/// Takes a column's fields one by one and finds out on the way whether they are numbers or text.
class ColumnBuilder {
 public:
  ColumnBuilder(std::string path, std::string name, bool declared_text)
      : path_(std::move(path)), name_(std::move(name)), kind_(declared_text ? Kind::declared_text : Kind::unknown) {}

  void add_missing() {
    if (kind_ == Kind::numbers) {
      numbers_.push_back(std::numeric_limits<double>::quiet_NaN());
    } else {
      codes_.push_back(-1);
    }
  }

  void add(std::string_view field, std::int64_t line) {
    if (kind_ == Kind::declared_text) {
      codes_.push_back(code(field));
      return;
    }
    const ParsedNumber parsed = parse_number(field);
    switch (parsed.kind) {
      case ParsedNumber::Kind::number:
        note(number_, field, line);
        if (not_finite_) {
          fail_not_finite();
        }
        if (text_) {
          fail_mixed();
        }
        become_numbers();
        numbers_.push_back(parsed.value);
        break;
      case ParsedNumber::Kind::not_a_number:
        note(text_, field, line);
        if (number_) {
          fail_mixed();
        }
        kind_ = Kind::text;
        codes_.push_back(code(field));
        break;
      case ParsedNumber::Kind::not_finite:
        // "nan" or "inf" may still be a word, as long as the column is not one of numbers.
        if (kind_ != Kind::text) {
          note(not_finite_, field, line);
        }
        if (number_) {
          fail_not_finite();
        }
        codes_.push_back(code(field));
        break;
      case ParsedNumber::Kind::out_of_range:
        fail({std::string(field), line}, "is outside the range of float64");
    }
    if (kind_ == Kind::text) {
      not_finite_.reset();
    }
  }

  Column finish() {
    Column column;
    column.name = name_;
    column.text = kind_ == Kind::text || kind_ == Kind::declared_text;
    if (!column.text) {
      if (not_finite_) {
        fail_not_finite();
      }
      become_numbers();
      column.numbers = std::move(numbers_);
      return column;
    }
    std::vector<const std::string*> words(categories_.size());
    for (const auto& [word, first_code] : categories_) {
      words[static_cast<std::size_t>(first_code)] = &word;
    }
    std::vector<std::size_t> order(words.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::sort(order, [&](std::size_t a, std::size_t b) { return *words[a] < *words[b]; });
    std::vector<std::int64_t> rank(words.size());
    for (std::size_t i = 0; i < order.size(); ++i) {
      rank[order[i]] = static_cast<std::int64_t>(i);
      column.categories.push_back(*words[order[i]]);
    }
    column.codes = std::move(codes_);
    for (std::int64_t& value : column.codes) {
      value = value < 0 ? value : rank[static_cast<std::size_t>(value)];
    }
    return column;
  }

 private:
  enum class Kind : std::uint8_t { unknown, numbers, text, declared_text };
  struct Field {
    std::string text;
    std::int64_t line = 0;
  };

  static void note(std::optional<Field>& first, std::string_view field, std::int64_t line) {
    if (!first) {
      first = Field{std::string(field), line};
    }
  }

  std::int64_t code(std::string_view field) {
    const auto found = categories_.find(field);
    if (found != categories_.end()) {
      return found->second;
    }
    const auto next = static_cast<std::int64_t>(categories_.size());
    categories_.emplace(field, next);
    return next;
  }

  void become_numbers() {
    if (kind_ == Kind::unknown) {
      kind_ = Kind::numbers;
      numbers_.assign(codes_.size(), std::numeric_limits<double>::quiet_NaN());
      codes_.clear();
    }
  }

  [[noreturn]] void fail(const Field& field, const std::string& what) const {
    throw IoError(path_ + ":" + std::to_string(field.line) + ": column '" + name_ + "': '" + field.text + "' " + what);
  }
  [[noreturn]] void fail_mixed() const {
    fail(*text_, "is text, but line " + std::to_string(number_->line) + " has the number '" + number_->text +
                     "'; list the column in `categorical` to take it as text, or the field in `missing_markers`");
  }
  [[noreturn]] void fail_not_finite() const {
    fail(*not_finite_, "is not a finite number; list it in `missing_markers` if it stands for a missing value");
  }

  std::string path_;
  std::string name_;
  Kind kind_;
  std::optional<Field> number_;      // the first number
  std::optional<Field> text_;        // the first text
  std::optional<Field> not_finite_;  // the first NaN or infinity, until the column is known to be text
  std::vector<double> numbers_;
  std::vector<std::int64_t> codes_;
  std::unordered_map<std::string, std::int64_t, ViewHash, std::equal_to<>> categories_;  // code by first appearance
};

bool contains(const std::vector<std::string>& list, std::string_view item) {
  return std::ranges::any_of(list, [&](const std::string& entry) { return entry == item; });
}

bool is_header(const CsvRecord& record, const CsvOptions& options) {
  if (options.header != Header::automatic) {
    return options.header == Header::present;
  }
  for (std::size_t i = 0; i < record.size(); ++i) {
    if (parse_number(record[i]).kind == ParsedNumber::Kind::number) {
      return false;
    }
  }
  return true;
}

[[noreturn]] void fail_at(const std::string& path, std::int64_t line, const std::string& what) {
  throw IoError(path + ":" + std::to_string(line) + ": " + what);
}

[[noreturn]] void fail_no_column(const std::string& path, std::string_view name,
                                 const std::vector<std::string>& names) {
  throw IoError(path + ": there is no column '" + std::string(name) + "'; its columns are " + quoted_list(names));
}

std::vector<std::string> column_names(const std::string& path, const CsvRecord& record, bool header) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < record.size(); ++i) {
    std::string name = header && !record[i].empty() ? std::string(record[i]) : std::to_string(i);
    if (contains(names, name)) {
      fail_at(path, record.line, "two columns are named '" + name + "'");
    }
    names.push_back(std::move(name));
  }
  return names;
}

void check_named(const std::string& path, const std::vector<std::string>& names,
                 const std::vector<std::string>& wanted) {
  for (const std::string& name : wanted) {
    if (!contains(names, name)) {
      fail_no_column(path, name, names);
    }
  }
}

void check_options(const CsvOptions& options) {
  constexpr std::string_view taken = "\"\r\n0123456789.+-";
  if (taken.find(options.delimiter) != std::string_view::npos || options.delimiter == '\0') {
    throw ArgumentError("read_csv: the delimiter may not be a quote, a line break or part of a number");
  }
}

/// The first column of `record` that is used and missing, or none.
std::optional<std::size_t> first_missing(const CsvRecord& record, const std::vector<bool>& used,
                                         const CsvOptions& options) {
  for (std::size_t i = 0; i < record.size(); ++i) {
    if (used[i] && contains(options.missing_markers, record[i])) {
      return i;
    }
  }
  return std::nullopt;
}

}  // namespace

Table read_csv(const std::filesystem::path& path, const CsvOptions& options) {
  check_options(options);
  const std::vector<std::uint8_t> bytes = read_file(path, {.max_bytes = options.max_bytes});
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  Table table;
  table.path = path.string();
  if (text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff")) {
    throw IoError(table.path + ": the file is UTF-16; save it as UTF-8");
  }
  CsvScanner scanner(table.path, text, {.delimiter = options.delimiter, .trim = options.trim});
  CsvRecord record;
  if (!scanner.next(record)) {
    throw IoError(table.path + ": the file is empty");
  }
  const bool header = is_header(record, options);
  const std::int64_t first_line = record.line;
  const std::vector<std::string> names = column_names(table.path, record, header);
  check_named(table.path, names, options.categorical);
  check_named(table.path, names, options.ignore);
  std::vector<bool> used;
  std::vector<ColumnBuilder> builders;
  for (const std::string& name : names) {
    used.push_back(!contains(options.ignore, name));
    builders.emplace_back(table.path, name, contains(options.categorical, name));
  }
  std::int64_t dropped = 0;
  for (bool more = header ? scanner.next(record) : true; more; more = scanner.next(record)) {
    if (record.size() != names.size()) {
      fail_at(table.path, record.line,
              "the row has " + std::to_string(record.size()) + " fields, but line " + std::to_string(first_line) +
                  " has " + std::to_string(names.size()) + "; is the delimiter really '" + options.delimiter + "'?");
    }
    const std::optional<std::size_t> missing = first_missing(record, used, options);
    if (missing && options.missing == Missing::error) {
      fail_at(table.path, record.line,
              "column '" + names[*missing] + "': the value is missing; set `missing` to drop such rows or to keep " +
                  "them, or `ignore` the column");
    }
    if (missing && options.missing == Missing::drop_row) {
      ++dropped;
      continue;
    }
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (!used[i]) {
        continue;
      }
      if (missing && contains(options.missing_markers, record[i])) {
        builders[i].add_missing();
      } else {
        builders[i].add(record[i], record.line);
      }
    }
    table.lines.push_back(record.line);
  }
  table.rows = static_cast<std::int64_t>(table.lines.size());
  if (table.rows == 0) {
    throw IoError(table.path + (dropped > 0 ? ": no rows are left: all " + std::to_string(dropped) + " miss a value"
                                            : ": the file has a header and no rows"));
  }
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (used[i]) {
      table.columns.push_back(builders[i].finish());
    }
  }
  return table;
}

const Column& Table::column(std::string_view name) const {
  std::vector<std::string> names;
  for (const Column& candidate : columns) {
    if (candidate.name == name) {
      return candidate;
    }
    names.push_back(candidate.name);
  }
  fail_no_column(path, name, names);
}

}  // namespace twingrad::data
