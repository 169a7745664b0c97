// Replay files: one node each, shrunk, that gives the same bits again; and files that must be refused.
#include <gtest/gtest.h>
#include <twingrad/autograd.h>
#include <twingrad/check/faults.h>
#include <twingrad/check/replay.h>
#include <twingrad/check/score_model.h>
#include <twingrad/custom_op.h>
#include <twingrad/ops.h>
#include <nlohmann/json.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <vector>

namespace twingrad::check {
namespace {

class ReplayTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "replay-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  /// A file about a product that lost the last term of its sums.
  std::string failing_product() {
    const auto step = [](Device device) {
      Tensor w = tensor(random_normal({19, 23}, {5, 1}).to_vector<float>(), {19, 23},
                        {.device = device, .requires_grad = true});
      const Tensor x = tensor(random_normal({8, 19}, {5, 2}).to_vector<float>(), {8, 19}, {.device = device});
      const Tensor loss = mean(square(matmul(x, w)));
      gradients(loss, {w});
      return loss;
    };
    faulty_.backend.plant(find_fault("matmul_drop_last_term"));
    const Report report = check::step(step, {.devices = {faulty_.device}, .gradient_rules = false});
    const std::vector<std::string> files = save_failures(step, report, {faulty_.device}, folder_);
    EXPECT_EQ(files.size(), 2U);  // the forward product and its gradient
    return files.empty() ? "" : files.front();
  }

  std::string changed(const std::string& path, const std::function<void(nlohmann::ordered_json&)>& change) {
    std::ifstream in(path);
    nlohmann::ordered_json json = nlohmann::ordered_json::parse(in);
    change(json);
    const std::string target = folder_ + "/changed.json";
    std::ofstream(target) << json.dump(1);
    return target;
  }

  std::string folder_;
  FaultyDevice faulty_ = make_faulty_device(make_cpu_backend());
};

template <class Exception>
std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Exception& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST_F(ReplayTest, GivesTheSameBitsAndTheSameFinding) {
  const std::string path = failing_product();
  const Replayed again = replay(path, faulty_.device);
  EXPECT_TRUE(again.same_bits);
  EXPECT_FALSE(again.comparison.passes());
  EXPECT_EQ(again.recorded.use.op->name, "matmul");
  EXPECT_EQ(again.recorded.verdict, Verdict::kernel);
  EXPECT_EQ(again.recorded.where.rfind("replay_test.cpp:", 0), 0U);
  EXPECT_EQ(again.recorded.device, faulty_.device.name());

  const Replayed elsewhere = replay(path, Device::cpu());
  EXPECT_FALSE(elsewhere.same_bits);
  EXPECT_TRUE(elsewhere.comparison.passes()) << "the clean device is right on these values";
}

bool is_turned_product(const KernelCall& call) {
  return call.op->name == "matmul" && !call.inputs[1].contiguous() && call.inputs[1].numel() > 1;
}

TEST_F(ReplayTest, KeepsHowInputsLieInMemory) {
  // A product that is wrong only where its second operand is turned in memory.
  const Fault turned{.name = "turned_product",
                     .family = "matmul",
                     .description = "drops a term where the second operand is column-major",
                     .applies = is_turned_product,
                     .plant = [](FaultCall& call) { call.output[0] += 1; }};
  const auto step = [](Device device) {
    Tensor w =
        tensor(random_normal({23, 19}, {5, 1}).to_vector<float>(), {23, 19}, {.device = device, .requires_grad = true});
    const Tensor x = tensor(random_normal({8, 19}, {5, 2}).to_vector<float>(), {8, 19}, {.device = device});
    const Tensor loss = mean(square(matmul(x, transpose(w, 0, 1))));
    gradients(loss, {w});
    return loss;
  };
  faulty_.backend.plant(turned);
  const Report report = check::step(step, {.devices = {faulty_.device}, .noise_runs = 0, .gradient_rules = false});
  const std::vector<std::string> files = save_failures(step, report, {faulty_.device}, folder_);
  ASSERT_FALSE(files.empty());
  for (const std::string& path : files) {
    const Replayed again = replay(path, faulty_.device);
    EXPECT_TRUE(again.same_bits) << path;
    EXPECT_FALSE(again.comparison.passes()) << path;
    const NodeUse& use = again.recorded.use;
    // A row or a column would lie alike whichever way round: that is as small as it gets.
    EXPECT_EQ(use.inputs[1].type.shape, (Shape{2, 2})) << path;
    EXPECT_NE(use.strides[1], contiguous_strides(use.inputs[1].type.shape)) << path;
    EXPECT_TRUE(replay(path, Device::cpu()).comparison.passes()) << path;
  }
}

bool is_turned_sum(const KernelCall& call) {
  return call.op->name == "add" && !call.inputs[0].contiguous();
}

TEST_F(ReplayTest, KeepsInputsOfFewerAxesThanTheKernelSees) {
  // A sum that is wrong only where its first operand is turned; the second is repeated along an axis that it lacks.
  const Fault turned{.name = "turned_sum",
                     .family = "elementwise",
                     .description = "adds one where the first operand is column-major",
                     .applies = is_turned_sum,
                     .plant = [](FaultCall& call) { call.output[0] += 1; }};
  const auto step = [](Device device) {
    Tensor w =
        tensor(random_normal({23, 19}, {5, 1}).to_vector<float>(), {23, 19}, {.device = device, .requires_grad = true});
    const Tensor b = tensor(random_normal({23}, {5, 2}).to_vector<float>(), {23}, {.device = device});
    const Tensor loss = mean(square(transpose(w, 0, 1) + b));
    gradients(loss, {w});
    return loss;
  };
  faulty_.backend.plant(turned);
  const Report report = check::step(step, {.devices = {faulty_.device}, .noise_runs = 0, .gradient_rules = false});
  const std::vector<std::string> files = save_failures(step, report, {faulty_.device}, folder_);
  ASSERT_EQ(files.size(), 1U);
  const Replayed again = replay(files.front(), faulty_.device);
  EXPECT_TRUE(again.same_bits);
  EXPECT_FALSE(again.comparison.passes());
  EXPECT_EQ(again.recorded.use.strides[1].size(), 1);
  EXPECT_TRUE(replay(files.front(), Device::cpu()).comparison.passes());
}

TEST_F(ReplayTest, BroadcastReversedAndGappedInputsReplay) {
  const std::string path = folder_ + "/windows.json";
  const std::vector<const Op*> ops = all_ops();
  const auto add_op = std::find_if(ops.begin(), ops.end(), [](const Op* op) { return op->name == "add"; });
  Failure failure;
  failure.use = {*add_op,
                 {},
                 {{{{2, 3}, f32}, {1, 2, 3, 1, 2, 3}, {}}, {{{2, 3}, f32}, {10, 20, 30, 40, 50, 60}, {}}},
                 {{2, 3}, f32},
                 {{0, 2}, {4, -1}}};
  failure.lambda = 8;
  save_replay(path, failure, Device::cpu());
  const Replayed again = replay(path, Device::cpu());
  EXPECT_EQ(again.actual, (std::vector<double>{11, 22, 33, 41, 52, 63}));
  EXPECT_EQ(again.recorded.use.strides, failure.use.strides);
  EXPECT_TRUE(again.same_bits);
  const std::string other = changed(path, [](auto& json) { json["inputs"][0]["strides"] = std::vector<int>{0, 2, 1}; });
  EXPECT_NE(message_of<IoError>([&] { replay(other, Device::cpu()); }).find("checksum"), std::string::npos);
}

TEST_F(ReplayTest, IsShrunkAsFarAsItFails) {
  const Failure failure = load_replay(failing_product());
  // One element of one product is enough, and a term of 1 * 1.
  EXPECT_EQ(failure.use.type.shape, (Shape{1, 1}));
  EXPECT_EQ(failure.use.inputs[0].type.shape, (Shape{1, 1}));
  EXPECT_EQ(failure.use.inputs[1].type.shape, (Shape{1, 1}));
  EXPECT_EQ(failure.actual, std::vector<double>{0});
  EXPECT_EQ(failure.expected, failure.use.inputs[0].data) << "the other factor became 1";
}

TEST_F(ReplayTest, RefusesDamagedFiles) {
  const std::string path = failing_product();
  std::ifstream in(path);
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  const std::string target = folder_ + "/damaged.json";
  for (const std::size_t length : {std::size_t{0}, std::size_t{1}, text.size() / 2, text.size() - 4}) {
    std::ofstream(target) << text.substr(0, length);
    EXPECT_THROW(replay(target, Device::cpu()), IoError) << length;
  }
  for (std::size_t i = 0; i < text.size(); i += 7) {
    std::string other = text;
    other[i] = static_cast<char>(other[i] ^ 1);
    std::ofstream(target) << other;
    EXPECT_THROW(replay(target, Device::cpu()), Error) << "byte " << i;
  }
  EXPECT_NE(message_of<IoError>([&] { replay(target + "x", Device::cpu()); }).find("damaged.jsonx"), std::string::npos);
}

TEST_F(ReplayTest, RefusesChangedValues) {
  const std::string path = changed(failing_product(), [](auto& json) { json["inputs"][0]["bits"] = "0000a040"; });
  EXPECT_NE(message_of<IoError>([&] { replay(path, Device::cpu()); }).find("checksum"), std::string::npos);
}

TEST_F(ReplayTest, RefusesOtherVersions) {
  const std::string path = changed(failing_product(), [](auto& json) { json["version"] = 7; });
  EXPECT_NE(message_of<IoError>([&] { replay(path, Device::cpu()); }).find("version 7"), std::string::npos);
}

TEST_F(ReplayTest, RefusesOtherJson) {
  const std::string path = folder_ + "/other.json";
  std::ofstream(path) << "{\"a\": [1, 2]}";
  EXPECT_NE(message_of<IoError>([&] { replay(path, Device::cpu()); }).find("no replay file"), std::string::npos);
}

const CustomOp doubled({
    .name = "doubled",
    .gradient = [](const GradientCall& call) -> std::vector<Tensor> { return {call.cotangent * 2.0}; },
    .custom_cpu = [](const KernelCall& call) { map_elements(call, [](auto x) { return x + x; }); },
});

TEST_F(ReplayTest, KnowsCustomOpsThatItIsGiven) {
  const std::string path = folder_ + "/custom.json";
  Failure failure;
  failure.use = {&doubled.row(), {}, {{{{3}, f32}, {1, -2, 0.5}, {}}}, {{3}, f32}};
  failure.lambda = 8;
  save_replay(path, failure, Device::cpu());
  EXPECT_NE(message_of<ArgumentError>([&] { replay(path, Device::cpu()); }).find("'doubled'"), std::string::npos);
  const Op* const known[] = {&doubled.row()};
  const Replayed again = replay(path, Device::cpu(), known);
  EXPECT_TRUE(again.same_bits);
  EXPECT_TRUE(again.comparison.passes());
}

TEST_F(ReplayTest, KeepsEveryDtypesBits) {
  const std::string path = folder_ + "/bits.json";
  const std::vector<double> values = {1.5, -0.0, 0.0, 1e-41, 3, 3, 3};
  for (const Dtype dtype : {Dtype::f64, Dtype::bf16, Dtype::f16, Dtype::f32}) {
    Failure failure;
    const Tensor x = tensor(values, {.dtype = dtype});
    const std::vector<Op const*> ops = all_ops();
    const auto neg_op = std::find_if(ops.begin(), ops.end(), [](const Op* op) { return op->name == "neg"; });
    failure.use = {*neg_op, {}, {{{{7}, dtype}, x.to_vector<double>(), {}}}, {{7}, dtype}};
    failure.lambda = 8;
    save_replay(path, failure, Device::cpu());
    EXPECT_TRUE(replay(path, Device::cpu()).same_bits) << name(dtype);
    EXPECT_EQ(load_replay(path).use.inputs[0].data, failure.use.inputs[0].data) << name(dtype);
  }
}

/// Every planted fault leaves a file of one node that gives the same bits again.
TEST_F(ReplayTest, HoldsEveryPlantedFault) {
  const FaultModel model(1);
  const auto step = [&](Device device) { return model(device); };
  int files = 0;
  for (const Fault& fault : all_faults()) {
    if (fault.kind != Fault::Kind::values || fault.name == "index_through_float") {
      continue;  // of the plan, or of a table that this model does not have
    }
    faulty_.backend.plant(fault, {.nth = 0});
    const Report report = check::step(step, {.devices = {faulty_.device}, .noise_runs = 0, .gradient_rules = false});
    // Where a node failed alone, it was at the first call that the fault applies to: there it must fail again.
    faulty_.backend.plant(fault);
    for (const std::string& path : save_failures(step, report, {faulty_.device}, folder_)) {
      ++files;
      const Replayed again = replay(path, faulty_.device);
      if (fault.name == "reduce_random_order") {
        EXPECT_EQ(again.recorded.verdict, Verdict::race);  // no two runs need to give the same bits
      } else {
        EXPECT_TRUE(again.same_bits) << path;
      }
    }
    faulty_.backend.remove();
  }
  EXPECT_GT(files, 30);
}

}  // namespace
}  // namespace twingrad::check
