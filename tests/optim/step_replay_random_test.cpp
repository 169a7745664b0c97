// Random training programs, which keep, look at and change things at any point of a step, give the same numbers whether
// steps are replayed or have their gradients built because somebody looked at them.
#include <gtest/gtest.h>
#include <twingrad/graph/node.h>
#include <twingrad/twingrad.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "tests/devices.h"
#include "tests/optim/every_optimizer.h"

namespace twingrad::tests {
namespace {

/// Two with the same seed do the same, but for the looks.
class RandomProgram {
 public:
  RandomProgram(Device device, unsigned seed, bool looks)
      : device_(device), looks_(looks), random_(seed), model_({5, 8, 6, 3}, options()) {
    rarity_ = any_of(4) == 0 ? 0 : 7 + 5 * any_of(3);
    model_.to(device);
    parameters_ = model_.parameters();
    const auto optimizers = every_optimizer();
    optimizer_ = optimizers[any_of(optimizers.size())].second(parameters_);
    other_ = std::make_unique<optim::SGD>(std::vector<Tensor>{parameters_[0], parameters_[1]});
  }

  /// All that it saw.
  std::vector<double> run(int steps) {
    for (step_ = 0; step_ < steps; ++step_) {
      attempt([&] { step(); });
    }
    attempt([&] { see(total_); });
    for (const Tensor& tensor : held_) {
      attempt([&] { see(tensor); });
    }
    for (const auto& [name, tensor] : model_.state()) {
      see(tensor);
    }
    for (const auto& [name, tensor] : optimizer_->state()) {
      see(tensor);
    }
    return seen_;
  }
  int replayed() const { return replayed_; }

 private:
  std::size_t any_of(std::size_t count) { return random_() % count; }
  nn::MlpOptions options() {
    const nn::Normalization kinds[] = {nn::Normalization::none, nn::Normalization::batch, nn::Normalization::layer};
    return {.dropout = any_of(2) == 0 ? 0.25 : 0.0, .normalization = kinds[any_of(3)], .seed = 3};
  }

  /// What a program may not do (a value that a step has spent, for one) it may not do either way.
  template <class Deed>
  void attempt(const Deed& deed) {
    try {
      deed();
    } catch (const Error&) {
      seen_.push_back(-777);
    }
  }
  template <class Deed>
  void perhaps(const Deed& deed) {
    if (rarity_ != 0 && any_of(rarity_) == 0) {
      attempt(deed);
    }
  }
  void see(const Tensor& tensor) {
    const std::vector<double> values = tensor.to_vector<double>();
    seen_.insert(seen_.end(), values.begin(), values.end());
  }
  std::vector<Tensor> looked_at(std::vector<Tensor> gradients) const {
    for (std::size_t i = 0; looks_ && i < gradients.size(); ++i) {
      EXPECT_TRUE(is_floating(gradients[i].dtype()));
    }
    return gradients;
  }
  Tensor draw(std::int64_t rows, std::int64_t columns) const {
    return random_normal({rows, columns}, {columns, step_}, {.device = device_}).to(parameters_[0].dtype());
  }

  void step() {
    before_the_forward_pass();
    const std::int64_t rows = any_of(6) == 0 ? 7 : 12;
    x_ = draw(rows, 5);
    const Tensor y = draw(rows, 3);
    if (any_of(3) != 0) {
      eval({x_, y});
    }
    output_ = model_(x_);
    loss_ = mse_loss(output_, y);
    before_the_gradients();
    const bool backward = rarity_ != 0 && any_of(rarity_) == 0;
    if (backward) {
      perhaps([&] { optimizer_->zero_grad(); });
      loss_.backward();
      gradients_ = looked_at(optim::grads(parameters_));
    } else {
      gradients_ = looked_at(gradients(loss_, parameters_));
    }
    before_the_update(backward);
    const std::uint64_t visits = next_visit();
    attempt([&] { optimizer_->step(std::exchange(gradients_, {})); });
    replayed_ += next_visit() <= visits + 2 ? 1 : 0;  // see step_replay_test.cpp
    attempt([&] { see(loss_); });
    after_the_step();
  }

  void before_the_forward_pass() {
    perhaps([&] { parameters_[0].assign(parameters_[0].detach() * 0.5); });
    perhaps([&] {  // turned in memory
      const Tensor weight = transpose(contiguous(transpose(parameters_[0].detach())));
      weight.eval();
      parameters_[0].assign(weight);
    });
  }

  void before_the_gradients() {
    perhaps([&] { loss_ = loss_ + 0.01 * sum(square(parameters_[0])); });
    perhaps([&] { loss_ = loss_ + 0.01 * sum(parameters_[1] * parameters_[1].detach()); });
    perhaps([&] { held_.push_back(output_); });
    perhaps([&] { held_.push_back(sum(output_ * 2.0)); });
    perhaps([&] { output_.retain_grad(); });
    perhaps([&] { see(loss_); });
    perhaps([&] { total_ = total_.defined() ? total_ + loss_.to(total_.dtype()) : loss_ * 1.0; });
  }

  void before_the_update(bool backward) {
    perhaps([&] { see(loss_); });
    perhaps([&] { see(gradients_[any_of(gradients_.size())]); });
    perhaps([&] { held_.push_back(gradients_[any_of(gradients_.size())]); });
    perhaps([&] { gradients_ = optim::clip_norm(std::move(gradients_), backward ? 0.5 : 0.1); });
    perhaps([&] { gradients_ = optim::clip_value(std::move(gradients_), 0.01); });
    perhaps([&] { gradients_[any_of(gradients_.size())] = Tensor(); });
    perhaps([&] { other_->step(looked_at(gradients(mean(square(model_(x_))), {parameters_[0], parameters_[1]}))); });
    perhaps([&] { parameters_[1].assign(parameters_[1].detach() * 0.5); });
    perhaps([&] { held_.push_back(parameters_[0].detach()); });
    perhaps([&] { held_.push_back(sum(square(parameters_[1]))); });
    perhaps([&] { see(model_(x_)); });
    perhaps([&] { held_.push_back(looked_at(gradients(loss_, {parameters_[0]}))[0]); });
    perhaps([&] { output_ = Tensor(); });
    perhaps([&] { optimizer_->set_learning_rate(0.01 / static_cast<double>(1 + step_)); });
    perhaps([&] { set_fusion(!fusion()); });
    perhaps([&] { clear_plan_cache(); });
  }

  void after_the_step() {
    perhaps([&] { see(output_); });
    perhaps([&] { see(parameters_[0]); });
    perhaps([&] { held_.clear(); });
    perhaps([&] {
      optimizer_->load_state(optimizer_state_);
      model_.load_state(model_state_);
    });
    perhaps([&] {
      optimizer_state_ = optimizer_->state();
      model_state_ = model_.state();
    });
    perhaps([&] { model_.to(parameters_[0].dtype() == f32 ? f64 : f32); });
  }

  Device device_;
  bool looks_;
  std::mt19937 random_;
  std::size_t rarity_ = 0;  ///< every how many times a deed is done; 0: never
  nn::Mlp model_;
  std::vector<Tensor> parameters_;
  std::unique_ptr<optim::Optimizer> optimizer_;
  std::unique_ptr<optim::Optimizer> other_;
  NamedTensors optimizer_state_;
  NamedTensors model_state_;
  std::int64_t step_ = 0;
  Tensor x_, output_, loss_, total_;
  std::vector<Tensor> gradients_;
  std::vector<Tensor> held_;
  std::vector<double> seen_;
  int replayed_ = 0;
};

class StepReplayRandomTest : public DeviceTest {
 protected:
  void TearDown() override { set_fusion(true); }
};
INSTANTIATE_ON_DEVICES(StepReplayRandomTest);

TEST_P(StepReplayRandomTest, NobodyCanTell) {
  const unsigned seeds = device().kind() == DeviceKind::cpu ? 60 : 4;  // elsewhere each plan costs more than its steps
  int replayed = 0;
  for (unsigned seed = 0; seed < seeds; ++seed) {
    set_fusion(true);
    const std::vector<double> looking = RandomProgram(device(), seed, true).run(20);
    set_fusion(true);
    RandomProgram program(device(), seed, false);
    EXPECT_EQ(looking, program.run(20)) << "seed " << seed;
    replayed += program.replayed();
  }
  EXPECT_GE(replayed, static_cast<int>(3 * seeds));
}

}  // namespace
}  // namespace twingrad::tests
