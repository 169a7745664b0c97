// What every layer and every model is: named parameters and buffers, children, a mode, and forward(). Users derive
// their own from it; children belong to their parent.
//
//   struct Net : tg::nn::Module {
//     tg::nn::Linear& first = register_module<tg::nn::Linear>("first", 2, 16);
//     tg::nn::Linear& second = register_module<tg::nn::Linear>("second", 16, 1);
//     tg::Tensor forward(const tg::Tensor& x) override { return second(tg::relu(first(x))); }
//   };
//   Net net;
//   net.to(tg::Device::cuda());
//   tg::Tensor y = net(x);
//   for (const auto& [name, parameter] : net.named_parameters()) ...       // "first.weight", "first.bias", ...
#pragma once

#include <twingrad/io/named_tensors.h>
#include <twingrad/precision.h>
#include <twingrad/tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace twingrad::nn {

class Module {
 public:
  Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;
  Module(Module&&) = default;
  Module& operator=(Module&&) = default;
  virtual ~Module() = default;

  /// forward(x), whose ops carry the caller's line in errors and reports and follow precision(). The outermost module
  /// with a 16-bit precision gives float32, so that the loss is computed in it.
  Tensor operator()(const Tensor& x, std::source_location where = std::source_location::current());
  /// What the module computes. Adds nodes and computes nothing.
  virtual Tensor forward(const Tensor& x) = 0;

  /// Every parameter of this module, then of its children, in the order of registration; a shared one once.
  std::vector<Tensor> parameters() const;
  /// The same with their names: "weight", "0.weight", "encoder.0.weight".
  NamedTensors named_parameters() const;
  /// Values that are part of the model but not trained: running statistics.
  NamedTensors named_buffers() const;
  /// Elements of all parameters.
  std::int64_t parameter_count() const;

  /// The present values of parameters and buffers. They stay what they are when training goes on.
  NamedTensors state() const;
  /// Gives parameters and buffers the values of `state`, copied to the devices where they are. Names, shapes and dtypes
  /// must be the module's, else ArgumentError names every difference and nothing changes. Evaluates the values.
  void load_state(const NamedTensors& state);

  /// Training mode (the default): Dropout drops, BatchNorm1d uses and updates statistics of the batch.
  void train();
  /// Evaluation mode.
  void eval();
  bool training() const { return training_; }

  /// What the products of this module and its children are computed in, from the next call on; a child with a precision
  /// of its own keeps it. Parameters stay as they are, float32: they are the master weights.
  void set_precision(Precision precision) { precision_ = precision; }
  /// What was set; nothing: as the module around this one, and fp32 for the outermost.
  std::optional<Precision> precision() const { return precision_; }

  /// Moves parameters, buffers and gradients; handles and optimizers made before follow. All of them or, when the
  /// device throws, none. Copies at once.
  void to(Device device);
  /// Converts floating-point parameters, buffers and gradients. Throws DtypeError unless `dtype` is floating-point.
  void to(Dtype dtype);
  /// Where the first parameter is; the CPU for a module without any.
  Device device() const;

  /// Forgets every parameter's grad().
  void zero_grad() const;

  /// The children by name, in the order of registration.
  const std::vector<std::pair<std::string, std::unique_ptr<Module>>>& children() const { return children_; }

 protected:
  /// Adds a parameter and gives the handle to keep. `value` is computed now, so that a parameter is a leaf with data;
  /// a leaf that requires gradients already is taken as it is, which shares it. Throws DtypeError unless it is
  /// floating-point, ArgumentError for a name that is empty, taken or has a dot.
  Tensor register_parameter(const std::string& name, const Tensor& value);
  /// Adds a buffer: a value that is saved and moved with the module but not trained. Computed now.
  Tensor register_buffer(const std::string& name, const Tensor& value);
  /// Adds a child, which the module owns from now on.
  template <class Child>
  Child& register_module(const std::string& name, std::unique_ptr<Child> child) {
    Child* const added = child.get();
    add_child(name, std::move(child));  // refuses one that is not there
    return *added;
  }
  /// Makes a child out of its constructor's arguments and adds it.
  template <class Child, class... Arguments>
  requires std::is_constructible_v<Child, Arguments...> Child& register_module(const std::string& name,
                                                                               Arguments&&... arguments) {
    return register_module(name, std::make_unique<Child>(std::forward<Arguments>(arguments)...));
  }

 private:
  void check_name(const std::string& name) const;
  void add_child(const std::string& name, std::unique_ptr<Module> child);
  void add_parameters(std::vector<Tensor>& result) const;
  void set_training(bool on);
  template <class Visit>
  void visit_modules(const std::string& prefix, const Visit& visit) const;
  template <class Convert>
  void replace_all(const Convert& convert);

  NamedTensors parameters_;
  NamedTensors buffers_;
  std::vector<std::pair<std::string, std::unique_ptr<Module>>> children_;
  bool training_ = true;
  std::optional<Precision> precision_;
};

/// While one lives, the module is in evaluation mode; afterwards in the mode it had.
class EvalScope {
 public:
  explicit EvalScope(Module& module) : module_(module), training_(module.training()) { module.eval(); }
  EvalScope(const EvalScope&) = delete;
  EvalScope& operator=(const EvalScope&) = delete;
  ~EvalScope() {
    if (training_) {
      module_.train();
    }
  }

 private:
  Module& module_;
  bool training_;
};

}  // namespace twingrad::nn
