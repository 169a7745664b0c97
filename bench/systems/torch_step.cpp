// LibTorch as a peer: what a C++ user would pick instead. Built only against the torch package of a Python environment
// (TWINGRAD_BENCH_TORCH); the product never needs it.
//
//   adam        torch::optim::Adam
//   fused       the same net and backward, with the fused Adam kernel that the Python package uses
#include <ATen/autocast_mode.h>
#include <torch/torch.h>

#include "bench/systems/serve.h"

namespace {

torch::Tensor loss_of(const std::string& loss, const torch::Tensor& output, const torch::Tensor& y) {
  if (loss == "mse") {
    return torch::mse_loss(output, y);
  }
  if (loss == "cross_entropy") {
    return torch::nn::functional::cross_entropy(output, y);
  }
  if (loss == "binary_cross_entropy") {
    return torch::binary_cross_entropy_with_logits(output, y);
  }
  throw std::runtime_error("there is no loss '" + loss + "'");
}

torch::Tensor read(const bench::DataFile& file, const std::string& name) {
  if (file.is_integer(name)) {
    const auto values = file.integers(name);
    return torch::from_blob(const_cast<std::int64_t*>(values.data()), file.shape(name), torch::kInt64).clone();
  }
  const auto values = file.floats(name);
  return torch::from_blob(const_cast<float*>(values.data()), file.shape(name), torch::kFloat32).clone();
}

class TorchStep : public bench::System {
 public:
  explicit TorchStep(const bench::Arguments& arguments)
      : work_(arguments.work),
        fused_(arguments.mode == "fused"),
        threads_(arguments.threads),
        device_(arguments.device) {
    torch::set_num_threads(threads_);
    at::globalContext().setFloat32MatmulPrecision(work_.precision == "tf32" ? "high" : "highest");
    if (work_.precision == "bfloat16") {
      at::autocast::set_autocast_dtype(device_.type(), at::kBFloat16);
      at::autocast::set_autocast_enabled(device_.type(), true);
    } else if (work_.precision != "float32" && work_.precision != "tf32") {
      throw std::runtime_error("there is no precision '" + work_.precision + "'");
    }
    const bench::DataFile data(arguments.data);
    for (std::size_t layer = 0; layer < work_.layers(); ++layer) {
      model_->push_back(torch::nn::Linear(work_.sizes[layer], work_.sizes[layer + 1]));
      if (layer + 1 < work_.layers()) {
        model_->push_back(torch::nn::ReLU());
      }
      initial_.push_back(read(data, "layer" + std::to_string(layer) + ".weight"));
      initial_.push_back(read(data, "layer" + std::to_string(layer) + ".bias"));
    }
    model_->to(device_);
    x_ = read(data, "x").to(device_).split(work_.batch);
    y_ = read(data, "y").to(device_).split(work_.batch);
    reset();
  }

  nlohmann::json describe() const override {
    return {{"version", std::string("LibTorch ") + TORCH_VERSION},
            {"flags", "set_num_threads(" + std::to_string(torch::get_num_threads()) + "), " + device_.str()}};
  }

  void reset() override {
    torch::NoGradGuard no_gradients;
    parameters_ = model_->parameters();
    first_.clear();
    second_.clear();
    counts_.clear();
    for (std::size_t p = 0; p < parameters_.size(); ++p) {
      parameters_[p].copy_(initial_[p]);
      first_.push_back(torch::zeros_like(parameters_[p]));
      second_.push_back(torch::zeros_like(parameters_[p]));
      counts_.push_back(torch::zeros({}, torch::TensorOptions(torch::kFloat32).device(device_)));
    }
    adam_ = std::make_unique<torch::optim::Adam>(
        parameters_, torch::optim::AdamOptions(work_.lr).betas({work_.beta1, work_.beta2}).eps(work_.eps));
    next_ = 0;
  }

  void step_many(std::int64_t count) override {
    for (std::int64_t i = 0; i < count; ++i) {
      const std::size_t batch = next_++ % x_.size();
      loss_ = loss_of(work_.loss, model_->forward(x_[batch]), y_[batch]);
      at::autocast::clear_cache();  // of weights in bfloat16, which the optimizer is about to change
      adam_->zero_grad();
      loss_.backward();
      if (fused_) {
        fused_adam();
      } else {
        adam_->step();
      }
    }
  }

  void synchronize() override {
    if (device_.is_cuda()) {
      torch::cuda::synchronize();
    }
  }
  double last_loss() override { return loss_.item<double>(); }

  std::vector<std::vector<float>> weights() override {
    std::vector<std::vector<float>> all;
    for (const torch::Tensor& parameter : parameters_) {
      const torch::Tensor flat = parameter.detach().cpu().contiguous();
      all.emplace_back(flat.data_ptr<float>(), flat.data_ptr<float>() + flat.numel());
    }
    return all;
  }

  std::vector<double> outputs(std::int64_t rows) override {
    torch::NoGradGuard no_gradients;
    const torch::Tensor out =
        model_->forward(x_[0]).slice(0, 0, std::min(rows, work_.batch)).to(torch::kFloat64).cpu().contiguous();
    return {out.data_ptr<double>(), out.data_ptr<double>() + out.numel()};
  }

 private:
  void fused_adam() {
    torch::NoGradGuard no_gradients;
    std::vector<torch::Tensor> gradients;
    gradients.reserve(parameters_.size());
    for (std::size_t p = 0; p < parameters_.size(); ++p) {
      gradients.push_back(parameters_[p].grad());
      counts_[p].add_(1);
    }
    at::_fused_adam_(parameters_, gradients, first_, second_, {}, counts_, work_.lr, work_.beta1, work_.beta2,
                     /*weight_decay=*/0.0, work_.eps, /*amsgrad=*/false, /*maximize=*/false);
  }

  bench::WorkFile work_;
  bool fused_;
  int threads_;
  torch::Device device_;
  torch::nn::Sequential model_;
  std::vector<torch::Tensor> initial_, x_, y_;
  std::vector<torch::Tensor> parameters_, first_, second_, counts_;
  std::unique_ptr<torch::optim::Adam> adam_;
  torch::Tensor loss_;
  std::size_t next_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  return bench::serve(argc, argv, {"adam", "fused"},
                      [](const bench::Arguments& arguments) { return std::make_unique<TorchStep>(arguments); });
}
