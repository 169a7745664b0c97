// A plan that is replayed as one recording gives the bits of its kernels queued one by one, whatever lies where, and
// one replay per step is what the usual loops get.
#include <gtest/gtest.h>
#include <twingrad/backend.h>
#include <twingrad/graph/node.h>
#include <twingrad/twingrad.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tests/devices.h"

namespace twingrad::tests {
namespace {

struct Batch {
  Tensor x, y;
};

Batch make_batch(std::int64_t rows, std::int64_t number, Device device) {
  Batch made{cast(random_uniform({rows, 4}, {31, number}, {.device = device}) * 10, i64),
             cast(random_uniform({rows}, {32, number}, {.device = device}) * 3, i64)};
  eval({made.x, made.y});
  return made;
}

/// A net with everything that a replay could get wrong: indices, random numbers, running statistics, a step count.
struct Training {
  Tensor table;
  nn::Mlp net;
  std::optional<optim::Adam> adam;

  explicit Training(Device device)
      : table(random_normal({10, 3}, {30, 0}, {.device = device})),
        net({12, 9, 3}, {.dropout = 0.25, .normalization = nn::Normalization::batch, .seed = 3}) {
    net.to(device);
    table.eval();
    table = table.detach().requires_grad(true);
    std::vector<Tensor> parameters = net.parameters();
    parameters.push_back(table);
    adam.emplace(parameters, optim::AdamOptions{.lr = 0.01});
  }

  Tensor step(const Tensor& x, const Tensor& y) {
    Tensor loss = cross_entropy(net(reshape(embedding(table, x), {x.size(0), 12})), y);
    adam->step(gradients(loss, adam->parameters()));
    return loss;
  }

  /// All that the training has changed.
  std::vector<double> state() const {
    std::vector<double> all = table.to_vector<double>();
    for (const NamedTensors& tensors : {net.state(), adam->state()}) {
      for (const auto& [name, tensor] : tensors) {
        const std::vector<double> values = tensor.to_vector<double>();
        all.insert(all.end(), values.begin(), values.end());
      }
    }
    return all;
  }
};

/// Steps as the compiled or the plain loop makes them.
class Loop {
 public:
  Loop(Device device, bool compiled) : training_(device) {
    if (compiled) {
      compiled_.emplace(compile([this](const Tensor& x, const Tensor& y) { return training_.step(x, y); }));
    }
  }
  Tensor operator()(const Batch& batch) {
    return compiled_ ? (*compiled_)(batch.x, batch.y) : training_.step(batch.x, batch.y);
  }
  Training& training() { return training_; }
  std::string describe() const { return compiled_ ? compiled_->describe() : std::string(); }

 private:
  Training training_;
  std::optional<CompiledStep> compiled_;
};

/// What happened while it lives.
class Happened {
 public:
  std::uint64_t recorded() const { return capture_stats().recorded - before_.recorded; }
  std::uint64_t replayed() const { return capture_stats().replayed - before_.replayed; }
  std::uint64_t single() const { return capture_stats().single - before_.single; }

 private:
  CaptureStats before_ = capture_stats();
};

class CaptureTest : public DeviceTest {
 protected:
  void SetUp() override {
    DeviceTest::SetUp();
    if (!IsSkipped()) {
      clear_plan_cache();
    }
  }
  void TearDown() override {
    set_capture(true);
    set_execution(Execution::planned);
    fake_backend().break_recordings_after(-1);
  }

  std::vector<Batch> batches(std::int64_t count, std::int64_t rows = 8) const {
    std::vector<Batch> made;
    for (std::int64_t i = 0; i < count; ++i) {
      made.push_back(make_batch(rows, i, device()));
    }
    return made;
  }

  /// The losses of `steps` steps, each held until the next, and what they leave.
  std::vector<double> train(bool compiled, std::int64_t steps, const std::vector<Batch>& data) const {
    Loop loop(device(), compiled);
    std::vector<double> result;
    Tensor loss;
    for (std::int64_t i = 0; i < steps; ++i) {
      loop.training().adam->set_learning_rate(0.01 / static_cast<double>(1 + i % 7));
      loss = loop(data[static_cast<std::size_t>(i) % data.size()]);
      if (i % 5 == 0) {
        result.push_back(loss.item());
      }
    }
    const std::vector<double> state = loop.training().state();
    result.insert(result.end(), state.begin(), state.end());
    return result;
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, CaptureTest, testing::ValuesIn(recording_devices()),
                         [](const auto& device) { return device_label(device.param); });

TEST_P(CaptureTest, TheBitsAreThoseOfOpByOp) {
  const std::vector<Batch> data = batches(3);
  set_execution(Execution::op_by_op);
  const std::vector<double> expected = train(false, 24, data);
  set_execution(Execution::planned);
  for (const bool compiled : {false, true}) {
    set_capture(true);
    Happened with;
    EXPECT_EQ(train(compiled, 24, data), expected) << "compiled " << compiled;
    EXPECT_GE(with.replayed(), 5U);
    clear_plan_cache();
    set_capture(false);
    Happened without;
    EXPECT_EQ(train(compiled, 24, data), expected) << "compiled " << compiled;
    EXPECT_EQ(without.replayed() + without.recorded(), 0U);
    EXPECT_GT(without.single(), 24U);
  }
}

TEST_P(CaptureTest, AStepIsOneReplayOnceItsAddressesAreKnown) {
  for (const bool compiled : {false, true}) {
    Loop loop(device(), compiled);
    const std::vector<Batch> data = batches(2);
    Tensor loss;
    for (int i = 0; i < 20; ++i) {
      loss = loop(data[static_cast<std::size_t>(i) % 2]);
    }
    const Happened since;
    const std::uint64_t allocations = memory_stats(device()).allocations;
    for (int i = 0; i < 20; ++i) {
      loss = loop(data[static_cast<std::size_t>(i) % 2]);
    }
    EXPECT_EQ(since.replayed(), 20U) << "compiled " << compiled;
    EXPECT_EQ(since.recorded(), 0U) << "compiled " << compiled;
    EXPECT_EQ(since.single(), 0U) << "compiled " << compiled;
    EXPECT_EQ(memory_stats(device()).allocations, allocations) << "compiled " << compiled;
  }
}

TEST_P(CaptureTest, BatchesGatheredInTheStepAreOneReplayToo) {
  const data::Dataset set = data::moons({.rows = 60, .seed = 4});
  data::Loader batches(set, {.batch = 20, .shuffle = true, .seed = 1, .device = device()});
  nn::Mlp model({2, 8, 2}, {.seed = 2});
  model.to(device());
  optim::Adam adam(model.parameters());
  Tensor loss;
  const auto epoch = [&] {
    for (auto [x, y] : batches) {
      loss = cross_entropy(model(x), y);
      adam.step(gradients(loss, model.parameters()));
    }
  };
  for (int i = 0; i < 6; ++i) {
    epoch();
  }
  const Happened since;
  epoch();
  epoch();
  EXPECT_GE(since.replayed(), 6U);
  EXPECT_LE(since.single(), 6U);  // the new order of each epoch
  EXPECT_EQ(since.recorded(), 0U);
}

TEST_P(CaptureTest, ManyBatchesAreCopiedToOnePlace) {
  const std::vector<Batch> data = batches(40);
  set_capture(false);
  const std::vector<double> expected = train(false, 100, data);
  set_capture(true);
  for (const bool compiled : {false, true}) {
    clear_plan_cache();
    const Happened with;
    EXPECT_EQ(train(compiled, 100, data), expected) << "compiled " << compiled;
    EXPECT_GE(with.replayed(), 60U) << "compiled " << compiled;
    EXPECT_LE(with.recorded(), 4U) << "compiled " << compiled;
  }
  Loop loop(device(), true);
  for (int i = 0; i < 40; ++i) {
    loop(data[static_cast<std::size_t>(i)]);
  }
  EXPECT_NE(loop.describe().find("are copied"), std::string::npos) << loop.describe();
}

TEST_P(CaptureTest, ABatchCutOutOfTheDataIsCopiedAsItLies) {
  // Rows of 12 bytes: neither where they begin nor how long they are suits wide accesses.
  const Tensor all = random_normal({80, 3}, {40, 0}, {.device = device()});
  all.eval();
  std::vector<std::vector<float>> results;
  for (const bool enabled : {false, true}) {
    set_capture(enabled);
    Tensor w = ones({3, 3}, {.device = device(), .requires_grad = true});
    optim::SGD sgd({w}, {.lr = 0.01});
    CompiledStep step = compile([&](const Tensor& x) {
      Tensor loss = mean(square(tanh(matmul(x, w)) - x)) + sum(abs(w)) * 0.01;
      sgd.step(gradients(loss, {w}));
      return loss;
    });
    std::vector<Tensor> losses;
    const Happened with;
    for (std::int64_t i = 0; i < 120; ++i) {
      losses.push_back(step(slice(all, 0, i % 60, i % 60 + 7)));
    }
    EXPECT_GE(with.replayed(), enabled ? 60U : 0U) << step.describe();
    std::vector<float> values = w.to_vector<float>();
    for (const Tensor& loss : losses) {
      values.push_back(static_cast<float>(loss.item()));
    }
    results.push_back(std::move(values));
  }
  EXPECT_EQ(results[0], results[1]);
}

TEST_P(CaptureTest, LossesThatAreAllKeptStayWhatTheyWere) {
  const std::vector<Batch> data = batches(2);
  for (const bool compiled : {false, true}) {
    std::vector<std::vector<double>> results;
    for (const bool enabled : {false, true}) {
      set_capture(enabled);
      clear_plan_cache();
      Loop loop(device(), compiled);
      std::vector<Tensor> losses;
      const Happened with;
      for (std::size_t i = 0; i < 60; ++i) {
        losses.push_back(loop(data[i % 2]));
      }
      EXPECT_GE(with.replayed(), enabled ? 30U : 0U) << "compiled " << compiled;
      std::vector<double> values;
      for (const Tensor& loss : losses) {
        values.push_back(loss.item());
      }
      results.push_back(std::move(values));
    }
    EXPECT_EQ(results[0], results[1]) << "compiled " << compiled;
  }
}

TEST_P(CaptureTest, InputsOfNewShapesGetPlansAndRecordingsOfTheirOwn) {
  std::vector<std::vector<double>> results;
  for (const bool enabled : {false, true}) {
    set_capture(enabled);
    for (const bool compiled : {false, true}) {
      clear_plan_cache();
      Loop loop(device(), compiled);
      std::vector<Batch> data;
      for (std::int64_t rows = 5; rows < 9; ++rows) {
        data.push_back(make_batch(rows, rows, device()));
      }
      const Happened with;
      for (std::size_t i = 0; i < 40; ++i) {
        loop(data[i / 2 % data.size()]);
      }
      EXPECT_GE(with.replayed(), enabled ? 20U : 0U);
      results.push_back(loop.training().state());
    }
  }
  for (const std::vector<double>& result : results) {
    EXPECT_EQ(result, results[0]);
  }
}

TEST_P(CaptureTest, MemoryThatIsGivenBackTakesTheRecordingsAlong) {
  const std::vector<Batch> data = batches(1);
  for (const bool compiled : {false, true}) {
    clear_plan_cache();
    Loop loop(device(), compiled);
    Loop other(device(), compiled);
    set_capture(true);
    for (int i = 0; i < 30; ++i) {
      loop(data[0]);
      if (i % 10 == 9) {
        release_cached_memory(device());  // a replay on what is gone is an error on the fake device
      }
    }
    set_capture(false);
    for (int i = 0; i < 30; ++i) {
      other(data[0]);
    }
    EXPECT_EQ(loop.training().state(), other.training().state());
  }
}

TEST_P(CaptureTest, WhatCannotBeRecordedIsQueuedOneByOneAndSaysWhy) {
  if (!(device() == fake_device())) {
    GTEST_SKIP() << "only the fake device breaks off on request";
  }
  const std::vector<Batch> data = batches(2);
  set_capture(false);
  const std::vector<double> expected = train(true, 12, data);
  set_capture(true);
  fake_backend().break_recordings_after(3);
  const Happened with;
  EXPECT_EQ(train(true, 12, data), expected);
  EXPECT_EQ(with.replayed() + with.recorded(), 0U);
  Loop loop(device(), true);
  for (int i = 0; i < 4; ++i) {
    loop(data[0]);
  }
  EXPECT_NE(loop.describe().find("no room for a longer recording"), std::string::npos) << loop.describe();
}

TEST_P(CaptureTest, AnIndexOutOfRangeInAReplayIsTold) {
  const std::vector<Batch> data = batches(1);
  Loop loop(device(), true);
  for (int i = 0; i < 4; ++i) {
    loop(data[0]);
  }
  std::vector<std::int64_t> wrong(32, 1);
  wrong[5] = 77;
  std::vector<std::int64_t> later(32, 1);
  later[2] = -4;
  const Tensor good = data[0].x.detach();
  const auto fill = [&](const std::vector<std::int64_t>& values) {
    // In the memory of the batch, so that it is a replay that finds it.
    backend(device()).copy_from_host(data[0].x.node()->buffer->data, values.data(), values.size() * 8);
  };
  const Happened with;
  fill(wrong);
  loop(data[0]);
  fill(later);
  loop(data[0]);
  EXPECT_EQ(with.replayed(), 2U);
  try {
    synchronize(device());
    FAIL() << "nobody found it";
  } catch (const NumericError& error) {
    EXPECT_NE(std::string(error.what()).find("77"), std::string::npos) << error.what();
    if (device().kind() == DeviceKind::cuda) {
      EXPECT_NE(std::string(error.what()).find("capture_test.cpp"), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find("position 5 "), std::string::npos) << error.what();
    }
  }
  fill(std::vector<std::int64_t>(32, 2));
  loop(data[0]);
  synchronize(device());
}

TEST_P(CaptureTest, ManyStepsHoldNoMoreThanAFew) {
  const std::vector<Batch> data = batches(3, 4);
  for (const bool compiled : {false, true}) {
    clear_plan_cache();
    Loop loop(device(), compiled);
    Tensor loss;
    const auto steps = [&](int count) {
      for (int i = 0; i < count; ++i) {
        loss = loop(data[static_cast<std::size_t>(i) % 3]);
        if (i % 100 == 0) {
          EXPECT_GE(loss.item(), 0);
        }
      }
    };
    steps(400);
    synchronize(device());
    const MemoryStats before = memory_stats(device());
    const Happened since;
    const int count = compiled && device() == fake_device() ? 10000 : 1000;
    steps(count);
    EXPECT_EQ(memory_stats(device()).allocations, before.allocations);
    EXPECT_EQ(memory_stats(device()).live, before.live);
    // Reading the loss computes what no step needs, and takes memory that makes for a few more sets of addresses.
    EXPECT_LE(since.recorded(), 16U);
    EXPECT_GE(since.replayed(), static_cast<std::uint64_t>(count) * 97 / 100);
  }
}

TEST_P(CaptureTest, AddressesWithoutEndAreNotRecorded) {
  // A parameter whose old values are all kept lies elsewhere at each step, and is written, so it cannot be copied.
  Tensor w = random_normal({1000}, {41, 0}, {.device = device()});
  w.eval();
  w = w.detach().requires_grad(true);
  CompiledStep step = compile([&](const Tensor& x) {
    Tensor loss = sum(square(tanh(w)) + sin(w)) + sum(cos(w * x)) * mean(exp(w));
    assign_all({{w, w - gradients(loss, {w})[0] * 0.001}});
    return loss;
  });
  const Tensor x = ones({1}, {.device = device()});
  std::vector<Tensor> kept;
  const Happened with;
  for (int i = 0; i < 60; ++i) {
    kept.push_back(w.detach());
    step(x);
  }
  EXPECT_EQ(with.recorded(), 0U);
  EXPECT_NE(step.describe().find("a parameter of 4000 bytes lay elsewhere in each of 20 runs"), std::string::npos)
      << step.describe();
  set_capture(false);
  w.assign(kept.front());
  for (std::size_t i = 0; i < 60; ++i) {
    EXPECT_EQ(w.to_vector<float>(), kept[i].to_vector<float>());
    step(x);
  }
}

TEST_P(CaptureTest, APlanSaysWhatBecomesOfItsRuns) {
  const std::vector<Batch> data = batches(1);
  Loop loop(device(), true);
  loop(data[0]);
  EXPECT_NE(loop.describe().find("one by one: no run has come back"), std::string::npos) << loop.describe();
  loop(data[0]);
  loop(data[0]);
  EXPECT_NE(loop.describe().find("replayed as one graph of "), std::string::npos) << loop.describe();
  set_capture(false);
  EXPECT_NE(loop.describe().find("one by one: capture is switched off"), std::string::npos) << loop.describe();
  set_capture(true);
  const Tensor few = ones({3}, {.device = device()}) * 2;
  EXPECT_NE(describe_plan({few}).find("there are only 1"), std::string::npos) << describe_plan({few});
}

TEST_P(CaptureTest, RecordingsGoWithTheirPlans) {
  if (!(device() == fake_device())) {
    GTEST_SKIP() << "only the fake device counts its recordings";
  }
  const std::vector<Batch> data = batches(1);
  const std::size_t before = fake_backend().live_recordings();
  {
    Loop compiled(device(), true);
    Loop plain(device(), false);
    for (int i = 0; i < 6; ++i) {
      compiled(data[0]);
      plain(data[0]);
    }
    EXPECT_GE(fake_backend().live_recordings(), before + 2);
  }
  clear_plan_cache();
  EXPECT_EQ(fake_backend().live_recordings(), before);
}

}  // namespace
}  // namespace twingrad::tests
