#include <twingrad/data/gzip.h>
#include <twingrad/data/host_random.h>
#include <twingrad/data/split.h>
#include <twingrad/error.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>
#include <string_view>
#include <system_error>

namespace twingrad::data {
namespace {

/// What is wrong with a list of test rows, or nothing.
std::string complaint(std::span<const std::int64_t> test_rows, std::int64_t rows) {
  std::vector<bool> seen(static_cast<std::size_t>(rows));
  for (const std::int64_t row : test_rows) {
    if (row < 0 || row >= rows) {
      return "row " + std::to_string(row) + " is not there: the data set has " + std::to_string(rows) +
             " rows, numbered from 0";
    }
    if (seen[static_cast<std::size_t>(row)]) {
      return "row " + std::to_string(row) + " is listed twice";
    }
    seen[static_cast<std::size_t>(row)] = true;
  }
  if (test_rows.empty()) {
    return "no test rows are listed";
  }
  if (std::ssize(test_rows) == rows) {
    return "all " + std::to_string(rows) + " rows are for testing, which leaves none to train on";
  }
  return {};
}

std::int64_t parse_row(std::string_view token, const std::string& place) {
  std::int64_t row = 0;
  const char* const end = token.data() + token.size();
  const auto [stop, error] = std::from_chars(token.data(), end, row);
  if (error != std::errc{} || stop != end) {
    throw IoError(place + "'" + std::string(token) + "' is not a row number");
  }
  return row;
}

std::vector<std::int64_t> parse_rows(std::string_view line, const std::string& place) {
  constexpr std::string_view blanks = " \t\r";
  std::vector<std::int64_t> row_numbers;
  for (std::size_t begin = line.find_first_not_of(blanks); begin != std::string_view::npos;) {
    const std::size_t end = std::min(line.find_first_of(blanks, begin), line.size());
    row_numbers.push_back(parse_row(line.substr(begin, end - begin), place));
    begin = line.find_first_not_of(blanks, end);
  }
  return row_numbers;
}

}  // namespace

Split split(const Dataset& dataset, std::span<const std::int64_t> test_rows) {
  if (const std::string wrong = complaint(test_rows, dataset.rows); !wrong.empty()) {
    throw ArgumentError("split of '" + dataset.name + "': " + wrong);
  }
  std::vector<bool> for_test(static_cast<std::size_t>(dataset.rows));
  for (const std::int64_t row : test_rows) {
    for_test[static_cast<std::size_t>(row)] = true;
  }
  std::vector<std::int64_t> training_rows;
  for (std::int64_t row = 0; row < dataset.rows; ++row) {
    if (!for_test[static_cast<std::size_t>(row)]) {
      training_rows.push_back(row);
    }
  }
  return {.train = dataset.take(training_rows), .test = dataset.take(test_rows)};
}

Split split(const Dataset& dataset, const SplitOptions& options) {
  if (!(options.test_fraction > 0 && options.test_fraction < 1)) {
    throw ArgumentError("split of '" + dataset.name + "': test_fraction is " + std::to_string(options.test_fraction) +
                        ", but must lie between 0 and 1");
  }
  if (dataset.rows < 2) {
    throw ArgumentError("split of '" + dataset.name + "': it takes two rows or more, but there are " +
                        std::to_string(dataset.rows));
  }
  const auto wanted = std::llround(options.test_fraction * static_cast<double>(dataset.rows));
  const auto count = std::clamp<std::int64_t>(wanted, 1, dataset.rows - 1);
  std::vector<std::int64_t> test_rows = detail::permutation(options.seed, detail::Stream::split, dataset.rows);
  test_rows.resize(static_cast<std::size_t>(count));
  std::ranges::sort(test_rows);
  return split(dataset, test_rows);
}

std::vector<std::vector<std::int64_t>> read_splits(const std::filesystem::path& path, std::int64_t rows) {
  const std::vector<std::uint8_t> bytes = read_file(path);
  std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  text = text.substr(0, text.find_last_not_of(" \t\r\n") + 1);
  if (text.empty()) {
    throw IoError(path.string() + ": the file lists no splits");
  }
  std::vector<std::vector<std::int64_t>> splits;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string place = path.string() + ":" + std::to_string(splits.size() + 1) + ": ";
    splits.push_back(parse_rows(text.substr(begin, end - begin), place));
    if (const std::string wrong = complaint(splits.back(), rows); !wrong.empty()) {
      throw IoError(place + wrong);
    }
    begin = end + 1;
  }
  return splits;
}

}  // namespace twingrad::data
