#include <twingrad/check/reference_interpreter.h>
#include <twingrad/error.h>

#include <cstddef>
#include <string>
#include <utility>

namespace twingrad::check {

Window broadcast_window(const Shape& from, const Shape& shape) {
  Window window{0, shape, Dims::filled(shape.size(), 0)};
  const Strides strides = contiguous_strides(from);
  const int shift = shape.size() - from.size();
  for (int i = 0; i < from.size(); ++i) {
    window.strides[i + shift] = from[i] == 1 ? 0 : strides[i];
  }
  return window;
}

template <class N>
Array<N> Interpreter<N>::run() {
  if (output_.data.empty() && op_.family != Family::index) {
    return std::move(output_);
  }
  const RoundingScope scope(arithmetic_bits(op_, output_.type.dtype, model_), model_);
  switch (op_.family) {
    case Family::view:
      view();
      break;
    case Family::elementwise:
      elementwise();
      break;
    case Family::update:
      update();
      break;
    case Family::reduce:
      reduce();
      break;
    case Family::arg_reduce:
      arg_reduce();
      break;
    case Family::scan:
      scan();
      break;
    case Family::matmul:
      matmul();
      break;
    case Family::rows:
      rows();
      break;
    case Family::index:
      index();
      break;
    case Family::random:
      random();
      break;
    case Family::copy:
      copy();
      break;
    case Family::custom:
      custom();
      break;
  }
  store();
  return std::move(output_);
}

template <class N>
void Interpreter<N>::store() {
  const Dtype dtype = output_.type.dtype;
  const int bits = significant_bits(dtype);
  const bool moves = op_.family == Family::view || op_.family == Family::random || op_.family == Family::copy;
  if (bits != 0 && !moves && bits < arithmetic_bits(op_, dtype, model_)) {
    for (N& element : output_.data) {
      element = stored_as(element, dtype, model_);
    }
  }
  if (bits == 0 && (op_.family == Family::elementwise || op_.family == Family::index)) {
    for (N& element : output_.data) {
      element = N(wrapped(value_of(element), dtype));
    }
  }
}

template <class N>
void Interpreter<N>::custom() {
  if constexpr (std::is_same_v<N, double>) {
    std::vector<std::vector<std::byte>> memory;
    KernelCall call{&op_, attributes_, {}, {}, {}};
    const auto view_of = [&](const Array<double>& array) {
      const Dtype dtype = is_floating(array.type.dtype) ? Dtype::f64 : array.type.dtype;
      memory.emplace_back(array.data.size() * size_of(dtype) + 1);
      visit(dtype, [&]<class T>(Type<T>) {
        for (std::size_t i = 0; i < array.data.size(); ++i) {
          reinterpret_cast<T*>(memory.back().data())[i] = static_cast<T>(static_cast<compute_t<T>>(array.data[i]));
        }
      });
      return TensorView{memory.back().data(), dtype, array.type.shape, contiguous_strides(array.type.shape)};
    };
    memory.reserve(inputs_.size() + 1);
    for (const Array<double>* input : inputs_) {
      call.inputs.push_back(view_of(*input));
    }
    call.output = view_of(output_);
    op_.custom_cpu(call);
    visit(call.output.dtype, [&]<class T>(Type<T>) {
      for (std::int64_t i = 0; i < output_.size(); ++i) {
        out(i) = static_cast<double>(static_cast<compute_t<T>>(call.output.as<T>()[i]));
      }
    });
  } else {
    throw ArgumentError("the custom op " + std::string(op_.name) +
                        " has no formula that runs on other number types; it is checked by finite differences");
  }
}

int arithmetic_bits(const Op& op, Dtype dtype, const ErrorModel& model) {
  if (op.family == Family::view || op.family == Family::random || op.family == Family::arg_reduce) {
    return 0;
  }
  const int bits = significant_bits(dtype);
  // A cast rounds once, to its own dtype; the 16-bit floats are computed in float32.
  if (bits == 0 || bits == 53 || op.family == Family::copy) {
    return bits;
  }
  const bool accumulates = op.family == Family::matmul || op.family == Family::reduce || op.family == Family::rows;
  return accumulates ? std::max(model.accumulator_bits, bits) : 24;
}

template <class N>
Array<N> reference(const Op& op, const Attributes& attributes, std::span<const Array<N>* const> inputs,
                   const TensorType& type, const ErrorModel& model) {
  return Interpreter<N>(op, attributes, inputs, type, model).run();
}
template <class N>
Array<N> reference(const Op& op, const Attributes& attributes, std::span<const Array<N>> inputs, const TensorType& type,
                   const ErrorModel& model) {
  std::vector<const Array<N>*> pointers;
  for (const Array<N>& input : inputs) {
    pointers.push_back(&input);
  }
  return reference<N>(op, attributes, pointers, type, model);
}
template Array<double> reference(const Op&, const Attributes&, std::span<const Array<double>* const>, const TensorType&,
                                 const ErrorModel&);
template Array<double> reference(const Op&, const Attributes&, std::span<const Array<double>>, const TensorType&,
                                 const ErrorModel&);
template Array<Dual> reference(const Op&, const Attributes&, std::span<const Array<Dual>* const>, const TensorType&,
                               const ErrorModel&);
template Array<Dual> reference(const Op&, const Attributes&, std::span<const Array<Dual>>, const TensorType&,
                               const ErrorModel&);
template Array<Tracked> reference(const Op&, const Attributes&, std::span<const Array<Tracked>* const>,
                                  const TensorType&, const ErrorModel&);
template Array<Tracked> reference(const Op&, const Attributes&, std::span<const Array<Tracked>>, const TensorType&,
                                  const ErrorModel&);

}  // namespace twingrad::check
