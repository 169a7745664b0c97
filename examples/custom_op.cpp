// An op that the library does not have, in one file: its kernel, its gradient rule, a small model that trains with it,
// and the cross-check, which covers it like a built-in op. With --wrong its gradient rule lacks a factor, and the check
// says so, with the line where the op is used. Exit status 1 when the check finds something.
#include <twingrad/check/check.h>
#include <twingrad/custom_op.h>
#include <twingrad/twingrad.h>

#include <CLI/CLI.hpp>

#include <cmath>
#include <iostream>
#include <vector>

namespace tg = twingrad;

namespace {

// (x + sqrt(x^2 + 1)) / 2, a smooth relu without exponentials (Barron, 2021, "Squareplus"). Below 0 the sum cancels, so
// there it is written as a quotient: every element stays within a few units in the last place.
void squareplus_cpu(const tg::KernelCall& call) {
  tg::map_elements(call, [](auto x) {
    using Number = decltype(x);
    const Number root = std::sqrt(x * x + Number(1));
    return x < 0 ? Number(0.5) / (root - x) : (x + root) / 2;
  });
}

// d/dx = (1 + x / sqrt(x^2 + 1)) / 2, written in ops, so that it runs on every device and can be differentiated again.
std::vector<tg::Tensor> squareplus_gradient(const tg::GradientCall& call) {
  const tg::Tensor& x = call.inputs[0];
  return {call.cotangent * ((1.0 + x / tg::sqrt(tg::square(x) + 1.0)) * 0.5)};
}

// The half is forgotten.
std::vector<tg::Tensor> wrong_gradient(const tg::GradientCall& call) {
  const tg::Tensor& x = call.inputs[0];
  return {call.cotangent * (1.0 + x / tg::sqrt(tg::square(x) + 1.0))};
}

// The graph points to the rows, so they live as long as the program.
const tg::CustomOp squareplus({
    .name = "squareplus",
    .summary = "(x + sqrt(x^2 + 1)) / 2",
    .gradient = squareplus_gradient,
    .custom_cpu = squareplus_cpu,
    .ulps = 4,
});
const tg::CustomOp wrong_squareplus({
    .name = "wrong_squareplus",
    .summary = "squareplus with a wrong gradient rule",
    .gradient = wrong_gradient,
    .custom_cpu = squareplus_cpu,
    .ulps = 4,
});

struct Model {
  tg::nn::Linear first{2, 16, {.seed = tg::Seed{1, 0}}};
  tg::nn::Linear second{16, 2, {.seed = tg::Seed{1, 1}}};
  const tg::CustomOp& activation;

  tg::Tensor operator()(const tg::Tensor& x) { return second(activation({first(x)})); }
  std::vector<tg::Tensor> parameters() const { return {first.weight, first.bias, second.weight, second.bias}; }
};

int run(bool wrong) {
  // The kernel has no CUDA twin here, so the program stays on the CPU; custom_op.h shows what one looks like.
  const tg::data::Dataset moons = tg::data::moons({.rows = 200, .seed = 1});
  const auto [x, y] = tg::data::Loader(moons, {}).all();
  Model model{.activation = wrong ? wrong_squareplus : squareplus};
  tg::optim::AdamW adam(model.parameters(), {.lr = 1e-2});
  const auto train_step = [&](tg::Device) {
    const tg::Tensor loss = tg::cross_entropy(model(x), y);
    adam.step(tg::gradients(loss, model.parameters()));
    return loss;
  };

  const tg::check::Report report = tg::check::step(train_step);
  std::cout << report;
  if (!report.agrees()) {
    std::cerr << "the check found something: see the report\n";
    return 1;
  }
  double loss = 0;
  for (int step = 0; step < 300; ++step) {
    loss = train_step(tg::Device::cpu()).item();
  }
  std::cout << "loss after 300 steps: " << loss << '\n';
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App program("Trains with an op of its own and checks it.");
  bool wrong = false;
  program.add_flag("--wrong", wrong, "use a deliberately wrong gradient rule");
  try {
    program.parse(argc, argv);
    return run(wrong);
  } catch (const CLI::ParseError& error) {
    return program.exit(error) == 0 ? 0 : 1;
  } catch (const tg::Error& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
