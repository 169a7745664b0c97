// Schedules and early stopping against values worked out by hand.
#include <gtest/gtest.h>
#include <twingrad/twingrad.h>

#include <cmath>
#include <limits>
#include <vector>

namespace twingrad {
namespace {

using namespace optim;

TEST(ScheduleTest, Constant) {
  const ConstantSchedule schedule{.lr = 0.25};
  EXPECT_EQ(schedule(0), 0.25);
  EXPECT_EQ(schedule(1'000'000), 0.25);
}

TEST(ScheduleTest, StepFallsAtEveryMultiple) {
  const StepSchedule schedule{.lr = 8, .step_size = 3, .gamma = 0.5};
  const std::vector<double> expected = {8, 8, 8, 4, 4, 4, 2};
  for (std::size_t step = 0; step < expected.size(); ++step) {
    EXPECT_EQ(schedule(static_cast<std::int64_t>(step)), expected[step]) << step;
  }
}

TEST(ScheduleTest, MultiStepFallsAtItsMilestones) {
  const MultiStepSchedule schedule{.lr = 8, .milestones = {2, 5}, .gamma = 0.5};
  EXPECT_EQ(schedule(1), 8);
  EXPECT_EQ(schedule(2), 4);
  EXPECT_EQ(schedule(4), 4);
  EXPECT_EQ(schedule(5), 2);
  EXPECT_EQ(schedule(50), 2);
}

TEST(ScheduleTest, Exponential) {
  const ExponentialSchedule schedule{.lr = 8, .gamma = 0.5};
  EXPECT_EQ(schedule(0), 8);
  EXPECT_EQ(schedule(3), 1);
}

TEST(ScheduleTest, CosineGoesFromLrToEtaMinAndStays) {
  const CosineSchedule schedule{.lr = 1.0, .t_max = 6, .eta_min = 0.5};
  EXPECT_EQ(schedule(0), 1.0);
  EXPECT_DOUBLE_EQ(schedule(2), 0.5 + 0.5 * 0.75);  // cos(pi / 3) = 1 / 2
  EXPECT_DOUBLE_EQ(schedule(3), 0.75);
  EXPECT_DOUBLE_EQ(schedule(4), 0.5 + 0.5 * 0.25);
  EXPECT_EQ(schedule(6), 0.5);
  EXPECT_EQ(schedule(60), 0.5);
}

TEST(ScheduleTest, WarmupLeadsIntoAnotherSchedule) {
  const LinearWarmup schedule{.steps = 4, .start_factor = 0.2, .then = StepSchedule{.lr = 10, .step_size = 2}};
  EXPECT_DOUBLE_EQ(schedule(0), 2);
  EXPECT_DOUBLE_EQ(schedule(1), 4);
  EXPECT_DOUBLE_EQ(schedule(3), 8);
  EXPECT_EQ(schedule(4), 10);
  EXPECT_EQ(schedule(5), 10);
  EXPECT_EQ(schedule(6), 1);
  EXPECT_EQ((LinearWarmup{.steps = 0, .then = ConstantSchedule{.lr = 3}}(0)), 3);
}

TEST(ScheduleTest, OneCycleRisesAndFalls) {
  // Up over steps 0 ... 4 (half of 10, less 1), down to step 9.
  const OneCycleSchedule schedule{
      .max_lr = 10, .total_steps = 10, .pct_start = 0.5, .div_factor = 5, .final_div_factor = 2};
  EXPECT_DOUBLE_EQ(schedule(0), 2);
  EXPECT_DOUBLE_EQ(schedule(2), 6);
  EXPECT_DOUBLE_EQ(schedule(4), 10);
  EXPECT_DOUBLE_EQ(schedule(9), 1);
  EXPECT_DOUBLE_EQ(schedule(99), 1);
  EXPECT_LT(schedule(6), schedule(5));
  EXPECT_LT(schedule(8), schedule(7));
  // Without a rise it starts near the top; without a fall it ends there.
  EXPECT_LT((OneCycleSchedule{.max_lr = 10, .total_steps = 10, .pct_start = 0}(0)), 10);
  EXPECT_GT((OneCycleSchedule{.max_lr = 10, .total_steps = 10, .pct_start = 0}(0)), 9);
  EXPECT_DOUBLE_EQ((OneCycleSchedule{.max_lr = 10, .total_steps = 10, .pct_start = 1}(9)), 10);
}

TEST(ScheduleTest, BadMembersThrow) {
  EXPECT_THROW(ConstantSchedule{}(-1), ArgumentError);
  EXPECT_THROW((StepSchedule{.step_size = 0}(0)), ArgumentError);
  EXPECT_THROW((CosineSchedule{.t_max = 0}(0)), ArgumentError);
  EXPECT_THROW((LinearWarmup{.steps = -1}(0)), ArgumentError);
  EXPECT_THROW((LinearWarmup{.then = nullptr}(0)), ArgumentError);
  EXPECT_THROW((OneCycleSchedule{.total_steps = 0}(0)), ArgumentError);
  EXPECT_THROW((OneCycleSchedule{.pct_start = 1.5}(0)), ArgumentError);
  EXPECT_THROW((OneCycleSchedule{.div_factor = 0}(0)), ArgumentError);
  EXPECT_THROW((MultiStepSchedule{}(-1)), ArgumentError);
  EXPECT_THROW((ExponentialSchedule{}(-1)), ArgumentError);
}

TEST(ReduceOnPlateauTest, FallsWhenPatienceIsSpent) {
  ReduceOnPlateau plateau({.lr = 8, .factor = 0.5, .patience = 1, .threshold = 0.1});
  EXPECT_EQ(plateau(100), 8);
  EXPECT_EQ(plateau(95), 8);  // not better by a tenth: borne
  EXPECT_EQ(plateau(89), 8);  // better
  EXPECT_EQ(plateau(89), 8);  // borne
  EXPECT_EQ(plateau(89), 4);  // too long
  EXPECT_EQ(plateau(std::numeric_limits<double>::quiet_NaN()), 4);
  EXPECT_EQ(plateau(89), 2);
  EXPECT_EQ(plateau.learning_rate(), 2);
  EXPECT_EQ(plateau.best(), 89);
}

TEST(ReduceOnPlateauTest, MaximizesWithCooldownDownToMinLr) {
  ReduceOnPlateau plateau(
      {.lr = 8, .goal = Goal::maximize, .factor = 0.25, .patience = 0, .threshold = 0, .cooldown = 2, .min_lr = 1});
  EXPECT_EQ(plateau(0.5), 8);
  EXPECT_EQ(plateau(0.4), 2);
  EXPECT_EQ(plateau(0.4), 2);  // cooling
  EXPECT_EQ(plateau(0.4), 2);  // cooling
  EXPECT_EQ(plateau(0.4), 1);  // not below min_lr
  EXPECT_EQ(plateau(0.6), 1);
  EXPECT_EQ(plateau.best(), 0.6);
}

TEST(ReduceOnPlateauTest, WorksBelowZero) {
  ReduceOnPlateau plateau({.lr = 8, .factor = 0.5, .patience = 0, .threshold = 0.1});
  EXPECT_EQ(plateau(-10), 8);
  EXPECT_EQ(plateau(-10.5), 4);
  EXPECT_EQ(plateau(-12), 4);
  EXPECT_EQ(plateau.best(), -12);
}

TEST(ReduceOnPlateauTest, BadOptionsThrow) {
  EXPECT_THROW(ReduceOnPlateau({.lr = -1}), ArgumentError);
  EXPECT_THROW(ReduceOnPlateau({.factor = 1}), ArgumentError);
  EXPECT_THROW(ReduceOnPlateau({.factor = 0}), ArgumentError);
  EXPECT_THROW(ReduceOnPlateau({.patience = -1}), ArgumentError);
  EXPECT_THROW(ReduceOnPlateau({.threshold = -1}), ArgumentError);
}

TEST(EarlyStoppingTest, StopsWhenPatienceIsSpent) {
  EarlyStopping stopping({.patience = 2, .min_delta = 1});
  EXPECT_EQ(stopping.best_call(), -1);
  EXPECT_FALSE(stopping.improved());
  EXPECT_FALSE(stopping.stop(10));
  EXPECT_TRUE(stopping.improved());
  EXPECT_FALSE(stopping.stop(9));  // by 1, which is not more than min_delta
  EXPECT_FALSE(stopping.improved());
  EXPECT_FALSE(stopping.stop(8.5));
  EXPECT_TRUE(stopping.improved());
  EXPECT_FALSE(stopping.stop(std::numeric_limits<double>::quiet_NaN()));
  EXPECT_TRUE(stopping.stop(8));
  EXPECT_EQ(stopping.best(), 8.5);
  EXPECT_EQ(stopping.best_call(), 2);
}

TEST(EarlyStoppingTest, Maximizes) {
  EarlyStopping stopping({.patience = 1, .goal = Goal::maximize});
  EXPECT_FALSE(stopping.stop(0.5));
  EXPECT_FALSE(stopping.stop(0.7));
  EXPECT_TRUE(stopping.stop(0.7));
  EXPECT_EQ(stopping.best_call(), 1);
}

TEST(EarlyStoppingTest, GivesTheBestParametersBack) {
  nn::Linear model(2, 1);
  SGD sgd(model.parameters());
  const auto train_step = [&] { sgd.step(gradients(sum(model(ones({1, 2}))), model.parameters())); };
  EarlyStopping stopping({.patience = 3});
  EXPECT_THROW(stopping.restore(model), ArgumentError);
  stopping.stop(3, model);
  train_step();
  stopping.stop(1, model);
  const auto best = model.weight.to_vector<float>();
  train_step();
  stopping.stop(2, model);
  train_step();
  EXPECT_NE(model.weight.to_vector<float>(), best);
  stopping.restore(model);
  EXPECT_EQ(model.weight.to_vector<float>(), best);
  train_step();
  stopping.restore(model);
  EXPECT_EQ(model.weight.to_vector<float>(), best);
}

TEST(EarlyStoppingTest, BadOptionsThrow) {
  EXPECT_THROW(EarlyStopping({.patience = 0}), ArgumentError);
  EXPECT_THROW(EarlyStopping({.min_delta = -1}), ArgumentError);
}

}  // namespace
}  // namespace twingrad
