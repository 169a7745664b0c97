#include <twingrad/autograd.h>
#include <twingrad/evaluate.h>
#include <twingrad/graph/node.h>
#include <twingrad/nn/module.h>
#include <twingrad/ops.h>

#include <algorithm>
#include <unordered_set>

namespace twingrad::nn {
namespace {

// A leaf with contiguous memory of its own, so that a step finds the same structure every time.
Tensor materialize(const Tensor& value) {
  const Tensor flat = contiguous(value.detach());
  flat.eval();
  return flat.detach();
}

// Gives the handle, and all its copies, another node: unlike assign(), also of another device or dtype.
void rebind(const Tensor& handle, const Tensor& value) {
  twingrad::rebind(handle.impl(), value.detach().node());
}

}  // namespace

Tensor Module::operator()(const Tensor& x, std::source_location where) {
  const WhereScope scope(where);
  if (!precision_) {
    return forward(x);
  }
  Tensor y;
  {
    const AutocastScope autocast(*precision_);
    y = forward(x);
  }
  const AutocastScope* around = AutocastScope::active();
  const bool outermost = around == nullptr || product_dtype(around->precision()) == Dtype::f32;
  return outermost && product_dtype(*precision_) == y.dtype() ? y.to(Dtype::f32) : y;
}

template <class Visit>
void Module::visit_modules(const std::string& prefix, const Visit& visit) const {
  visit(prefix, *this);
  for (const auto& [name, child] : children_) {
    child->visit_modules(prefix + name + ".", visit);
  }
}

NamedTensors Module::named_parameters() const {
  NamedTensors result;
  std::unordered_set<const detail::TensorImpl*> seen;
  visit_modules("", [&](const std::string& prefix, const Module& module) {
    for (const auto& [name, tensor] : module.parameters_) {
      if (seen.insert(tensor.impl().get()).second) {
        result.emplace_back(prefix + name, tensor);
      }
    }
  });
  return result;
}

NamedTensors Module::named_buffers() const {
  NamedTensors result;
  visit_modules("", [&](const std::string& prefix, const Module& module) {
    for (const auto& [name, tensor] : module.buffers_) {
      result.emplace_back(prefix + name, tensor);
    }
  });
  return result;
}

void Module::add_parameters(std::vector<Tensor>& result) const {
  for (const auto& [name, tensor] : parameters_) {
    result.push_back(tensor);
  }
  for (const auto& [name, child] : children_) {
    child->add_parameters(result);
  }
}

std::vector<Tensor> Module::parameters() const {
  std::vector<Tensor> result;
  add_parameters(result);
  // Asked for in every step, so without a set where few are compared faster.
  std::unordered_set<const detail::TensorImpl*> seen;
  constexpr std::size_t few = 32;
  const auto is_shared = [&](std::size_t i) {
    if (result.size() > few) {
      return !seen.insert(result[i].impl().get()).second;
    }
    return std::any_of(result.begin(), result.begin() + static_cast<std::ptrdiff_t>(i),
                       [&](const Tensor& other) { return other.impl() == result[i].impl(); });
  };
  std::size_t kept = 0;
  for (std::size_t i = 0; i < result.size(); ++i) {
    if (!is_shared(i)) {
      std::swap(result[kept++], result[i]);
    }
  }
  result.resize(kept);
  return result;
}

std::int64_t Module::parameter_count() const {
  std::int64_t count = 0;
  for (const Tensor& parameter : parameters()) {
    count += parameter.numel();
  }
  return count;
}

NamedTensors Module::state() const {
  NamedTensors result;
  for (const auto& [name, tensor] : named_parameters()) {
    result.emplace_back(name, tensor.detach());
  }
  for (const auto& [name, tensor] : named_buffers()) {
    tensor.eval();
    result.emplace_back(name, tensor.detach());
  }
  return result;
}

void Module::load_state(const NamedTensors& state) {
  NamedTensors handles = named_parameters();
  for (const auto& buffer : named_buffers()) {
    handles.push_back(buffer);
  }
  const std::string mismatch = describe_mismatch(handles, state);
  if (!mismatch.empty()) {
    throw ArgumentError("load_state: the values do not fit the module:" + mismatch);
  }
  std::vector<Tensor> values;
  for (const auto& [name, handle] : handles) {
    values.push_back(contiguous(find(state, name).detach().to(handle.device())));
  }
  twingrad::eval(values);
  for (std::size_t i = 0; i < handles.size(); ++i) {
    rebind(handles[i].second, values[i]);
  }
}

void Module::set_training(bool on) {
  training_ = on;
  for (const auto& [name, child] : children_) {
    child->set_training(on);
  }
}
void Module::train() {
  set_training(true);
}
void Module::eval() {
  set_training(false);
}

template <class Convert>
void Module::replace_all(const Convert& convert) {
  std::vector<Tensor> handles = parameters();
  for (const auto& [name, buffer] : named_buffers()) {
    handles.push_back(buffer);
  }
  std::vector<Tensor> values;
  std::vector<Tensor> gradients(handles.size());
  for (std::size_t i = 0; i < handles.size(); ++i) {
    values.push_back(convert(handles[i].detach()));
    if (handles[i].grad().defined()) {
      gradients[i] = convert(handles[i].grad().detach());
    }
  }
  twingrad::eval(values);
  for (std::size_t i = 0; i < handles.size(); ++i) {
    rebind(handles[i], values[i]);
    handles[i].impl()->grad = gradients[i];
  }
}

void Module::to(Device device) {
  replace_all([&](const Tensor& value) { return value.to(device); });
}

void Module::to(Dtype dtype) {
  if (!is_floating(dtype)) {
    throw DtypeError("Module::to: parameters are floating-point, they cannot become " + std::string(name(dtype)));
  }
  replace_all([&](const Tensor& value) { return is_floating(value.dtype()) ? value.to(dtype) : value; });
}

Device Module::device() const {
  const std::vector<Tensor> all = parameters();
  return all.empty() ? Device::cpu() : all.front().device();
}

void Module::zero_grad() const {
  for (const Tensor& parameter : parameters()) {
    parameter.zero_grad();
  }
}

void Module::check_name(const std::string& name) const {
  if (name.empty() || name.find('.') != std::string::npos) {
    throw ArgumentError("'" + name + "' cannot be the name of a parameter, buffer or child: give one without dots");
  }
  const auto has = [&](const auto& list) {
    return std::ranges::any_of(list, [&](const auto& item) { return item.first == name; });
  };
  if (has(parameters_) || has(buffers_) || has(children_)) {
    throw ArgumentError("the module already has something called '" + name + "'; choose another name");
  }
}

Tensor Module::register_parameter(const std::string& name, const Tensor& value) {
  check_name(name);
  if (!is_floating(value.dtype())) {
    throw DtypeError("register_parameter: '" + name + "' is " + std::string(twingrad::name(value.dtype())) +
                     "; a parameter is floating-point (use register_buffer)");
  }
  Tensor parameter = value;
  if (!value.node()->is_leaf() || !value.requires_grad()) {
    parameter = materialize(value).requires_grad(true).label(name);
  }
  parameters_.emplace_back(name, parameter);
  return parameter;
}

Tensor Module::register_buffer(const std::string& name, const Tensor& value) {
  check_name(name);
  Tensor buffer = materialize(value).label(name);
  buffers_.emplace_back(name, buffer);
  return buffer;
}

void Module::add_child(const std::string& name, std::unique_ptr<Module> child) {
  check_name(name);
  if (child == nullptr) {
    throw ArgumentError("register_module: '" + name + "' is no module but a null pointer");
  }
  // Labels grow with the tree, so that the root's are the full names.
  for (const auto& [inner, parameter] : child->named_parameters()) {
    Tensor handle = parameter;
    handle.label(name + "." + inner);
  }
  for (const auto& [inner, buffer] : child->named_buffers()) {
    Tensor handle = buffer;
    handle.label(name + "." + inner);
  }
  children_.emplace_back(name, std::move(child));
}

}  // namespace twingrad::nn
