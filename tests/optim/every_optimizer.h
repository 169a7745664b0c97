// Every optimizer, with options that make a structure of their own: for tests of ways to run a training step.
#pragma once

#include <twingrad/optim/optim.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace twingrad::tests {

using MakeOptimizer = std::function<std::unique_ptr<optim::Optimizer>(const std::vector<Tensor>& parameters)>;

/// By name.
inline std::vector<std::pair<std::string, MakeOptimizer>> every_optimizer() {
  return {
      {"sgd", [](const auto& p) { return std::make_unique<optim::SGD>(p, optim::SGDOptions{.lr = 0.1}); }},
      {"nesterov",
       [](const auto& p) {
         return std::make_unique<optim::SGD>(
             p, optim::SGDOptions{.momentum = 0.9, .nesterov = true, .weight_decay = 0.01, .l1 = 0.001});
       }},
      {"damped",
       [](const auto& p) {
         return std::make_unique<optim::SGD>(p, optim::SGDOptions{.momentum = 0.9, .dampening = 0.5});
       }},
      {"adam", [](const auto& p) { return std::make_unique<optim::Adam>(p); }},
      {"amsgrad",
       [](const auto& p) { return std::make_unique<optim::AdamW>(p, optim::AdamWOptions{.amsgrad = true}); }},
      {"rmsprop", [](const auto& p) { return std::make_unique<optim::RMSprop>(p); }},
      {"centred",
       [](const auto& p) {
         return std::make_unique<optim::RMSprop>(p, optim::RMSpropOptions{.momentum = 0.9, .centred = true});
       }},
      {"adagrad",
       [](const auto& p) { return std::make_unique<optim::Adagrad>(p, optim::AdagradOptions{.lr_decay = 0.1}); }},
  };
}

}  // namespace twingrad::tests
