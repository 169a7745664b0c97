// The checks in common use, as the score table applies them, and the table's texts.
#include <gtest/gtest.h>
#include <twingrad/check/score.h>
#include <twingrad/error.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <limits>
#include <vector>

namespace twingrad::check {
namespace {

const double nan = std::numeric_limits<double>::quiet_NaN();
const double inf = std::numeric_limits<double>::infinity();

std::vector<CommonCheck> all_checks() {
  std::vector<CommonCheck> checks;
  for (std::size_t c = 0; c < common_check_count; ++c) {
    checks.push_back(static_cast<CommonCheck>(c));
  }
  return checks;
}

TEST(CommonChecks, AcceptEqualValues) {
  for (const CommonCheck check : all_checks()) {
    EXPECT_TRUE(accepts(check, {}, {})) << name(check);
    EXPECT_TRUE(accepts(check, {1, -2, 0}, {1, -2, 0})) << name(check);
    EXPECT_TRUE(accepts(check, {nan, inf, -inf}, {nan, inf, -inf})) << name(check);
  }
}

TEST(CommonChecks, RefuseWhatIsNotFiniteOnOneSide) {
  for (const CommonCheck check : all_checks()) {
    EXPECT_FALSE(accepts(check, {nan}, {1})) << name(check);
    EXPECT_FALSE(accepts(check, {1}, {nan})) << name(check);
    EXPECT_FALSE(accepts(check, {inf}, {-inf})) << name(check);
    EXPECT_FALSE(accepts(check, {1, 2}, {1})) << name(check);
  }
}

TEST(CommonChecks, HaveTheirOwnBounds) {
  EXPECT_TRUE(accepts(CommonCheck::nmse_1e7, {1 + 3e-4}, {1}));
  EXPECT_FALSE(accepts(CommonCheck::nmse_1e7, {1 + 4e-4}, {1}));
  EXPECT_TRUE(accepts(CommonCheck::nmse_5e4, {1.022}, {1}));
  EXPECT_FALSE(accepts(CommonCheck::nmse_5e4, {1.023}, {1}));
  EXPECT_FALSE(accepts(CommonCheck::nmse_5e4, {1e-30}, {0}));
  EXPECT_TRUE(accepts(CommonCheck::allclose_1e3, {1.0019}, {1}));
  EXPECT_FALSE(accepts(CommonCheck::allclose_1e3, {1.0021}, {1}));
  EXPECT_TRUE(accepts(CommonCheck::pytorch_default, {1 + 1.1e-5}, {1}));
  EXPECT_FALSE(accepts(CommonCheck::pytorch_default, {1 + 1.2e-5}, {1}));
  std::vector<double> many(100, 1.0);
  std::vector<double> wrong = many;
  wrong[7] = 1 + 1.9e-4;
  EXPECT_TRUE(accepts(CommonCheck::size_scaled, wrong, many));
  wrong[7] = 1 + 2.1e-4;
  EXPECT_FALSE(accepts(CommonCheck::size_scaled, wrong, many));
}

TEST(Score, WritesTheTable) {
  const FaultTable table = score_faults({.large = false, .filter = "wrong_sign"});
  ASSERT_EQ(table.rows.size(), 1U);
  EXPECT_TRUE(table.complete());
  const std::string text = to_markdown(table);
  EXPECT_NE(text.find("| `wrong_sign` |"), std::string::npos) << text;
  EXPECT_NE(text.find("1 of 1"), std::string::npos) << text;
  const nlohmann::json json = nlohmann::json::parse(to_json(table));
  EXPECT_EQ(json.at("complete"), true);
  EXPECT_EQ(json.at("faults").at(0).at("fault"), "wrong_sign");
  EXPECT_EQ(json.at("faults").at(0).at("right_node"), true);
}

TEST(Score, RefusesAFilterThatFitsNothing) {
  EXPECT_THROW(score_faults({.filter = "nothing_like_this"}), ArgumentError);
}

TEST(Score, IsNotCompleteWithoutRowsOrWithAFalseAlarm) {
  FaultTable table;
  EXPECT_FALSE(table.complete());
  FaultScore row;
  row.cases_caught = 1;
  table.rows = {row};
  EXPECT_TRUE(table.complete());
  table.clean_findings = 1;
  EXPECT_FALSE(table.complete());
  table.clean_findings = 0;
  table.rows[0].planted_node = 3;  // but another node was named
  EXPECT_FALSE(table.complete());
}

}  // namespace
}  // namespace twingrad::check
