#include "test_files.h"

#include <twingrad/data/dataset.h>
#include <twingrad/error.h>

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace twingrad::data {
namespace {

using test::expect_error;
using test::TempFiles;

using Numbers = std::vector<double>;
using Codes = std::vector<std::int64_t>;
using Words = std::vector<std::string>;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

Table read_text(std::string_view text, const CsvOptions& options = {}) {
  const TempFiles files;
  return read_csv(files.write("table.csv", text), options);
}

Numbers features(const Dataset& dataset) {
  return std::get<Numbers>(dataset.features);
}

Dataset small() {
  Dataset dataset;
  dataset.name = "small";
  dataset.rows = 3;
  dataset.columns = 2;
  dataset.features = Numbers{1, 2, 3, 4, 5, 6};
  dataset.targets = {10, 20, 30};
  dataset.target_names = {"y"};
  return dataset;
}

Dataset small_classes() {
  Dataset dataset = small();
  dataset.task = Task::classification;
  dataset.targets.clear();
  dataset.target_names.clear();
  dataset.labels = {0, 1, 0};
  dataset.class_names = {"a", "b"};
  return dataset;
}

TEST(MakeDataset, TakesTheLastColumnAsTarget) {
  const Dataset dataset = make_dataset(read_text("a,b,y\n1,2,10\n3,4,20\n"));
  EXPECT_EQ(dataset.task, Task::regression);
  EXPECT_EQ(dataset.rows, 2);
  EXPECT_EQ(dataset.columns, 2);
  EXPECT_EQ(dataset.outputs(), 1);
  EXPECT_EQ(features(dataset), (Numbers{1, 2, 3, 4}));
  EXPECT_EQ(dataset.feature_names, (Words{"a", "b"}));
  EXPECT_EQ(dataset.targets, (Numbers{10, 20}));
  EXPECT_EQ(dataset.target_names, (Words{"y"}));
  EXPECT_EQ(dataset.feature(1, 0), 3);
  EXPECT_NO_THROW(dataset.check());
}

TEST(MakeDataset, TakesSeveralTargetsByName) {
  const Dataset dataset = make_dataset(read_text("a,b,c\n1,2,3\n4,5,6\n"), {.targets = {"c", "a"}});
  EXPECT_EQ(features(dataset), (Numbers{2, 5}));
  EXPECT_EQ(dataset.targets, (Numbers{3, 1, 6, 4}));
  EXPECT_EQ(dataset.target_names, (Words{"c", "a"}));
  EXPECT_EQ(dataset.outputs(), 2);
}

TEST(MakeDataset, EncodesTextOneHot) {
  const Dataset dataset = make_dataset(read_text("x,color,y\n1,red,10\n2,blue,20\n3,red,30\n"));
  EXPECT_EQ(dataset.feature_names, (Words{"x", "color=blue", "color=red"}));
  EXPECT_EQ(features(dataset), (Numbers{1, 0, 1, 2, 1, 0, 3, 0, 1}));
}

TEST(MakeDataset, SortsClasses) {
  const Table words = read_text("x,kind\n1,dog\n2,cat\n3,Ant\n4,dog\n");
  const Dataset by_bytes = make_dataset(words, {.task = Task::classification});
  EXPECT_EQ(by_bytes.class_names, (Words{"Ant", "cat", "dog"}));
  EXPECT_EQ(by_bytes.labels, (Codes{2, 1, 0, 2}));
  EXPECT_EQ(by_bytes.outputs(), 3);
  EXPECT_TRUE(by_bytes.targets.empty());
  const Table numbers = read_text("x,kind\n1,10\n2,9\n3,-1.5\n4,10\n");
  const Dataset by_value = make_dataset(numbers, {.task = Task::classification, .targets = {"kind"}});
  EXPECT_EQ(by_value.class_names, (Words{"-1.5", "9", "10"}));
  EXPECT_EQ(by_value.labels, (Codes{2, 1, 0, 2}));
}

TEST(MakeDataset, ReadsTheDigits) {
  const Dataset digits = make_dataset(read_csv(test::example_file("digits.csv.gz")), {.task = Task::classification});
  EXPECT_EQ(digits.rows, 1797);
  EXPECT_EQ(digits.columns, 64);
  EXPECT_EQ(digits.class_names, (Words{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}));
  EXPECT_EQ((Codes{digits.labels.begin(), digits.labels.begin() + 4}), (Codes{0, 1, 2, 3}));
  EXPECT_NO_THROW(digits.check());
}

TEST(MakeDataset, KeepsMissingFeaturesAsNaN) {
  const Table table = read_text("x,color,y\n1,,10\n,red,20\n", {.missing = Missing::keep});
  const Dataset dataset = make_dataset(table);
  EXPECT_EQ(dataset.feature(0, 0), 1);
  EXPECT_TRUE(std::isnan(dataset.feature(0, 1)));
  EXPECT_TRUE(std::isnan(dataset.feature(1, 0)));
  EXPECT_EQ(dataset.feature(1, 1), 1);
  expect_error<NumericError>([&] { dataset.check(); },
                             {"table.csv", "row 0", "column 'color=red'", "not a finite number", "MeanImputer"});
}

TEST(MakeDataset, RefusesMissingTargets) {
  const Table table = read_text("x,y,kind\n1,10,a\n2,,b\n3,30,\n", {.missing = Missing::keep});
  expect_error<IoError>([&] { make_dataset(table, {.targets = {"y"}}); },
                        {"table.csv:3", "target column 'y'", "missing", "drop_row"});
  expect_error<IoError>([&] { make_dataset(table, {.task = Task::classification, .targets = {"y"}}); },
                        {"table.csv:3", "target column 'y'", "missing", "drop_row"});
  expect_error<IoError>([&] { make_dataset(table, {.task = Task::classification}); },
                        {"table.csv:4", "target column 'kind'", "missing", "drop_row"});
}

TEST(MakeDataset, RefusesTargetsThatDoNotFit) {
  const Table table = read_text("a,b,kind\n1,2,x\n3,4,y\n");
  expect_error<IoError>([&] { make_dataset(table, {.targets = {"strength"}}); },
                        {"table.csv", "'strength'", "'a', 'b', 'kind'"});
  expect_error<IoError>([&] { make_dataset(table); },
                        {"table.csv:2", "target column 'kind'", "text", "'x', 'y'", "classification"});
  expect_error<ArgumentError>([&] { make_dataset(table, {.targets = {"a", "a"}}); }, {"'a'", "twice"});
  expect_error<ArgumentError>(
      [&] {
        make_dataset(table, {.task = Task::classification, .targets = {"a", "b"}});
      },
      {"one target", "'a', 'b'"});
  expect_error<IoError>([] { make_dataset(read_text("y\n1\n2\n")); }, {"table.csv", "no column is left for features"});
  expect_error<IoError>([] { make_dataset(read_text("y\n1\n2\n", {.ignore = {"y"}})); }, {"table.csv", "no columns"});
}

TEST(MakeDataset, RefusesTooManyCategoriesAndClasses) {
  const Table table = read_text("name,y\na,1\nb,2\nc,3\n");
  EXPECT_EQ(make_dataset(table, {.max_categories = 3}).columns, 3);
  expect_error<IoError>([&] { make_dataset(table, {.max_categories = 2}); },
                        {"column 'name'", "3 categories", "max_categories = 2", "ignore"});
  expect_error<IoError>([&] { make_dataset(table, {.task = Task::classification, .max_classes = 2}); },
                        {"target column 'y'", "3 distinct values", "max_classes = 2", "regression"});
}

TEST(Dataset, TakesRowsInTheOrderAsked) {
  const Dataset part = small().take(Codes{2, 0, 2});
  EXPECT_EQ(part.rows, 3);
  EXPECT_EQ(features(part), (Numbers{5, 6, 1, 2, 5, 6}));
  EXPECT_EQ(part.targets, (Numbers{30, 10, 30}));
  const Dataset labelled = small_classes().take(Codes{1});
  EXPECT_EQ(labelled.labels, (Codes{1}));
  EXPECT_EQ(labelled.class_names, (Words{"a", "b"}));
  EXPECT_EQ(small().take(Codes{}).rows, 0);
  expect_error<ArgumentError>([] { (void)small().take(Codes{3}); }, {"'small'", "row 3", "3 rows"});
  expect_error<ArgumentError>([] { (void)small().take(Codes{-1}); }, {"'small'", "row -1"});
}

TEST(Dataset, ChecksSizes) {
  EXPECT_NO_THROW(small().check());
  EXPECT_NO_THROW(small_classes().check());
  const auto refuse = [](Dataset dataset, const std::string& part) {
    expect_error<ArgumentError>([&] { dataset.check(); }, {"'small'", part});
  };
  Dataset dataset = small();
  dataset.rows = 0;
  refuse(dataset, "no rows");
  dataset = small();
  dataset.columns = 0;
  refuse(dataset, "no columns");
  dataset = small();
  dataset.features = std::vector<float>{1, 2, 3, 4, 5};
  refuse(dataset, "5 features for 3 rows of 2");
  dataset = small();
  dataset.feature_names = {"only one"};
  refuse(dataset, "1 names for 2 columns");
  dataset = small();
  dataset.targets.pop_back();
  refuse(dataset, "2 target values for 3 rows");
  dataset = small();
  dataset.target_names.clear();
  refuse(dataset, "no target names");
  dataset = small_classes();
  dataset.labels.push_back(0);
  refuse(dataset, "4 labels for 3 rows");
  dataset = small_classes();
  dataset.class_names.clear();
  refuse(dataset, "no class names");
}

TEST(Dataset, ChecksValues) {
  Dataset dataset = small();
  std::get<Numbers>(dataset.features)[3] = nan;
  expect_error<NumericError>([&] { dataset.check(); }, {"'small'", "row 1, column 1", "not a finite number"});
  dataset.feature_names = {"a", "b"};
  dataset.features = std::vector<float>{1, 2, 3, 4, std::numeric_limits<float>::infinity(), 6};
  expect_error<NumericError>([&] { dataset.check(); }, {"'small'", "row 2, column 'a'", "not a finite number"});
  dataset = small();
  dataset.targets[2] = -std::numeric_limits<double>::infinity();
  expect_error<NumericError>([&] { dataset.check(); }, {"'small'", "row 2", "target 'y'", "not a finite number"});
  dataset = small_classes();
  dataset.labels[1] = 2;
  expect_error<NumericError>([&] { dataset.check(); }, {"'small'", "row 1", "label 2", "2 classes"});
  dataset.labels[1] = -1;
  expect_error<NumericError>([&] { dataset.check(); }, {"'small'", "row 1", "label -1", "2 classes"});
}

}  // namespace
}  // namespace twingrad::data
