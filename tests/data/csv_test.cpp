#include "test_files.h"

#include <twingrad/data/csv.h>
#include <twingrad/error.h>

#include <gtest/gtest.h>

#include <cmath>
#include <locale>
#include <string>
#include <vector>

namespace twingrad::data {
namespace {

using test::expect_error;
using test::TempFiles;

using Numbers = std::vector<double>;
using Codes = std::vector<std::int64_t>;
using Words = std::vector<std::string>;

Table read_text(std::string_view text, const CsvOptions& options = {}) {
  const TempFiles files;
  return read_csv(files.write("table.csv", text), options);
}

void expect_refused(std::string_view text, const std::vector<std::string>& parts, const CsvOptions& options = {}) {
  SCOPED_TRACE(text);
  expect_error<IoError>([&] { read_text(text, options); }, parts);
}

Words names(const Table& table) {
  Words result;
  for (const Column& column : table.columns) {
    result.push_back(column.name);
  }
  return result;
}

TEST(Csv, ReadsNumbersBelowAHeader) {
  const Table table = read_text("width,height\n1,2.5\n-3e2,+4\n.5,1e-3\n");
  EXPECT_EQ(names(table), (Words{"width", "height"}));
  EXPECT_EQ(table.rows, 3);
  EXPECT_EQ(table.lines, (Codes{2, 3, 4}));
  EXPECT_EQ(table.column("width").numbers, (Numbers{1, -300, 0.5}));
  EXPECT_EQ(table.column("height").numbers, (Numbers{2.5, 4, 0.001}));
  EXPECT_FALSE(table.column("width").text);
}

TEST(Csv, FindsOutWhetherThereIsAHeader) {
  EXPECT_EQ(names(read_text("1,2\n3,4\n")), (Words{"0", "1"}));
  EXPECT_EQ(read_text("1,2\n3,4\n").rows, 2);
  EXPECT_EQ(read_text("1,a\n3,b\n").rows, 2);
  EXPECT_EQ(names(read_text("a,b\nc,d\n")), (Words{"a", "b"}));
  EXPECT_EQ(names(read_text("a,b\nc,d\n", {.header = Header::absent})), (Words{"0", "1"}));
  EXPECT_EQ(names(read_text("2019,2020\n3,4\n", {.header = Header::present})), (Words{"2019", "2020"}));
  EXPECT_EQ(names(read_text(",b\n3,4\n")), (Words{"0", "b"}));
}

TEST(Csv, ToleratesLineEndsByteOrderMarkAndEmptyEnd) {
  for (const char* text : {"a,b\n1,2\n3,4\n", "a,b\r\n1,2\r\n3,4\r\n", "a,b\r1,2\r3,4",
                           "\xef\xbb\xbf"
                           "a,b\n1,2\n3,4",
                           "a,b\n1,2\n3,4\n\n", "a,b\r\n1,2\r\n3,4\r\n\r\n\r\n"}) {
    SCOPED_TRACE(text);
    const Table table = read_text(text);
    EXPECT_EQ(names(table), (Words{"a", "b"}));
    EXPECT_EQ(table.lines, (Codes{2, 3}));
    EXPECT_EQ(table.column("b").numbers, (Numbers{2, 4}));
  }
}

TEST(Csv, TakesAnyDelimiter) {
  for (const char delimiter : {';', '\t', '|', ' '}) {
    SCOPED_TRACE(delimiter);
    std::string text = "a_b_c\n1_x_3\n4_y_6\n";
    for (char& c : text) {
      c = c == '_' ? delimiter : c;
    }
    const Table table = read_text(text, {.delimiter = delimiter});
    EXPECT_EQ(table.column("c").numbers, (Numbers{3, 6}));
    EXPECT_EQ(table.column("b").categories, (Words{"x", "y"}));
  }
  for (const char delimiter : {'"', '\n', '\r', '.', '-', '+', '5', '\0'}) {
    expect_error<ArgumentError>([&] { read_text("a\n1\n", {.delimiter = delimiter}); }, {"delimiter"});
  }
}

TEST(Csv, ReadsQuotedFields) {
  const Table table = read_text("\"na\"\"me\",value\n\"a,b\",1\n\"two\nlines\r\nthree\",\"2\"\n\"say \"\"hi\"\"\",3\n");
  EXPECT_EQ(names(table), (Words{"na\"me", "value"}));
  EXPECT_EQ(table.columns[0].categories, (Words{"a,b", "say \"hi\"", "two\nlines\r\nthree"}));
  EXPECT_EQ(table.columns[0].codes, (Codes{0, 2, 1}));
  EXPECT_EQ(table.columns[1].numbers, (Numbers{1, 2, 3}));
  EXPECT_EQ(table.lines, (Codes{2, 3, 6}));
}

TEST(Csv, TrimsAroundFieldsUnlessToldNotTo) {
  const std::string text = "a, b\n 1 ,\tx y \n2 , \" z \" \n";
  const Table trimmed = read_text(text);
  EXPECT_EQ(names(trimmed), (Words{"a", "b"}));
  EXPECT_EQ(trimmed.column("a").numbers, (Numbers{1, 2}));
  EXPECT_EQ(trimmed.column("b").categories, (Words{" z ", "x y"}));
  const Table kept = read_text("a,b\n1, x\n2,x \n", {.trim = false});
  EXPECT_EQ(kept.column("b").categories, (Words{" x", "x "}));
  expect_refused("a,b\n 1,2\n3,4\n", {"table.csv:2", "column 'a'", "' 1' is text"}, {.trim = false});
}

TEST(Csv, ReadsGzip) {
  const TempFiles files;
  const Table table = read_csv(files.write("table.csv", test::gzip_stored("a,b\n1,2\n")));
  EXPECT_EQ(table.column("b").numbers, (Numbers{2}));
  const Table digits = read_csv(test::example_file("digits.csv.gz"));
  EXPECT_EQ(digits.rows, 1797);
  EXPECT_EQ(digits.columns.size(), 65U);
  EXPECT_EQ(digits.columns.back().name, "64");
}

TEST(Csv, ReadsTheExamples) {
  const Table concrete = read_csv(test::example_file("concrete.csv"));
  EXPECT_EQ(concrete.rows, 1030);
  EXPECT_EQ(concrete.columns.size(), 9U);
  EXPECT_EQ(concrete.columns.back().name, "compressive_strength");
  EXPECT_EQ(concrete.column("cement").numbers[4], 198.6);
  const Table plant = read_csv(test::example_file("power-plant.csv"));
  EXPECT_EQ(plant.rows, 9568);
  EXPECT_EQ(plant.column("electrical_output").numbers.front(), 480.48);
}

TEST(Csv, SortsCategories) {
  const Table table = read_text("id,color\n1,red\n2,blue\n3,Green\n4,red\n");
  EXPECT_TRUE(table.column("color").text);
  EXPECT_EQ(table.column("color").categories, (Words{"Green", "blue", "red"}));
  EXPECT_EQ(table.column("color").codes, (Codes{2, 1, 0, 2}));
}

TEST(Csv, TakesDeclaredColumnsAsText) {
  const Table table = read_text("zip,grade\n02134,A\n2134,1\n02134,A\n", {.categorical = {"zip", "grade"}});
  EXPECT_EQ(table.column("zip").categories, (Words{"02134", "2134"}));
  EXPECT_EQ(table.column("grade").categories, (Words{"1", "A"}));
  EXPECT_EQ(table.column("zip").codes, (Codes{0, 1, 0}));
}

TEST(Csv, TakesWordsThatLookLikeNaNAsTextAmongText) {
  EXPECT_EQ(read_text("name\nNan\nInf\nBo\n").column("name").categories, (Words{"Bo", "Inf", "Nan"}));
  EXPECT_EQ(read_text("name\nBo\nNan\n").column("name").categories, (Words{"Bo", "Nan"}));
}

TEST(Csv, LeavesOutIgnoredColumns) {
  const Table table = read_text("id,x\nmixed,1\n2,2\n,3\nnan,4\n", {.ignore = {"id"}});
  EXPECT_EQ(names(table), (Words{"x"}));
  EXPECT_EQ(table.column("x").numbers, (Numbers{1, 2, 3, 4}));
}

TEST(Csv, FollowsThePolicyForMissingValues) {
  const std::string text = "a,b,c\n1,,x\n?,2,y\n3,4,\n5,6,z\n";
  expect_refused(text, {"table.csv:2", "column 'b'", "missing"});
  const Table dropped = read_text(text, {.missing = Missing::drop_row, .missing_markers = {"", "?"}});
  EXPECT_EQ(dropped.lines, (Codes{5}));
  EXPECT_EQ(dropped.column("c").categories, (Words{"z"}));
  const Table kept = read_text(text, {.missing = Missing::keep, .missing_markers = {"", "?"}});
  EXPECT_EQ(kept.rows, 4);
  EXPECT_TRUE(std::isnan(kept.column("a").numbers[1]));
  EXPECT_TRUE(std::isnan(kept.column("b").numbers[0]));
  EXPECT_EQ(kept.column("b").numbers[3], 6);
  EXPECT_EQ(kept.column("c").codes, (Codes{0, 1, -1, 2}));
  const Table all_missing = read_text("a,b\n1,\n2,\n", {.missing = Missing::keep});
  EXPECT_FALSE(all_missing.column("b").text);
  EXPECT_TRUE(std::isnan(all_missing.column("b").numbers[1]));
  EXPECT_EQ(read_text("a\nnan\n1\n", {.missing = Missing::drop_row, .missing_markers = {"nan"}}).rows, 1);
  expect_refused("a,b\n1,\n,2\n", {"no rows are left", "all 2"}, {.missing = Missing::drop_row});
  expect_refused("a\n1\n\n3\n", {"table.csv:3", "column 'a'", "missing"});
}

TEST(Csv, RefusesRaggedRows) {
  expect_refused("a,b,c\n1,2,3\n4,5\n", {"table.csv:3", "2 fields", "line 1 has 3", "delimiter"});
  expect_refused("1,2\n3,4,5\n", {"table.csv:2", "3 fields", "has 2"});
  expect_refused("a,b\n1,2\n\n3,4\n", {"table.csv:3", "1 fields"});
  expect_refused("a,b\n1,2\n3,4,\n", {"table.csv:3", "3 fields"});
}

TEST(Csv, RefusesTextInANumberColumn) {
  expect_refused("age,x\n28,1\nabc,2\n", {"table.csv:3", "column 'age'", "'abc' is text", "line 2", "'28'"});
  expect_refused("age,x\nabc,1\nd,2\n28,3\n", {"table.csv:2", "column 'age'", "'abc' is text", "line 4", "'28'"});
  expect_refused("x\n1.5\n1.5kg\n", {"table.csv:3", "'1.5kg' is text"});
  expect_refused("x\n1.5\n1,5\n", {"table.csv:3", "2 fields"});
  expect_refused("x;y\n1;2\n1,5;2\n", {"table.csv:3", "column 'x'", "'1,5' is text"}, {.delimiter = ';'});
  expect_refused("x\n1\n0x10\n", {"table.csv:3", "'0x10' is text"});
  expect_refused("x\n1\n+-1\n", {"table.csv:3", "'+-1' is text"});
  expect_refused("x\n1\n+\n", {"table.csv:3", "'+' is text"});
}

TEST(Csv, RefusesNumbersThatAreNotFinite) {
  for (const char* word : {"nan", "NaN", "-nan", "inf", "-Inf", "infinity", "+inf"}) {
    SCOPED_TRACE(word);
    expect_refused(std::string("a,x\n1,1\n2,") + word + "\n", {"table.csv:3", "column 'x'", word, "finite"});
    expect_refused(std::string("a,x\n1,") + word + "\n2,1\n", {"table.csv:2", "column 'x'", word, "finite"});
    expect_refused(std::string("a,x\n1,") + word + "\n", {"table.csv:2", "column 'x'", word, "finite"});
  }
  expect_refused("x\n1\n1e999\n", {"table.csv:3", "column 'x'", "'1e999'", "range of float64"});
}

TEST(Csv, RefusesMisplacedQuotes) {
  expect_refused("a,b\n1,\"x\n2,y\n", {"table.csv:2", "column number 2", "never closed"});
  expect_refused("a,b\n1,\"\"\"\n", {"table.csv:2", "never closed"});
  expect_refused("a,b\n1,x\"y\n", {"table.csv:2", "column number 2", "inside an unquoted field"});
  expect_refused("a,b\n1,\"x\" y\n", {"table.csv:2", "column number 2", "follows the closing quote"});
  expect_refused("a,b\n\"x\ny\"z,1\n", {"table.csv:3", "column number 1", "follows the closing quote"});
}

TEST(Csv, RefusesFilesWithoutRows) {
  expect_refused("", {"table.csv", "empty"});
  expect_refused("\n\r\n", {"table.csv", "empty"});
  expect_refused("\xef\xbb\xbf", {"table.csv", "empty"});
  expect_refused("a,b\n", {"table.csv", "header and no rows"});
  expect_error<IoError>([] { read_csv("no/such/table.csv"); }, {"no/such/table.csv", "no such file"});
}

TEST(Csv, RefusesColumnsThatAreNotThereOrTwice) {
  expect_refused("a,b\n1,2\n", {"no column 'c'", "'a', 'b'"}, {.categorical = {"c"}});
  expect_refused("a,b\n1,2\n", {"no column 'c'", "'a', 'b'"}, {.ignore = {"c"}});
  expect_refused("a,b,a\n1,2,3\n", {"table.csv:1", "two columns", "'a'"});
  const Table table = read_text("a,b\n1,2\n");
  expect_error<IoError>([&] { table.column("strength"); }, {"table.csv", "'strength'", "'a', 'b'"});
}

TEST(Csv, RefusesUtf16) {
  expect_refused(std::string_view("\xff\xfe"
                                  "a\0,\0",
                                  6),
                 {"table.csv", "UTF-16"});
}

TEST(Csv, HoldsTheSizeLimit) {
  expect_refused("a,b\n1,2\n", {"table.csv", "more than 7 bytes"}, {.max_bytes = 7});
}

TEST(Csv, ReadsNumbersAlikeInEveryLocale) {
  struct DecimalComma : std::numpunct<char> {
    char do_decimal_point() const override { return ','; }
    char do_thousands_sep() const override { return '.'; }
    std::string do_grouping() const override { return "\3"; }
  };
  const std::locale before = std::locale::global(std::locale(std::locale::classic(), new DecimalComma));
  const Table table = read_text("x\n1.5\n1234.5\n");
  std::locale::global(before);
  EXPECT_EQ(table.column("x").numbers, (Numbers{1.5, 1234.5}));
}

}  // namespace
}  // namespace twingrad::data
