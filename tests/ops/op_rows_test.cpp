// That the table of ops is complete: every kernel has its row, and every row what a row needs.
#include <twingrad/formulas.h>
#include <twingrad/op.h>
#include <twingrad/update_formulas.h>

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <tuple>

#include "tests/ops/samples.h"

namespace twingrad::tests {
namespace {

TEST(AllOps, EveryRowIsComplete) {
  std::set<std::string_view> names;
  for (const Op* op : all_ops()) {
    SCOPED_TRACE(std::string(op->name));
    EXPECT_FALSE(op->name.empty());
    EXPECT_TRUE(names.insert(op->name).second) << "two rows have this name";
    EXPECT_FALSE(op->summary.empty());
    EXPECT_NE(op->infer, nullptr);
    EXPECT_LE(op->min_inputs, op->max_inputs);
    EXPECT_EQ(op->view != nullptr, op->family == Family::view);
    EXPECT_FALSE(samples_of(*op).empty()) << "no sample: the generated tests cannot run";
    EXPECT_TRUE(!op->constant || op->gradient == nullptr);
  }
}

TEST(AllOps, EveryElementwiseAndUpdateKernelHasItsRow) {
  std::map<Family, std::set<int>> kernels;
  for (const Op* op : all_ops()) {
    if (op->family == Family::elementwise || op->family == Family::update) {
      EXPECT_TRUE(kernels[op->family].insert(op->kernel).second) << op->name;
    }
  }
  EXPECT_EQ(kernels[Family::elementwise].size(), std::tuple_size_v<formulas::Formulas>);
  EXPECT_EQ(kernels[Family::update].size(), std::tuple_size_v<formulas::UpdateFormulas>);
}

// Who adds a row without a gradient says so here.
TEST(AllOps, RowsWithoutGradientAreThese) {
  const std::set<std::string_view> constant = {"logical_not",    "equal",         "not_equal",         "less",
                                               "less_equal",     "greater",       "greater_equal",     "logical_and",
                                               "argmax",         "argmin",        "logical_or",        "arange",
                                               "random_uniform", "random_normal", "random_permutation"};
  const std::set<std::string_view> updates = {
      "sgd_update",  "accumulate_update",  "accumulate_square_update", "penalty_update",
      "adam_update", "scaled_step_update", "centred_direction_update"};
  std::set<std::string_view> found_constant;
  std::set<std::string_view> found_without;
  std::size_t with = 0;
  for (const Op* op : all_ops()) {
    if (op->gradient != nullptr) {
      ++with;
    } else {
      (op->constant ? found_constant : found_without).insert(op->name);
    }
  }
  EXPECT_EQ(found_constant, constant);
  EXPECT_EQ(found_without, updates);
  EXPECT_EQ(with + constant.size() + updates.size(), all_ops().size());
  RecordProperty("rows_with_gradient", static_cast<int>(with));
}

}  // namespace
}  // namespace twingrad::tests
