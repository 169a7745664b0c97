// Two interleaving half moons, told apart by a small net: on the GPU if there is one, else on the CPU.
#include <twingrad/twingrad.h>

#include <iostream>

namespace tg = twingrad;

int main() {
  const tg::Device device = tg::Device::best();
  const tg::data::Split moons = tg::data::split(tg::data::moons({.rows = 1000, .seed = 1}));
  tg::nn::Mlp model({2, 32, 32, 2}, {.activation = tg::nn::Activation::tanh});
  model.to(device);
  tg::optim::AdamW adam(model.parameters(), {.lr = 1e-2});

  tg::data::Loader batches(moons.train, {.batch = 50, .shuffle = true, .seed = 1, .device = device});
  for (int epoch = 0; epoch < 20; ++epoch) {
    for (const auto& [x, y] : batches) {
      const tg::Tensor loss = tg::cross_entropy(model(x), y);
      adam.step(tg::gradients(loss, model.parameters()));
    }
  }

  const auto [x, y] = tg::data::Loader(moons.test, {.device = device}).all();
  const tg::Tensor correct = tg::equal(tg::argmax(model(x)), y);
  std::cout << "accuracy on " << device.name() << ": " << tg::mean(correct.to(tg::f32)).item() << '\n';
}
