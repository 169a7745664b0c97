// Training on streamed batches: the bits of a set on the device, steps that are replayed, and no order of the device's
// queues that changes anything, unless a wait is missing.
#include <twingrad/autograd.h>
#include <twingrad/compile.h>
#include <twingrad/data/loader.h>
#include <twingrad/evaluate.h>
#include <twingrad/graph/node.h>
#include <twingrad/graph/runtime.h>
#include <twingrad/nn/nn.h>
#include <twingrad/ops.h>
#include <twingrad/optim/optim.h>

#include <gtest/gtest.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "loader_sets.h"
#include "tests/devices.h"

namespace twingrad::data {
namespace {

using test::clouds;
using test::labelled;
using Numbers = std::vector<double>;

class StreamingTrainingTest : public tests::DeviceTest {
 protected:
  LoaderOptions streaming(std::int64_t batch) const {
    return {.batch = batch, .shuffle = true, .seed = 4, .device = device(), .streaming = true};
  }
};

/// The last loss of each epoch and the parameters after all, and how the steps were taken.
struct Trained {
  std::vector<float> bits;
  CaptureStats last{};       ///< of the steps in the last two epochs
  std::size_t replayed = 0;  ///< steps of the plain loop that were not built, in the last two epochs
};

Trained train(Loader& batches, Device device, bool compiled, int epochs) {
  nn::Mlp model({3, 8, 8, 3}, {.dropout = 0.25, .seed = 2});
  model.to(device);
  optim::AdamW adam(model.parameters(), {.lr = 0.01});
  const auto loss_of = [&](const Tensor& x, const Tensor& y) { return cross_entropy(model(x), y); };
  CompiledStep step = compile([&](const Tensor& x, const Tensor& y) {
    Tensor loss = loss_of(x, y);
    adam.step(gradients(loss, model.parameters()));
    return loss;
  });
  Trained result;
  Tensor loss;
  for (int epoch = 0; epoch < epochs; ++epoch) {
    if (epoch == epochs - 2) {
      result.last = {};
      result.replayed = 0;
    }
    for (auto [x, y] : batches) {
      adam.set_learning_rate(0.01 / (1 + epoch));
      const CaptureStats before = capture_stats();
      if (compiled) {
        loss = step(x, y);
      } else {
        loss = loss_of(x, y);
        std::vector<Tensor> found = gradients(loss, model.parameters());
        const std::uint64_t visits = next_visit();
        adam.step(std::move(found));
        result.replayed += next_visit() <= visits + 2 ? std::size_t{1} : std::size_t{0};
      }
      const CaptureStats now = capture_stats();
      result.last.recorded += now.recorded - before.recorded;
      result.last.replayed += now.replayed - before.replayed;
      result.last.single += now.single - before.single;
    }
    result.bits.push_back(static_cast<float>(loss.item()));
  }
  for (const Tensor& parameter : model.parameters()) {
    const std::vector<float> values = parameter.to_vector<float>();
    result.bits.insert(result.bits.end(), values.begin(), values.end());
  }
  return result;
}

TEST_P(StreamingTrainingTest, TrainsToTheBitsOfASetOnTheDevice) {
  const Dataset set = clouds(46);
  for (const bool compiled : {false, true}) {
    Loader resident(set, {.batch = 8, .shuffle = true, .seed = 4, .device = device()});
    Loader streamed(set, streaming(8));
    EXPECT_EQ(train(streamed, device(), compiled, 6).bits, train(resident, device(), compiled, 6).bits)
        << "compiled " << compiled;
  }
}

TEST_P(StreamingTrainingTest, StepsAreReplayedOnTheBlocksOfTheBatches) {
  clear_plan_cache();
  for (const bool compiled : {false, true}) {
    SCOPED_TRACE(compiled);
    for (const std::int64_t prefetch : {1, 2}) {
      LoaderOptions options = streaming(8);
      options.prefetch = prefetch;
      Loader streamed(clouds(48), options);
      const Trained trained = train(streamed, device(), compiled, 12);
      if (!compiled) {
        EXPECT_EQ(trained.replayed, 12U);
      }
      if (runtime(device()).backend->records()) {
        EXPECT_EQ(trained.last.recorded, 0U);
        EXPECT_EQ(trained.last.replayed, 12U);
        EXPECT_EQ(trained.last.single, 0U);
      }
    }
  }
}

INSTANTIATE_ON_DEVICES(StreamingTrainingTest);

/// Sums of the batches of one epoch, read after it.
Numbers sums(std::int64_t rows, std::int64_t first, bool streaming) {
  Loader loader(labelled(rows, first),
                {.batch = 4, .device = tests::fake_device(), .streaming = streaming, .prefetch = 2});
  std::vector<Tensor> queued;
  for (const auto& [x, y] : loader) {
    queued.push_back(sum(x));
    queued.back().eval();
  }
  Numbers values;
  for (const Tensor& one : queued) {
    values.push_back(one.item());
  }
  return values;
}

/// The fake device as it was, at the end of a test.
struct FakeRestored {
  ~FakeRestored() {
    tests::fake_backend().forget(tests::FakeBackend::Forgets::nothing);
    tests::fake_backend().set_lazy(tests::FakeBackend::Lazy::nobody);
  }
};

TEST(StreamingOrderTest, WaitsInAnyOrderOfTheQueues) {
  using Lazy = tests::FakeBackend::Lazy;
  const FakeRestored restored;
  const Dataset set = clouds(46);
  Loader resident(set, {.batch = 8, .shuffle = true, .seed = 4, .device = tests::fake_device()});
  const std::vector<float> expected = train(resident, tests::fake_device(), false, 4).bits;
  for (const Lazy lazy : {Lazy::nobody, Lazy::work, Lazy::copies}) {
    tests::fake_backend().set_lazy(lazy);
    EXPECT_EQ(sums(160, 0, true), sums(160, 0, false));
    for (const bool compiled : {false, true}) {
      Loader streamed(set, {.batch = 8, .shuffle = true, .seed = 4, .device = tests::fake_device(), .streaming = true});
      EXPECT_EQ(train(streamed, tests::fake_device(), compiled, 4).bits, expected);
    }
  }
}

TEST(StreamingOrderTest, ACopyThatDoesNotWaitForItsBlockIsSeen) {
  const FakeRestored restored;
  const Numbers expected = sums(160, 1000, false);
  EXPECT_EQ(sums(160, 1000, true), expected);
  tests::fake_backend().set_lazy(tests::FakeBackend::Lazy::work);
  tests::fake_backend().forget(tests::FakeBackend::Forgets::begin);
  EXPECT_NE(sums(160, 1000, true), expected);
}

TEST(StreamingOrderTest, AStepThatDoesNotWaitForItsBatchIsSeen) {
  const FakeRestored restored;
  EXPECT_EQ(sums(16, 2000, true), sums(16, 2000, false));
  const Numbers expected = sums(16, 3000, false);  // other numbers than what the memory may hold from before
  tests::fake_backend().set_lazy(tests::FakeBackend::Lazy::copies);
  tests::fake_backend().forget(tests::FakeBackend::Forgets::finish);
  EXPECT_NE(sums(16, 3000, true), expected);
}

}  // namespace
}  // namespace twingrad::data
