// From a fusion to the type of its kernel, written down, and what such a kernel is launched with. Pure arithmetic, so
// that the tests need no GPU. Equal texts are equal kernels: sizes, strides and parameters are arguments, not text.
//
//   if (const std::optional<FusedPlan> plan = plan_fusion(fusion)) { ... plan->text names the kernel's type ... }
#pragma once

#include "cuda/reduce_plan.h"
#include "cuda/strided.h"

#include <twingrad/backend.h>
#include <twingrad/formulas.h>
#include <twingrad/kernels.h>
#include <twingrad/op.h>
#include <twingrad/update_formulas.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace twingrad::cuda {

/// A fusion as fused_kernel.cuh's Kernel, or with sums at its end fused_sums.cuh's Summed.
struct FusedPlan {
  std::string text;                    ///< the type, in namespace twingrad::cuda::fused
  int lanes = 1;                       ///< elements of one thread
  std::int64_t count = 0;              ///< elements of every part
  std::int64_t blocks = 1;             ///< of 256 threads
  std::vector<std::byte> arguments;    ///< the kernel's argument, all but `aligned` and the addresses filled in
  std::vector<std::size_t> alignment;  ///< per address: what it must be a multiple of to be moved in vectors
  bool exact = true;                   ///< made of + - * /, sqrt and choices alone, which every compiler rounds alike
};

/// Byte positions in FusedPlan::arguments.
inline constexpr std::size_t aligned_position = 8;
inline constexpr std::size_t data_position = 16;

/// Threads of a block of these kernels.
inline constexpr std::int64_t fused_threads = 256;

/// What one block of a chain with sums works through: 8 elements a thread, one after the other. More would take longer
/// than the launch that is saved.
inline constexpr std::int64_t most_summed_per_block = 8 * fused_threads;
/// Room in a block for values that wait to be summed.
inline constexpr std::size_t most_summed_bytes = 16384;
/// Beyond so many elements memory is what costs, not the launch.
inline constexpr std::int64_t most_summed_elements = std::int64_t{1} << 16;

/// A kernel's arguments may fill 4 KiB on every GPU.
inline constexpr std::size_t most_argument_bytes = 4096;

namespace fused_text {

/// What a formula needs to be known of.
struct Row {
  std::string_view name;
  bool gives_bool = false;
  bool exact = true;
};

/// Formulas that call functions of the math library; the others are rounded the same way by every compiler.
using Inexact = std::tuple<formulas::Exp, formulas::Expm1, formulas::Log, formulas::Log1p, formulas::Sin, formulas::Cos,
                           formulas::Tanh, formulas::Sigmoid, formulas::LogSigmoid, formulas::Elu, formulas::Gelu,
                           formulas::GeluTanh, formulas::Silu, formulas::Softplus, formulas::Erf, formulas::PowScalar,
                           formulas::Pow, formulas::BceWithLogits, formulas::BceWithLogitsGrad>;

template <class Formula, class... List>
constexpr bool is_one_of(const std::tuple<List...>*) {
  return (std::is_same_v<Formula, List> || ...);
}

template <class... List>
std::array<Row, sizeof...(List)> rows(const std::tuple<List...>*) {
  return {Row{List::name, List::gives == formulas::Gives::boolean,
              !is_one_of<List>(static_cast<const Inexact*>(nullptr))}...};
}
template <class... List>
std::array<Row, sizeof...(List)> update_rows(const std::tuple<List...>*) {
  return {Row{List::name}...};
}

inline const Row& formula(int kernel) {
  static const auto table = rows(static_cast<const formulas::Formulas*>(nullptr));
  return table.at(static_cast<std::size_t>(kernel));
}
inline const Row& update_formula(int kernel) {
  static const auto table = update_rows(static_cast<const formulas::UpdateFormulas*>(nullptr));
  return table.at(static_cast<std::size_t>(kernel));
}

inline std::string_view type_name(Dtype dtype) {
  switch (dtype) {
    case Dtype::f32:
      return "float";
    case Dtype::f64:
      return "double";
    case Dtype::bf16:
      return "bfloat16";
    case Dtype::f16:
      return "float16";
    case Dtype::i32:
      return "std::int32_t";
    case Dtype::i64:
      return "std::int64_t";
    case Dtype::u8:
      return "std::uint8_t";
    case Dtype::boolean:
      return "bool";
  }
  return "?";
}

/// "Name<1, float, 3, 4>"
template <class... Arguments>
std::string applied(std::string_view name, const Arguments&... arguments) {
  std::string text(name);
  char before = '<';
  const auto add = [&]<class T>(const T& argument) {
    text += before;
    text += before == ',' ? " " : "";
    before = ',';
    if constexpr (std::is_integral_v<T>) {
      text += std::to_string(argument);
    } else {
      text += argument;
    }
  };
  (add(arguments), ...);
  return text + ">";
}

inline std::string dense(int address, std::string_view type) {
  return applied("Dense", address, type);
}
inline std::string single(int address, std::string_view type) {
  return applied("Single", address, type);
}
/// `kind`: Strided, Row or Repeated.
inline std::string walked(std::string_view kind, int address, std::string_view type, int first_axis, int rank) {
  return applied(kind, address, type, first_axis, rank);
}
inline std::string result(int part) {
  return applied("Result", part);
}

inline std::string joined(const std::vector<std::string>& operands) {
  std::string text;
  for (const std::string& operand : operands) {
    text += (text.empty() ? "" : ", ") + operand;
  }
  return text;
}

/// `kernel` of Formulas with its name beside it for whoever reads the text.
inline std::string named(int kernel, const Row& row) {
  return std::to_string(kernel) + " /* " + std::string(row.name) + " */";
}
inline std::string elementwise(int kernel, std::string_view type, int parameters, int stored,
                               const std::vector<std::string>& operands) {
  return applied("Elementwise", named(kernel, formula(kernel)), type, parameters, stored, joined(operands));
}
inline std::string update(int kernel, std::string_view type, int hyper, int stored,
                          const std::vector<std::string>& operands) {
  return applied("Update", named(kernel, update_formula(kernel)), type, hyper, stored, joined(operands));
}

/// The whole type, a line for each part.
inline std::string kernel(bool wide, int lanes, int addresses, int parameter_sets, int axes,
                          const std::vector<std::string>& parts) {
  std::string text =
      applied("Kernel", std::string_view(wide ? "Axis64" : "Axis32"), lanes, addresses, parameter_sets, axes);
  text.pop_back();
  for (const std::string& part : parts) {
    text += ",\n    " + part;
  }
  return text + ">";
}

inline std::string sum(int part, std::string_view type, int stored, bool mean) {
  return applied("Sum", part, type, stored, std::string_view(mean ? "true" : "false"));
}
/// The type of a kernel with sums behind it.
inline std::string summed(const std::string& kernel, const std::vector<std::string>& sums) {
  std::string text = "Summed<" + kernel;
  for (const std::string& one : sums) {
    text += ",\n    " + one;
  }
  return text + ">";
}

/// The type of one kernel for several such.
inline std::string merged(const std::string& kernel, int members) {
  return applied("Merged", kernel, members);
}

}  // namespace fused_text

/// Works a fusion out. Private to plan_fusion().
class FusedPlanner {
 public:
  explicit FusedPlanner(const Fusion& fusion)
      : fusion_(fusion), count_(fusion.parts.front().call.output.numel()), wide_(count_ >= limit32) {}

  std::optional<FusedPlan> plan() {
    for (const Fusion::Part& part : fusion_.parts) {
      if (part.call.op->family == Family::reduce ? !look_at_sum(part) : !sums_.empty() || !look_at(part)) {
        return std::nullopt;
      }
    }
    if (!sums_.empty() && !cut_strips()) {
      return std::nullopt;
    }
    lanes_ = sums_.empty() ? static_cast<int>(16 / widest_) : 1;
    std::vector<std::string> sum_texts;
    for (const Fusion::Part& part : fusion_.parts) {
      if (part.call.op->family == Family::reduce) {
        sum_texts.push_back(add_sum(part));
      } else {
        add(part);
      }
    }
    FusedPlan plan;
    plan.text = fused_text::kernel(wide_, lanes_, static_cast<int>(alignment_.size()), sets_,
                                   static_cast<int>(axes_.size()), parts_);
    plan.text = sums_.empty() ? plan.text : fused_text::summed(plan.text, sum_texts);
    plan.lanes = lanes_;
    plan.count = count_;
    plan.blocks = sums_.empty() ? detail::ceil_div(count_, fused_threads * lanes_) : detail::ceil_div(columns_, strip_);
    plan.alignment = alignment_;
    plan.exact = exact_;
    write_arguments(plan.arguments);
    if (plan.arguments.size() > most_argument_bytes) {
      return std::nullopt;
    }
    return plan;
  }

 private:
  /// Columns of a block: fewer would read memory in small pieces.
  static constexpr std::int64_t widest_strip = 32;
  static constexpr std::int64_t narrowest_strip = 4;

  struct SumPlan {
    std::uint32_t lanes;  ///< threads that share one sum in the order of reduce.cuh
    bool whole;           ///< over all elements; else over rows
    std::size_t element;  ///< bytes
  };

  static bool is_update(const Fusion::Part& part) { return part.call.op->family == Family::update; }

  /// False when the part is not for these kernels. Finds the widest element in memory, and whether 32 bits are enough.
  bool look_at(const Fusion::Part& part) {
    const KernelCall& call = part.call;
    if ((call.op->family != Family::elementwise && !is_update(part)) || call.output.numel() != count_ ||
        (is_update(part) && !is_floating(call.output.dtype))) {
      return false;
    }
    for (std::size_t j = 0; j < call.inputs.size(); ++j) {
      const TensorView& view = call.inputs[j];
      if (part.from[j] < 0) {
        const bool is_hyper = is_update(part) && j + 1 == call.inputs.size();
        widest_ = is_hyper ? widest_ : std::max(widest_, size_of(view.dtype));
        wide_ = wide_ || (!is_hyper && !fits(box_of(view, call.output.shape), limit32));
      }
    }
    widest_ = part.stored ? std::max(widest_, size_of(call.output.dtype)) : widest_;
    return true;
  }

  /// Of a sum or mean of a part's result: over all elements, or over the rows of a matrix, in one pass. False for
  /// others.
  bool look_at_sum(const Fusion::Part& part) {
    const KernelCall& call = part.call;
    const auto kind = static_cast<Reduce>(call.op->kernel);
    if ((kind != Reduce::sum && kind != Reduce::mean) || part.from[0] < 0 || !part.stored ||
        !is_floating(call.output.dtype) || call.inputs[0].dtype != call.output.dtype || !call.inputs[0].contiguous() ||
        call.inputs[0].numel() != count_ || count_ > most_summed_elements) {
      return false;
    }
    const Fusion::Part& summed = fusion_.parts[static_cast<std::size_t>(part.from[0])];
    if (summed.call.op->family != Family::elementwise) {
      return false;
    }
    const ReducePlan plan = plan_reduction(call.inputs[0].shape, call.inputs[0].strides, call.attributes.ints);
    const bool whole = plan.outputs == 1;
    if (plan.chunks != 1 || (!whole && !plan.columns)) {
      return false;
    }
    if (!whole) {
      // Rows of one matrix: dense memory has no other column sums than over its leading axes.
      if (plan.kept.rank != 1 || plan.kept.stride[0][0] != 1 || (columns_ != 0 && columns_ != plan.outputs)) {
        return false;
      }
      columns_ = plan.outputs;
      rows_ = plan.length;
    }
    any_whole_ = any_whole_ || whole;
    sums_.push_back({whole ? plan.group : column_threads / plan.group, whole, size_of(call.output.dtype)});
    return true;
  }

  /// Divides the columns among blocks. False when that leaves one of them too much.
  bool cut_strips() {
    if (columns_ == 0) {
      columns_ = count_;
      rows_ = 1;
    }
    strip_ = any_whole_ ? columns_ : std::min({columns_, widest_strip, most_summed_per_block / rows_});
    return strip_ >= std::min(columns_, narrowest_strip) && rows_ * strip_ <= most_summed_per_block &&
           staged_bytes() <= most_summed_bytes;
  }
  std::size_t staged_bytes() const {
    std::size_t bytes = 0;
    for (const SumPlan& sum : sums_) {
      bytes += bytes_of(sum);
    }
    return bytes;
  }
  std::size_t bytes_of(const SumPlan& sum) const {
    return (static_cast<std::size_t>(rows_ * strip_) * sum.element + 7) / 8 * 8;
  }

  std::string add_sum(const Fusion::Part& part) {
    const bool mean = static_cast<Reduce>(part.call.op->kernel) == Reduce::mean;
    return fused_text::sum(part.from[0], fused_text::type_name(part.call.output.dtype), add_address(1), mean);
  }

  static Box<1> box_of(const TensorView& view, const Shape& shape) {
    return make_box<1>(shape, std::array<Strides, 1>{view.strides});
  }

  int add_address(std::size_t vector_bytes) {
    alignment_.push_back(vector_bytes);
    return static_cast<int>(alignment_.size()) - 1;
  }
  std::size_t vector_bytes(Dtype dtype) const { return size_of(dtype) * static_cast<std::size_t>(lanes_); }

  void add(const Fusion::Part& part) {
    const KernelCall& call = part.call;
    const std::size_t operands = call.inputs.size() - (is_update(part) ? 1 : 0);
    std::vector<std::string> texts;
    for (std::size_t j = 0; j < operands; ++j) {
      texts.push_back(part.from[j] >= 0 ? fused_text::result(part.from[j])
                                        : operand(call.inputs[j], call.output.shape));
    }
    const int hyper = is_update(part) ? add_address(1) : -1;
    const int stored = part.stored ? add_address(vector_bytes(call.output.dtype)) : -1;
    if (is_update(part)) {
      parts_.push_back(
          fused_text::update(call.op->kernel, fused_text::type_name(call.output.dtype), hyper, stored, texts));
      return;
    }
    exact_ = exact_ && fused_text::formula(call.op->kernel).exact;
    const std::string_view type = fused_text::type_name(call.inputs.back().dtype);
    parts_.push_back(fused_text::elementwise(call.op->kernel, type, parameter_set(call.attributes), stored, texts));
  }

  int parameter_set(const Attributes& attributes) {
    if (attributes.reals == decltype(attributes.reals){}) {
      return -1;
    }
    parameters_.insert(parameters_.end(), attributes.reals.begin(), attributes.reals.end());
    return sets_++;
  }

  std::string operand(const TensorView& view, const Shape& shape) {
    const std::string_view type = fused_text::type_name(view.dtype);
    if (view.contiguous()) {
      return fused_text::dense(add_address(vector_bytes(view.dtype)), type);
    }
    const Box<1> box = box_of(view, shape);
    if (std::all_of(box.stride[0], box.stride[0] + box.rank, [](std::int64_t stride) { return stride == 0; })) {
      return fused_text::single(add_address(1), type);
    }
    const int first = static_cast<int>(axes_.size());
    bool rows = true;
    for (int axis = 0; axis < box.rank; ++axis) {
      axes_.emplace_back(box.size[axis], box.stride[0][axis]);
      rows = rows && (axis + 1 == box.rank || box.stride[0][axis] % lanes_ == 0);
    }
    const std::int64_t inner = box.stride[0][box.rank - 1];
    const bool divides = box.size[box.rank - 1] % lanes_ == 0;
    if (divides && inner == 1 && rows) {
      return fused_text::walked("Row", add_address(vector_bytes(view.dtype)), type, first, box.rank);
    }
    const std::string_view kind = divides && inner == 0 ? "Repeated" : "Strided";
    return fused_text::walked(kind, add_address(1), type, first, box.rank);
  }

  template <class T>
  static void append(std::vector<std::byte>& bytes, const T& value) {
    const std::size_t size = bytes.size();
    bytes.resize(size + sizeof value);
    std::memcpy(bytes.data() + size, &value, sizeof value);
  }

  /// As fused_kernel.cuh's Arguments lies in memory: all its members are multiples of 8 bytes.
  void write_arguments(std::vector<std::byte>& bytes) const {
    append(bytes, count_);
    append(bytes, std::int64_t{0});
    for (std::size_t i = 0; i < alignment_.size(); ++i) {
      append(bytes, std::uint64_t{0});
    }
    append_padded(bytes, parameters_, 4);
    for (const auto& [size, stride] : axes_) {
      if (wide_) {
        append(bytes, Divisor64(size));
        append(bytes, stride);
      } else {
        append(bytes, Divisor32(static_cast<std::uint32_t>(size)));
        append(bytes, static_cast<std::int32_t>(stride));
      }
    }
    if (axes_.empty()) {
      bytes.resize(bytes.size() + (wide_ ? sizeof(Divisor64) + 8 : sizeof(Divisor32) + 4));
    }
    if (!sums_.empty()) {
      write_sums(bytes);
    }
  }
  /// As fused_sums.cuh's Summed::Arguments lies in memory, behind the chain's.
  void write_sums(std::vector<std::byte>& bytes) const {
    for (const std::int64_t value : {rows_, columns_, strip_, std::int64_t{0}}) {
      append(bytes, static_cast<std::uint32_t>(value));
    }
    std::size_t staged = 0;
    for (const SumPlan& sum : sums_) {
      for (const std::size_t value : {std::size_t{sum.lanes}, std::size_t{sum.whole}, staged, std::size_t{0}}) {
        append(bytes, static_cast<std::uint32_t>(value));
      }
      staged += bytes_of(sum);
    }
  }
  static void append_padded(std::vector<std::byte>& bytes, const std::vector<double>& values, std::size_t least) {
    for (const double value : values) {
      append(bytes, value);
    }
    for (std::size_t i = values.size(); i < least; ++i) {
      append(bytes, 0.0);
    }
  }

  const Fusion& fusion_;
  std::int64_t count_;
  bool wide_;
  std::size_t widest_ = 1;
  int lanes_ = 1;
  int sets_ = 0;
  bool exact_ = true;
  std::vector<std::string> parts_;
  std::vector<std::size_t> alignment_;
  std::vector<double> parameters_;
  std::vector<std::pair<std::int64_t, std::int64_t>> axes_;  // size, stride
  std::vector<SumPlan> sums_;
  bool any_whole_ = false;
  std::int64_t rows_ = 0;  // of the matrix whose columns are summed; one row where there is none
  std::int64_t columns_ = 0;
  std::int64_t strip_ = 0;  // columns of a block
};

/// The kernel for `fusion`, or nothing when a part is neither elementwise nor an update nor at the end a small sum, or
/// there are too many operands for one kernel's arguments.
inline std::optional<FusedPlan> plan_fusion(const Fusion& fusion) {
  return FusedPlanner(fusion).plan();
}

/// How many of these plans one kernel's arguments have room for: 16, or less; below 2: no use.
inline int most_merged(const FusedPlan& plan) {
  int members = 16;
  while (members > 1 &&
         static_cast<std::size_t>(members) * (sizeof(unsigned) + plan.arguments.size()) > most_argument_bytes) {
    members /= 2;
  }
  return members;
}

}  // namespace twingrad::cuda
