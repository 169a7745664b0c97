// The tiers on a small training step, and what each of them says when something is wrong.
#include <gtest/gtest.h>
#include <twingrad/check/check.h>
#include <twingrad/check/faults.h>
#include <twingrad/graph/plan.h>
#include <twingrad/twingrad.h>

#include <algorithm>
#include <cmath>
#include <string>

namespace twingrad::check {
namespace {

Tensor train_step(Device device) {
  const Tensor x = random_normal({32, 12}, {.key = 3, .stream = 1}, {.device = device});
  x.eval();
  std::vector<std::int64_t> labels;
  for (std::int64_t r = 0; r < 32; ++r) {
    labels.push_back(r % 5);
  }
  const Tensor y = tensor(labels, {.device = device});
  nn::Mlp model({12, 17, 9, 5}, {.activation = nn::Activation::tanh, .seed = 4});
  model.to(device);
  for (auto& [name, parameter] : model.named_parameters()) {
    parameter.label(name);
  }
  optim::AdamW adam(model.parameters(), {.lr = 1e-2, .weight_decay = 0.1});
  const Tensor loss = cross_entropy(model(x), y);
  adam.step(gradients(loss, model.parameters()));
  return loss;
}

TEST(StepCheckTest, TheCpuAgrees) {
  const Report report = step(train_step);
  EXPECT_TRUE(report.agrees()) << report;
  ASSERT_EQ(report.devices.size(), 1U);
  const DeviceReport& device = report.devices[0];
  EXPECT_GT(device.kernels_checked, 30);
  EXPECT_EQ(device.elements_skipped, 0);
  // The loss, six gradients, six updated parameters and their twelve moments.
  EXPECT_GE(device.results.size(), 13U);
  EXPECT_FALSE(report.rules.empty());
  for (const RuleResult& rule : report.rules) {
    EXPECT_EQ(rule.verdict, Verdict::agrees) << rule.op;
  }
}

// Running statistics wait for the next evaluation, and there is one right after the check. (A bias in front of batch
// normalisation would be found ill-conditioned: its gradient is 0 but for rounding.)
TEST(StepCheckTest, NothingOfTheStepIsCarriedOut) {
  nn::Mlp model({6, 8, 3}, {.normalization = nn::Normalization::batch, .bias = false, .seed = 2});
  optim::SGD sgd(model.parameters(), {.lr = 0.1, .momentum = 0.9});
  const auto values = [&] {
    std::vector<std::vector<float>> all;
    for (const auto& [name, tensor] : model.state()) {
      all.push_back(tensor.to_vector<float>());
    }
    return all;
  };
  const std::vector<std::vector<float>> before = values();
  const Tensor x = random_normal({16, 6}, {.key = 9});
  x.eval();
  const Tensor y = tensor(std::vector<std::int64_t>{0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0});
  const Report report = step([&](Device) {
    const Tensor loss = cross_entropy(model(x), y);
    sgd.step(gradients(loss, model.parameters()));
    return loss;
  });
  EXPECT_TRUE(report.agrees()) << report;
  (x + 1).eval();
  EXPECT_EQ(values(), before);
}

TEST(StepCheckTest, InjectedNoisePredictsTheGradientsErrors) {
  const Report report = step(train_step);
  int compared = 0;
  double actual = 0;
  double predicted = 0;
  for (const ResultCheck& result : report.devices[0].results) {
    if (!result.name.starts_with("gradient")) {
      continue;
    }
    ++compared;
    EXPECT_LT(result.rms_error, 3 * result.predicted_rms) << result.name;
    actual += std::pow(result.rms_error / result.rms, 2);
    predicted += std::pow(result.predicted_rms / result.rms, 2);
  }
  EXPECT_EQ(compared, 6);
  // One small gradient may be right by luck, all of them together not.
  EXPECT_GT(3 * std::sqrt(actual), std::sqrt(predicted));
}

TEST(StepCheckTest, AWrongKernelIsNamedWithEveryNodeThatUsesIt) {
  const FaultyDevice faulty = make_faulty_device(make_cpu_backend());
  faulty.backend.plant(find_fault("matmul_drop_last_term"));
  const Report report = step(train_step, {.devices = {faulty.device}, .gradient_rules = false});
  EXPECT_EQ(report.verdict(), Verdict::kernel) << report;
  for (const NodeResult& node : report.devices[0].nodes) {
    EXPECT_EQ(node.verdict == Verdict::kernel, node.op == "matmul") << node.op << " at " << node.where;
  }
}

/// Lets the result of one step lie on that of an earlier one which a later step still reads. Gives the step that reads.
int overlap_live_slots(Plan& plan) {
  for (std::size_t victim = 0; victim < plan.steps.size(); ++victim) {
    const int slot = plan.steps[victim].output.slot;
    Plan::Slot& held = plan.slots[static_cast<std::size_t>(slot)];
    if (held.kind != Plan::Slot::Kind::arena) {
      continue;
    }
    for (std::size_t reader = victim + 2; reader < plan.steps.size(); ++reader) {
      const std::vector<int>& producers = plan.steps[reader].producers;
      if (std::find(producers.begin(), producers.end(), static_cast<int>(victim)) == producers.end()) {
        continue;
      }
      for (std::size_t between = victim + 1; between < reader; ++between) {
        Plan::Slot& other = plan.slots[static_cast<std::size_t>(plan.steps[between].output.slot)];
        if (&other != &held && other.kind == Plan::Slot::Kind::arena) {
          other.offset = held.offset;
          plan.arena_bytes = std::max(plan.arena_bytes, other.offset + other.bytes);
          return plan.steps[reader].node;
        }
      }
    }
  }
  return -1;
}

TEST(StepCheckTest, AnOverlapInTheArenaIsSeenInSituAndNotAlone) {
  int reader = -1;
  Options options;
  options.gradient_rules = false;
  options.tamper = [&](Plan& plan) { reader = overlap_live_slots(plan); };
  const Report report = step(train_step, options);
  ASSERT_GE(reader, 0);
  EXPECT_EQ(report.verdict(), Verdict::in_situ) << report;
  const NodeResult& named = report.devices[0].nodes[static_cast<std::size_t>(reader)];
  EXPECT_EQ(named.verdict, Verdict::in_situ);
  EXPECT_TRUE(named.isolated.passes());
  EXPECT_NE(named.note.find("overwritten"), std::string::npos) << named.note;
  for (const NodeResult& node : report.devices[0].nodes) {
    EXPECT_NE(node.verdict, Verdict::kernel) << node.op;
  }
}

TEST(StepCheckTest, LaidOutAsInThePlan) {
  // A kernel is checked on the strides it has in the plan: here the product reads a transposed matrix.
  const Report report = graph([](Device device) {
    const Tensor a = random_normal({9, 33}, {.key = 1}, {.device = device});
    const Tensor b = random_normal({7, 33}, {.key = 2}, {.device = device});
    a.eval();
    b.eval();
    return std::vector<Tensor>{matmul(a, transpose(b))};
  });
  EXPECT_TRUE(report.agrees()) << report;
  EXPECT_EQ(report.devices[0].elements_checked, 63);
}

// Equal terms round alike, so errors add up that are taken for independent ones.
TEST(StepCheckTest, ProductsOfConstantRowsAreNoFinding) {
  for (const std::int64_t k : {256, 700, 4096}) {
    for (const std::int64_t m : {1, 8, 32}) {
      std::vector<float> rows;
      for (std::int64_t i = 0; i < m; ++i) {
        rows.insert(rows.end(), static_cast<std::size_t>(k), 0.1F + 0.013F * static_cast<float>(i));
      }
      const Report report = graph(
          [&](Device device) {
            return std::vector{matmul(tensor(rows, {m, k}, {.device = device}),
                                      ones({k, 8}, {.dtype = Dtype::f32, .device = device}))};
          },
          {});
      EXPECT_TRUE(report.agrees()) << "k " << k << ", m " << m << ": " << report;
    }
  }
}

// The sum of terms that cancel to 0 is all rounding noise, but so small that nothing is wrong with it; one that leaves
// a rest is ill-conditioned.
TEST(StepCheckTest, TellsACancelledValueFromOneThatIsZero) {
  const auto verdict_of = [](double rest) {
    const Report report = graph(
        [rest](Device device) {
          const Tensor x = tensor(std::vector<double>{0.3, 0.7, -0.3 - rest, -0.7}, {.dtype = f32, .device = device});
          const Tensor y = x * tensor(std::vector<double>{1.1, 1.3, 1.1, 1.3}, {.dtype = f32, .device = device});
          return std::vector<Tensor>{sum(y)};
        },
        {.gradient_rules = false});
    return report.verdict();
  };
  EXPECT_EQ(verdict_of(0), Verdict::agrees);
  EXPECT_EQ(verdict_of(1e-1), Verdict::agrees);
  EXPECT_EQ(verdict_of(3e-8), Verdict::ill_conditioned);
}

// A bias in front of a batch normalisation matters to a tiny penalty alone, so that its gradient is mostly rounding
// noise. That warns, and names the node; it is no disagreement.
TEST(StepCheckTest, AnIllConditionedGradientWarns) {
  const Report report = step([](Device device) {
    const Tensor x = random_normal({32, 5}, {.key = 1, .stream = 1}, {.device = device});
    Tensor w = random_normal({5, 4}, {.key = 1, .stream = 2}, {.device = device});
    Tensor bias = random_normal({4}, {.key = 1, .stream = 3}, {.device = device});
    const Tensor y = random_normal({32, 4}, {.key = 1, .stream = 4}, {.device = device});
    for (const Tensor& value : {x, w, bias, y}) {
      value.eval();
    }
    bias.requires_grad(true).label("bias");
    const Tensor hidden = matmul(x, w) + bias;
    const Tensor centred = hidden - mean(hidden, {.axes = {0}, .keepdim = true});
    const Tensor normal = centred / sqrt(mean(square(centred), {.axes = {0}, .keepdim = true}) + 1e-5);
    const Tensor loss = mean(square(normal - y)) + 1e-9 * sum(bias);
    gradients(loss, {bias});
    return loss;
  });
  EXPECT_EQ(report.verdict(), Verdict::ill_conditioned) << report;
  EXPECT_TRUE(report.agrees());
  const std::vector<ResultCheck>& results = report.devices[0].results;
  const auto found = std::find_if(results.begin(), results.end(),
                                  [](const ResultCheck& result) { return result.verdict == Verdict::ill_conditioned; });
  ASSERT_NE(found, results.end());
  EXPECT_EQ(found->name, "gradient of bias");
  EXPECT_NE(found->amplifier.find("step_test.cpp"), std::string::npos) << found->amplifier;
  EXPECT_NE(to_text(report).find(found->amplifier), std::string::npos);
}

TEST(StepCheckTest, RefusesWhatIsNoStep) {
  EXPECT_THROW(step([](Device device) { return ones({3}, {.device = device}); }), ArgumentError);
  EXPECT_THROW(step(train_step, {.devices = {}}), ArgumentError);
  EXPECT_THROW(graph([](Device device) { return std::vector<Tensor>{arange(5, 0, 1, {.device = device})}; }),
               ArgumentError);
}

}  // namespace
}  // namespace twingrad::check
