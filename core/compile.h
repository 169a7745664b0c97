// A training step recorded once and replayed from then on: no graph is built, nothing is planned, no memory is asked
// for. What the step computes and the bits it gives are those of the plain loop.
//
//   auto step = tg::compile([&](const tg::Tensor& x, const tg::Tensor& y) {
//     tg::Tensor loss = tg::cross_entropy(model(x), y);
//     adam.step(tg::gradients(loss, model.parameters()));
//     return loss;
//   });
//   for (auto [x, y] : batches) { tg::Tensor loss = step(x, y); }
#pragma once

#include <twingrad/tensor.h>

#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace twingrad {

/// Made by compile(). The function runs when inputs of new shapes, dtypes or device come, or a parameter lies
/// otherwise in memory than before; each time its ops are recorded, not run. Every replay
/// - reads the inputs it is given, and what every tensor that it assigns to (parameters, optimizer buffers, running
///   statistics) holds at that moment; every other tensor is what it was when the step was recorded. Assignments take
///   effect in order: what follows one reads the new value;
/// - uses the optimizers' present learning rates and step counts, and counts the step;
/// - draws on from the generators that the function drew from (dropout).
/// An optimizer may step once in it.
/// Code of the function that is not made of tensors (printing, counting, choosing a branch) runs when it is recorded
/// only. Optimizers and modules must live as long as the step. grad() is empty after the step.
class CompiledStep {
 public:
  using Function = std::function<Tensor(std::span<const Tensor>)>;

  explicit CompiledStep(Function function, std::size_t inputs);
  CompiledStep(CompiledStep&&) noexcept;
  CompiledStep& operator=(CompiledStep&&) noexcept;
  ~CompiledStep();

  /// One step. All inputs and all parameters are on one device. Gives what the function returned: a tensor that it
  /// computes (the loss), without gradients of its own.
  /// Throws ArgumentError for another number of inputs; when the function asks for a value (item, eval), copies between
  /// devices, or returns nothing computed; and what the function and the kernels throw. Then parameters are as they
  /// were.
  template <class... T>
  Tensor operator()(const T&... inputs) {
    const std::array<Tensor, sizeof...(T)> given{inputs...};
    return run(given);
  }
  Tensor run(std::span<const Tensor> inputs);

  /// How many times the function was recorded so far.
  std::size_t recordings() const;
  /// The plan of the latest recording, as describe_plan() shows one; says so when there is none.
  std::string describe() const;

 private:
  struct Program;
  Program& program_for(std::span<const Tensor> inputs);
  void record(Program& program, std::span<const Tensor> inputs);

  Function function_;
  std::size_t inputs_;
  std::size_t recordings_ = 0;
  std::vector<std::unique_ptr<Program>> programs_;  ///< the latest used first
};

namespace detail {
template <class... T, std::size_t... I>
CompiledStep compile(std::function<Tensor(T...)> step, std::index_sequence<I...>) {
  return CompiledStep(
      [call = std::move(step)]([[maybe_unused]] std::span<const Tensor> inputs) { return call(inputs[I]...); },
      sizeof...(T));
}
template <class... T>
CompiledStep compile(std::function<Tensor(T...)> step) {
  return compile(std::move(step), std::index_sequence_for<T...>{});
}
}  // namespace detail

/// `step`: a function of any number of Tensors that gives one.
template <class Step>
CompiledStep compile(Step step) {
  return detail::compile(std::function(std::move(step)));
}

}  // namespace twingrad
