// Modules one after the other, called "0", "1", ...: what PyTorch's Sequential calls them, so that files fit.
//
//   tg::nn::Sequential net(tg::nn::Linear(2, 16), tg::nn::Relu(), tg::nn::Linear(16, 1));
//   net.add<tg::nn::Sigmoid>();
#pragma once

#include <twingrad/nn/module.h>

#include <concepts>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>

namespace twingrad::nn {

class Sequential : public Module {
 public:
  Sequential() = default;
  template <std::derived_from<Module>... Modules>
  requires(sizeof...(Modules) > 0) explicit Sequential(Modules... modules) {
    (add(std::make_unique<Modules>(std::move(modules))), ...);
  }

  /// Appends a module and gives it back.
  template <class Child>
  Child& add(std::unique_ptr<Child> child) {
    return register_module(std::to_string(size()), std::move(child));
  }
  template <class Child, class... Arguments>
  requires std::is_constructible_v<Child, Arguments...> Child& add(Arguments&&... arguments) {
    return register_module<Child>(std::to_string(size()), std::forward<Arguments>(arguments)...);
  }

  std::size_t size() const { return children().size(); }
  /// Throws ArgumentError when there are not so many.
  Module& operator[](std::size_t index) const;

  /// x through all modules in order; x itself when there are none.
  Tensor forward(const Tensor& x) override;
};

}  // namespace twingrad::nn
