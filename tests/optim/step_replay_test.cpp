// The plain loop takes a familiar step without building gradients and updates anew. Nobody can tell: bits, values that
// are held, errors and what comes after them are those of a loop whose gradients are looked at before each step.
#include <gtest/gtest.h>
#include <twingrad/graph/node.h>
#include <twingrad/twingrad.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/devices.h"
#include "tests/optim/every_optimizer.h"

namespace twingrad {
namespace {

using tests::MakeOptimizer;

/// A training run; what a test does on the way is told where it is.
struct Training {
  explicit Training(Device on, const MakeOptimizer& make = {}, nn::MlpOptions options = {.dropout = 0.25, .seed = 3})
      : device(on), model({5, 8, 3}, options) {
    model.to(device);
    optimizer = make ? make(model.parameters()) : std::make_unique<optim::Adam>(model.parameters());
  }

  Device device;
  nn::Mlp model;
  std::unique_ptr<optim::Optimizer> optimizer;
  std::int64_t rows = 12;
  std::int64_t at = 0;
  bool looks = false;          ///< at gradients, before each step
  std::vector<double> seen{};  ///< losses, and what a test wants to see
  std::vector<Tensor> held{};
  std::size_t replayed = 0;

  void see(const Tensor& tensor) {
    const std::vector<double> values = tensor.to_vector<double>();
    seen.insert(seen.end(), values.begin(), values.end());
  }
  Tensor draw(std::int64_t columns) const {
    Tensor drawn = random_normal({rows, columns}, {columns, at}, {.device = device});
    drawn.eval();
    return drawn;
  }
  /// Builds them, where this run looks at its gradients.
  void look(const std::vector<Tensor>& of) const {
    for (std::size_t i = 0; looks && i < of.size(); ++i) {
      EXPECT_EQ(of[i].dtype(), f32);
    }
  }
  /// A step that is built walks the graph a number of times; one that is replayed once at most, for what waits.
  template <class Step>
  void count(const Step& take_step) {
    const std::uint64_t before = next_visit();
    take_step();
    replayed += next_visit() <= before + 2 ? std::size_t{1} : std::size_t{0};
  }
  void step(const Tensor& loss) {
    std::vector<Tensor> of = gradients(loss, model.parameters());
    look(of);
    count([&] { optimizer->step(std::move(of)); });
  }
};

using Hook = std::function<void(Training&)>;
struct Hooks {
  Hook before = [](Training&) {};  ///< the forward pass
  std::function<Tensor(Training&, const Tensor& x, const Tensor& y)> loss =
      [](Training& run, const Tensor& x, const Tensor& y) { return mse_loss(run.model(x), y); };
  std::function<void(Training&, const Tensor& of)> step = [](Training& run, const Tensor& of) { run.step(of); };
  Hook after = [](Training&) {};
};

Training train(Training run, const Hooks& hooks, std::int64_t steps = 8) {
  for (run.at = 0; run.at < steps; ++run.at) {
    hooks.before(run);
    const Tensor x = run.draw(5);
    const Tensor y = run.draw(3);
    const Tensor loss = hooks.loss(run, x, y);
    hooks.step(run, loss);
    run.see(loss);
    hooks.after(run);
  }
  for (const Tensor& tensor : run.held) {
    run.see(tensor);
  }
  for (const auto& [name, tensor] : run.model.state()) {
    run.see(tensor);
  }
  for (const auto& [name, tensor] : run.optimizer->state()) {
    run.see(tensor);
  }
  return run;
}

class StepReplayTest : public tests::DeviceTest {
 protected:
  void TearDown() override {
    set_execution(Execution::planned);
    set_fusion(true);
  }

  /// Bits and steps of a run and of one whose gradients are looked at; how many steps of the first were replayed.
  std::size_t compare(const Hooks& hooks, const MakeOptimizer& make = {}) const {
    Training looking(device(), make);
    looking.looks = true;
    looking = train(std::move(looking), hooks);
    const Training replaying = train(Training(device(), make), hooks);
    EXPECT_EQ(looking.replayed, 0U);
    EXPECT_EQ(looking.optimizer->steps(), replaying.optimizer->steps());
    EXPECT_EQ(looking.seen.size(), replaying.seen.size());
    for (std::size_t i = 0; i < looking.seen.size(); ++i) {
      if (looking.seen[i] != replaying.seen[i]) {
        ADD_FAILURE() << "number " << i << ": " << looking.seen[i] << " and " << replaying.seen[i];
        break;
      }
    }
    return replaying.replayed;
  }
};
INSTANTIATE_ON_DEVICES(StepReplayTest);

TEST_P(StepReplayTest, EveryOptimizer) {
  for (const auto& [name, make] : tests::every_optimizer()) {
    EXPECT_GE(
        compare(
            {.before = [](Training& run) { run.optimizer->set_learning_rate(0.01 / static_cast<double>(1 + run.at)); }},
            make),
        4U)
        << name;
  }
}

TEST_P(StepReplayTest, BatchesOfTwoSizes) {
  EXPECT_GE(compare({.before = [](Training& run) { run.rows = run.at % 3 == 2 ? 7 : 12; }}), 3U);
}

TEST_P(StepReplayTest, ValuesThatAreHeldStayWhatTheyWere) {
  EXPECT_GE(compare({.after =
                         [](Training& run) {
                           const Tensor weight = run.model.parameters()[0];
                           if (run.at == 3) {
                             run.held.push_back(weight.detach());
                           } else if (run.at == 4) {
                             run.held.push_back(sum(square(weight)));  // computed in the end
                           } else if (run.at == 5) {
                             run.held.push_back(run.optimizer->state()[2].second);
                           }
                         }}),
            1U);
}

TEST_P(StepReplayTest, ResultsOnTheWayAreHeldNowAndThen) {
  compare({.loss = [](Training& run, const Tensor& x, const Tensor& y) {
    Tensor hidden = (*run.model.children()[0].second)(x);
    if (run.at % 2 == 1) {
      run.held.push_back(hidden);
    }
    return mse_loss((*run.model.children()[3].second)(relu(hidden)), y);
  }});
}

TEST_P(StepReplayTest, ALossThatReadsTheWeightsItself) {
  EXPECT_GE(compare({.loss =
                         [](Training& run, const Tensor& x, const Tensor& y) {
                           return mse_loss(run.model(x), y) + 0.01 * sum(square(run.model.parameters()[0]));
                         }}),
            4U);
}

TEST_P(StepReplayTest, ALossThatIsAskedForBeforeTheStep) {
  EXPECT_EQ(compare({.step =
                         [](Training& run, const Tensor& loss) {
                           std::vector<Tensor> of = gradients(loss, run.model.parameters());
                           run.see(loss);
                           run.optimizer->step(std::move(of));
                         }}),
            0U);
}

TEST_P(StepReplayTest, GradientsThatSomebodyKeeps) {
  compare({.step = [](Training& run, const Tensor& loss) {
    std::vector<Tensor> of = gradients(loss, run.model.parameters());
    run.held.push_back(of[static_cast<std::size_t>(run.at) % of.size()]);
    run.optimizer->step(std::move(of));
  }});
}

TEST_P(StepReplayTest, GradientsThatAreDroppedOrChanged) {
  compare({.step = [](Training& run, const Tensor& loss) {
    std::vector<Tensor> of = gradients(loss, run.model.parameters());
    if (run.at % 3 == 1) {
      of[1] = Tensor();
    } else if (run.at % 3 == 2) {
      of = optim::clip_norm(std::move(of), 0.1);
    }
    run.optimizer->step(std::move(of));
  }});
}

TEST_P(StepReplayTest, ParametersThatChangeBetweenGradientsAndStep) {
  compare({.step = [](Training& run, const Tensor& loss) {
    std::vector<Tensor> of = gradients(loss, run.model.parameters());
    Tensor weight = run.model.parameters()[0];
    if (run.at == 3) {
      weight.assign(full(weight.shape(), 0.25, {.device = run.device}));
    } else if (run.at == 5) {
      run.see(sum(weight));
    }
    run.optimizer->step(std::move(of));
  }});
}

TEST_P(StepReplayTest, SettingsAndStateThatChangeBetweenSteps) {
  NamedTensors state;
  NamedTensors weights;
  EXPECT_GE(compare({.before =
                         [&](Training& run) {
                           if (run.at == 3) {
                             state = run.optimizer->state();
                             weights = run.model.state();
                             set_fusion(false);
                           } else if (run.at == 4) {
                             set_fusion(true);
                             clear_plan_cache();
                           } else if (run.at == 6) {
                             run.optimizer->load_state(state);
                             run.model.load_state(weights);
                           } else if (run.at == 9) {
                             set_execution(Execution::op_by_op);
                           } else if (run.at == 10) {
                             set_execution(Execution::planned);
                           }
                         }}),
            1U);
}

TEST_P(StepReplayTest, AModelThatChangesItsDtype) {
  const auto losses = [&](bool looks) {
    Training run(device());
    run.looks = looks;
    std::vector<double> result;
    for (run.at = 0; run.at < 12; ++run.at) {
      if (run.at % 4 == 0) {
        run.model.to(run.at % 8 == 0 ? f32 : f64);
      }
      const Dtype dtype = run.model.parameters()[0].dtype();
      const Tensor loss = mse_loss(run.model(run.draw(5).to(dtype)), run.draw(3).to(dtype));
      std::vector<Tensor> of = gradients(loss, run.model.parameters());
      for (std::size_t i = 0; looks && i < of.size(); ++i) {
        EXPECT_EQ(of[i].dtype(), dtype);
      }
      run.optimizer->step(std::move(of));
      result.push_back(loss.item());
    }
    return result;
  };
  EXPECT_EQ(losses(true), losses(false));
}

TEST_P(StepReplayTest, TwoOptimizersOfOneGraph) {
  std::unique_ptr<optim::SGD> other;
  compare({.step = [&](Training& run, const Tensor& loss) {
    const std::vector<Tensor> all = run.model.parameters();
    if (run.at == 0) {
      other = std::make_unique<optim::SGD>(std::vector<Tensor>{all[0]}, optim::SGDOptions{.lr = 0.1});
    }
    std::vector<Tensor> first = gradients(loss, all);
    std::vector<Tensor> second = gradients(loss * 2.0, {all[0]});
    run.optimizer->step(std::move(first));
    if (run.at % 2 == 0) {
      // The other graph still is whole, since its gradients were built before the step.
      EXPECT_EQ(second[0].shape(), all[0].shape());
    }
    second.clear();
    other->step(gradients(mse_loss(run.model(run.draw(5)), run.draw(3)), {all[0]}));
  }});
}

TEST_P(StepReplayTest, AMovedOptimizerGoesOn) {
  EXPECT_GE(compare({.before =
                         [](Training& run) {
                           auto moved =
                               std::make_unique<optim::Adam>(std::move(dynamic_cast<optim::Adam&>(*run.optimizer)));
                           run.optimizer = std::move(moved);
                         }}),
            4U);
}

TEST_P(StepReplayTest, AStepThatFailsChangesNothing) {
  if (device().kind() != DeviceKind::cpu) {
    GTEST_SKIP() << "such a device finds the label when it is waited for";
  }
  const auto messages = [&](bool looks) {
    Training run(device());
    std::vector<std::string> result;
    for (run.at = 0; run.at < 8; ++run.at) {
      std::vector<std::int64_t> labels(12, 1);
      labels[3] = run.at == 5 ? 3 : 2;
      const Tensor loss = cross_entropy(run.model(run.draw(5)), tensor(labels, {.device = device()}));
      std::vector<Tensor> of = gradients(loss, run.model.parameters());
      for (std::size_t i = 0; looks && i < of.size(); ++i) {
        EXPECT_TRUE(of[i].requires_grad());
      }
      const NamedTensors before = run.model.state();
      try {
        run.optimizer->step(std::move(of));
      } catch (const NumericError& error) {
        result.emplace_back(error.what());
        EXPECT_EQ(run.at, 5);
        EXPECT_EQ(run.optimizer->steps(), 5);
        for (std::size_t i = 0; i < before.size(); ++i) {
          EXPECT_EQ(run.model.state()[i].second.to_vector<double>(), before[i].second.to_vector<double>());
        }
      }
    }
    EXPECT_EQ(run.optimizer->steps(), 7);
    result.push_back(std::to_string(run.model.parameters()[0].to_vector<double>()[0]));
    return result;
  };
  const std::vector<std::string> replayed = messages(false);
  EXPECT_EQ(replayed.size(), 2U);
  EXPECT_EQ(replayed, messages(true));
}

TEST_P(StepReplayTest, RunningStatistics) {
  const nn::MlpOptions options{.dropout = 0.25, .normalization = nn::Normalization::batch, .seed = 3};
  const auto run = [&](bool looks) {
    Training training(device(), {}, options);
    training.looks = looks;
    return train(std::move(training), {.before = [](Training& t) {
                   if (t.at == 5) {  // what waits goes into another run
                     t.see(t.model(t.draw(5)));
                   } else if (t.at == 6) {  // and here it waits with the step's own
                     t.held.push_back(t.model(t.draw(5)));
                   }
                 }});
  };
  const Training looking = run(true);
  const Training replaying = run(false);
  EXPECT_EQ(looking.seen, replaying.seen);
  EXPECT_GE(replaying.replayed, 3U);
}

TEST_P(StepReplayTest, BatchesOfALoader) {
  const auto run = [&](bool looks) {
    Training training(device());
    training.looks = looks;
    const Tensor x = random_normal({60, 5}, {1, 0}, {.device = device()});
    const Tensor y = random_normal({60, 3}, {2, 0}, {.device = device()});
    eval({x, y});
    for (std::int64_t first = 0; first < 60; first += 10) {
      // As a loader's: the rows are indexed, and nothing of a batch is computed before the step.
      const Tensor index = arange(10, 0, 1, {.device = device()}) +
                           tensor(static_cast<double>(first), {.dtype = i64, .device = device()});
      const Tensor loss = mse_loss(training.model(index_select(x, 0, index)), index_select(y, 0, index));
      training.step(loss);
      training.see(loss);
    }
    return training;
  };
  const Training looking = run(true);
  const Training replaying = run(false);
  EXPECT_EQ(looking.seen, replaying.seen);
  EXPECT_GE(replaying.replayed, 3U);
}

TEST_P(StepReplayTest, ALossThatNobodyHolds) {
  const auto run = [&](bool looks) {
    Training training(device());
    for (training.at = 0; training.at < 8; ++training.at) {
      std::vector<Tensor> of =
          gradients(mse_loss(training.model(training.draw(5)), training.draw(3)), training.model.parameters());
      for (std::size_t i = 0; looks && i < of.size(); ++i) {
        EXPECT_EQ(of[i].dtype(), f32);
      }
      training.optimizer->set_learning_rate(0.01 / static_cast<double>(1 + training.at));
      training.count([&] { training.optimizer->step(std::move(of)); });
      training.see(training.model.parameters()[0]);
    }
    return training;
  };
  const Training replaying = run(false);
  EXPECT_EQ(run(true).seen, replaying.seen);
  EXPECT_GE(replaying.replayed, 4U);
}

TEST_P(StepReplayTest, ThroughBackward) {
  for (const bool clears : {true, false}) {
    const std::size_t replayed = compare({.step = [&](Training& run, const Tensor& loss) {
      if (clears || run.at % 4 == 3) {
        run.optimizer->zero_grad();
      }
      loss.backward();
      run.look(optim::grads(run.model.parameters()));
      run.count([&] { run.optimizer->step(); });
      for (const Tensor& parameter : run.model.parameters()) {
        EXPECT_TRUE(parameter.grad().evaluated());
        run.see(parameter.grad());
      }
    }});
    EXPECT_GE(replayed, clears ? 4U : 0U);  // what is added up is built
  }
}

TEST_P(StepReplayTest, ClippedGradients) {
  for (const bool by_norm : {true, false}) {
    EXPECT_GE(compare({.step =
                           [&](Training& run, const Tensor& loss) {
                             const double bound = run.at == 5 ? 0.25 : 0.01;
                             std::vector<Tensor> of = gradients(loss, run.model.parameters());
                             run.look(of);
                             of = by_norm ? optim::clip_norm(std::move(of), bound)
                                          : optim::clip_value(std::move(of), bound);
                             run.count([&] { run.optimizer->step(std::move(of)); });
                           }}),
              3U);
  }
}

TEST_P(StepReplayTest, ALossThatIsAskedForBeforeItsGradients) {
  EXPECT_GE(compare({.step =
                         [](Training& run, const Tensor& loss) {
                           run.see(loss);
                           run.step(loss);
                         }}),
            4U);
}

TEST_P(StepReplayTest, OnSeveralThreads) {
  const std::vector<double> alone = train(Training(device()), {}).seen;
  std::vector<std::vector<double>> seen(3);
  std::vector<std::thread> threads;
  for (std::vector<double>& mine : seen) {
    threads.emplace_back([&] { mine = train(Training(device()), {}).seen; });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  for (const std::vector<double>& mine : seen) {
    EXPECT_EQ(mine, alone);
  }
}

}  // namespace
}  // namespace twingrad
