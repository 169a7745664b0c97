// Who checks the checker: planted faults are found, at the node where they were planted, and nothing is found where
// none was.
#include <gtest/gtest.h>
#include <twingrad/autograd.h>
#include <twingrad/check/faults.h>
#include <twingrad/check/gtest.h>
#include <twingrad/check/score.h>
#include <twingrad/check/score_model.h>
#include <twingrad/ops.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "tests/fake_device.h"

namespace twingrad::check {
namespace {

/// The table without the rows that need hundreds of MiB, made once.
const FaultTable& table() {
  static const FaultTable made = score_faults({.large = false});
  return made;
}

TEST(Faults, AreNamedOnceAndDescribed) {
  std::set<std::string_view> names;
  for (const Fault& fault : all_faults()) {
    EXPECT_TRUE(names.insert(fault.name).second) << fault.name;
    EXPECT_FALSE(fault.description.empty()) << fault.name;
    EXPECT_EQ(find_fault(fault.name).name, fault.name);
  }
  EXPECT_GE(names.size(), 25U);
  EXPECT_THROW(find_fault("no_such_fault"), ArgumentError);
}

TEST(Faults, TheCleanBackendIsClean) {
  EXPECT_EQ(table().clean_findings, 0);
}

TEST(Faults, TheStepHasAtLeast200Nodes) {
  EXPECT_GE(table().step_nodes, 200);
}

class FaultTest : public testing::TestWithParam<std::string> {
 protected:
  const FaultScore& score() const {
    return *std::find_if(table().rows.begin(), table().rows.end(),
                         [&](const FaultScore& row) { return row.fault == GetParam(); });
  }
};

TEST_P(FaultTest, IsCaughtWhereItWasPlanted) {
  EXPECT_GT(score().cases_changed, 0);
  EXPECT_GT(score().cases_caught, 0) << "in no small graph";
  ASSERT_GE(score().planted_node, 0) << "changed nothing in the training step";
  EXPECT_TRUE(score().right_node) << "planted at " << score().planted << ", node " << score().planted_node
                                  << "; named first: " << (score().named.empty() ? -1 : score().named.front());
}

TEST_P(FaultTest, HasTheVerdictOfItsKind) {
  const Fault::Kind kind = find_fault(GetParam()).kind;
  const Verdict expected = kind != Fault::Kind::values           ? Verdict::in_situ
                           : GetParam() == "reduce_random_order" ? Verdict::race
                                                                 : Verdict::kernel;
  EXPECT_EQ(name(score().verdict), name(expected));
}

/// All but the one that needs a table of more than 2^24 rows: see Faults.IndexThroughFloatIsCaught.
std::vector<std::string> fault_names() {
  std::vector<std::string> names;
  for (const Fault& fault : all_faults()) {
    if (fault.name != "index_through_float") {
      names.emplace_back(fault.name);
    }
  }
  return names;
}

std::string as_test_name(const testing::TestParamInfo<std::string>& fault) {
  std::string text = fault.param;
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c == '-' || c == '.'; }, '_');
  return text;
}

INSTANTIATE_TEST_SUITE_P(All, FaultTest, testing::ValuesIn(fault_names()), as_test_name);

TEST(Faults, IndexThroughFloatIsCaught) {
  // The kernel alone, without the cross-check's bookkeeping, which would take a gigabyte for this table.
  constexpr std::int64_t count = (std::int64_t{1} << 24) + 3;
  const FaultyDevice faulty = make_faulty_device(make_cpu_backend());
  const Tensor table = arange(count, 0, 1, {.dtype = i32, .device = faulty.device}).to(f64);
  table.eval();
  const auto look_up = [&] {
    return index_select(table, 0, tensor(std::vector<std::int64_t>{count - 2}, {.device = faulty.device})).item();
  };
  EXPECT_EQ(look_up(), static_cast<double>(count - 2));
  faulty.backend.plant(find_fault("index_through_float"));
  EXPECT_NE(look_up(), static_cast<double>(count - 2));
  EXPECT_EQ(faulty.backend.changed(), 1);
}

TEST(FaultyBackend, PlantsAtTheChosenCallOnly) {
  const FaultyDevice faulty = make_faulty_device(make_cpu_backend());
  const Tensor x = tensor(std::vector<float>{1, 2, 3}, {.device = faulty.device});
  faulty.backend.plant(find_fault("wrong_sign"), {.nth = 1});
  EXPECT_EQ(neg(x).to_vector<float>(), (std::vector<float>{-1, -2, -3}));
  EXPECT_EQ(neg(x).to_vector<float>(), (std::vector<float>{1, 2, 3}));
  EXPECT_EQ(neg(x).to_vector<float>(), (std::vector<float>{-1, -2, -3}));
  EXPECT_EQ(faulty.backend.planted(), 1);
  EXPECT_EQ(faulty.backend.changed(), 1);
  faulty.backend.remove();
  EXPECT_EQ(neg(x).to_vector<float>(), (std::vector<float>{-1, -2, -3}));
}

TEST(FaultyBackend, RefusesFaultsOfThePlan) {
  const FaultyDevice faulty = make_faulty_device(make_cpu_backend());
  EXPECT_THROW(faulty.backend.plant(find_fault("arena_alias")), ArgumentError);
}

TEST(FaultyBackend, WrapsAnyDevice) {
  const FaultyDevice faulty = make_faulty_device(std::make_unique<tests::FakeBackend>(7, 20));
  const Tensor x = tensor(std::vector<float>{1, 2, 3, 4}, {2, 2}, {.device = faulty.device});
  faulty.backend.plant(find_fault("matmul_drop_last_term"));
  EXPECT_EQ(matmul(x, transpose(x)).to_vector<float>(), (std::vector<float>{1, 3, 3, 9}));
}

/// A net whose every layer has another shape.
Tensor small_step(Device device) {
  Tensor h = random_normal({16, 9}, {1, 0}, {.device = device});
  std::vector<Tensor> parameters;
  for (std::int64_t l = 0; l < 8; ++l) {
    Tensor weight = tensor(random_normal({10 + l, 9 + l}, {1, l + 1}).to_vector<float>(), {10 + l, 9 + l},
                           {.device = device, .requires_grad = true});
    parameters.push_back(weight);
    h = tanh(linear(h * 0.3, weight));
  }
  const Tensor loss = mean(square(h));
  gradients(loss, parameters);
  return loss;
}

TEST(FakeDevice, AMissingWaitIsSeenInSitu) {
  tests::FakeBackend& fake = tests::fake_backend();
  Options options{.devices = {tests::fake_device()}, .gradient_rules = false};
  EXPECT_TRUE(agrees(small_step, options));
  int held = 0;
  fake.hold_back([&held](const KernelCall& call) {
    return call.op->name == "matmul" && call.output.shape == Shape{16, 13} && ++held > 0;
  });
  const Report report = step(small_step, options);
  fake.hold_back({});
  EXPECT_GT(held, 0);
  EXPECT_FALSE(agrees(report));
  EXPECT_EQ(name(report.verdict()), name(Verdict::in_situ));
  for (const NodeResult& node : report.devices[0].nodes) {
    EXPECT_NE(node.verdict, Verdict::kernel) << "every kernel is right: node " << node.node;
  }
  const auto named = std::find_if(report.devices[0].nodes.begin(), report.devices[0].nodes.end(),
                                  [](const NodeResult& node) { return node.verdict == Verdict::in_situ; });
  ASSERT_NE(named, report.devices[0].nodes.end());
  EXPECT_EQ(named->op, "matmul");
  EXPECT_EQ(named->type, "(16, 13) float32");
}

TEST(Alias, IsSeenInSituAndNotAlone) {
  const Report report = report_with_fault("arena_alias", {.large = false});
  EXPECT_FALSE(report.agrees());
  int in_situ = 0;
  for (const NodeResult& node : report.devices[0].nodes) {
    EXPECT_NE(node.verdict, Verdict::kernel);
    in_situ += node.verdict == Verdict::in_situ ? 1 : 0;
  }
  EXPECT_GT(in_situ, 0);
}

TEST(WrongTranspose, IsNamedWithItsLine) {
  const Report report = report_with_fault("matmul_wrong_transpose", {.large = false});
  EXPECT_EQ(report.verdict(), Verdict::kernel);
  int named = 0;
  for (const NodeResult& node : report.devices[0].nodes) {
    if (node.verdict == Verdict::kernel) {
      ++named;
      EXPECT_EQ(node.op, "matmul");
      EXPECT_EQ(node.where.rfind("score_model.cpp:", 0), 0U) << node.where;
    }
  }
  EXPECT_EQ(named, 1);
}

TEST(FaultModel, AgreesOnEveryTier) {
  const FaultModel model(3);
  EXPECT_TRUE(agrees([&](Device device) { return model(device); }));
}

}  // namespace
}  // namespace twingrad::check
