// Our own systems: the training step as a user writes it, and the controls beside it.
//
//   plain        the plain loop: graph built anew each step, plan found in the cache
//   compile      the same step recorded once and replayed: compile(step)
//   unfused      the control with one kernel per op
//   uncaptured   the control whose kernels are queued one by one on a GPU, too
//   op-by-op     the control without plan, arena and in-place writes
//   float64      the reference that everybody's losses are held against
#pragma once

#include <omp.h>
#include <twingrad/backend.h>
#include <twingrad/twingrad.h>

#include <optional>

#include "bench/systems/precision.h"
#include "bench/systems/serve.h"

namespace bench {

namespace tg = twingrad;

inline tg::Tensor loss_of(const std::string& loss, const tg::Tensor& output, const tg::Tensor& y) {
  if (loss == "mse") {
    return tg::mse_loss(output, y);
  }
  if (loss == "cross_entropy") {
    return tg::cross_entropy(output, y);
  }
  if (loss == "binary_cross_entropy") {
    return tg::binary_cross_entropy_with_logits(output, y);
  }
  throw tg::ArgumentError("there is no loss '" + loss + "'");
}

class TwingradStep final : public System {
 public:
  explicit TwingradStep(const Arguments& arguments)
      : work_(arguments.work),
        compile_(arguments.mode == "compile"),
        device_(tg::Device::parse(arguments.device)),
        dtype_(arguments.mode == "float64" ? tg::f64 : tg::f32),
        model_(work_.sizes, {.activation = tg::nn::Activation::relu}) {
    omp_set_num_threads(arguments.threads);
    if (dtype_ == tg::f32) {
      const tg::Precision precision = precision_of(work_.precision);
      tg::require_precision(precision, device_);
      if (precision != tg::Precision::fp32) {  // which is what a model has that nobody told
        model_.set_precision(precision);
      }
    }
    if (arguments.mode == "op-by-op") {
      tg::set_execution(tg::Execution::op_by_op);
    }
    if (arguments.mode == "unfused") {
      tg::set_fusion(false);
    }
    if (arguments.mode == "uncaptured") {
      tg::set_capture(false);
    }
    const tg::NamedTensors data = tg::io::load(arguments.data);
    model_.to(dtype_);
    model_.to(device_);
    std::size_t layer = 0;
    for (auto& [name, parameter] : model_.named_parameters()) {
      const bool weight = name.ends_with("weight");
      const std::string key = "layer" + std::to_string(layer) + (weight ? ".weight" : ".bias");
      initial_.emplace_back(name, tg::find(data, key).to(dtype_).to(device_));
      layer += weight ? 0 : 1;
    }
    const tg::Tensor& x = tg::find(data, "x");
    const tg::Tensor& y = tg::find(data, "y");
    for (std::int64_t b = 0; b < work_.batches; ++b) {
      const std::int64_t first = b * work_.batch;
      tg::Tensor rows = tg::contiguous(tg::slice(x, 0, first, first + work_.batch)).to(dtype_).to(device_);
      tg::Tensor targets = tg::contiguous(tg::slice(y, 0, first, first + work_.batch)).to(device_);
      if (targets.dtype() == tg::f32) {
        targets = targets.to(dtype_);
      }
      tg::eval({rows, targets});
      batches_.push_back({rows, targets});
    }
    reset();
  }

  nlohmann::json describe() const override { return {{"version", "twingrad"}, {"flags", device_.description()}}; }

  void reset() override {
    compiled_.reset();  // it refers to the optimizer
    model_.load_state(initial_);
    adam_.emplace(model_.parameters(),
                  tg::optim::AdamOptions{.lr = work_.lr, .beta1 = work_.beta1, .beta2 = work_.beta2, .eps = work_.eps});
    if (compile_) {
      compiled_.emplace(tg::compile([this](const tg::Tensor& x, const tg::Tensor& y) { return step(x, y); }));
    }
    next_ = 0;
  }

  void step_many(std::int64_t count) override {
    for (std::int64_t i = 0; i < count; ++i) {
      const auto& [x, y] = batches_[next_++ % batches_.size()];
      loss_ = compile_ ? (*compiled_)(x, y) : step(x, y);
    }
  }

  void synchronize() override { tg::synchronize(device_); }

  void begin_turn() override {
    kernels_ = tg::kernels_run();
    begin_ = tg::backend(device_).mark();
  }
  void end_turn() override {
    kernels_ = tg::kernels_run() - kernels_;
    end_ = tg::backend(device_).mark();
  }
  nlohmann::json turn_facts() const override {
    nlohmann::json facts = {{"kernels", kernels_}};
    if (begin_ != nullptr) {
      facts["device_seconds"] = end_->seconds_since(*begin_);
    }
    return facts;
  }

  double last_loss() override { return loss_.item(); }

  std::vector<std::vector<float>> weights() override {
    std::vector<std::vector<float>> all;
    for (const tg::Tensor& parameter : model_.parameters()) {
      all.push_back(parameter.to_vector<float>());
    }
    return all;
  }

  std::vector<double> outputs(std::int64_t rows) override {
    return tg::slice(model_(batches_[0].x), 0, 0, std::min(rows, work_.batch)).to_vector<double>();
  }

 private:
  /// What a user writes.
  tg::Tensor step(const tg::Tensor& x, const tg::Tensor& y) {
    tg::Tensor loss = loss_of(work_.loss, model_(x), y);
    adam_->step(tg::gradients(loss, model_.parameters()));
    return loss;
  }

  WorkFile work_;
  bool compile_;
  tg::Device device_;
  tg::Dtype dtype_;
  tg::nn::Mlp model_;
  tg::NamedTensors initial_;
  std::vector<tg::data::Batch> batches_;
  std::optional<tg::optim::Adam> adam_;
  std::optional<tg::CompiledStep> compiled_;
  tg::Tensor loss_;
  std::size_t next_ = 0;
  std::uint64_t kernels_ = 0;  // run so far; after a turn: in it
  std::unique_ptr<tg::QueueMark> begin_;
  std::unique_ptr<tg::QueueMark> end_;
};

}  // namespace bench
