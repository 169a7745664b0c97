// The chains of the examples' training steps and of all optimizers, in float32. What plans ask for is printed by
// describe_plan(); a chain that is missing here is compiled at run time.
#include "cuda/fused_patterns.h"

#include "cuda/fused_plan.h"
#include "cuda/fused_sums.cuh"

#include <cuda_runtime.h>

#include <unordered_map>

namespace twingrad::cuda {
namespace {

using namespace formulas;
using fused::Axis32;
using fused::Axis64;
using fused::Dense;
using fused::Elementwise;
using fused::Kernel;
using fused::Merged;
using fused::Repeated;
using fused::Result;
using fused::Row;
using fused::Single;
using fused::Strided;
using fused::Sum;
using fused::Summed;
using fused::Update;

static_assert(sizeof(Axis32) == sizeof(Divisor32) + 4 && sizeof(Axis64) == sizeof(Divisor64) + 8,
              "fused_plan.h writes axes without gaps");
using OneOfEach = fused::Arguments<Axis32, 1, 1, 1>;
static_assert(offsetof(OneOfEach, aligned) == aligned_position && offsetof(OneOfEach, data) == data_position,
              "fused_plan.h knows where these lie");

static_assert(fused::threads == fused_threads && fused::summed_bytes == most_summed_bytes, "fused_plan.h says so, too");
static_assert(fused::summed_lanes >= column_threads, "every order of a sum has room");

template <class Kernel>
__global__ void __launch_bounds__(fused::threads)
    pattern(const __grid_constant__ typename Kernel::Arguments arguments) {
  Kernel::run(arguments);
}

// A type as fused_plan.h writes it.

template <class T>
struct Text;
template <int address, class T>
struct Text<Dense<address, T>> {
  static std::string get() { return fused_text::dense(address, fused_text::type_name(dtype_of_v<T>)); }
};
template <int address, class T>
struct Text<Single<address, T>> {
  static std::string get() { return fused_text::single(address, fused_text::type_name(dtype_of_v<T>)); }
};
template <int address, class T, int first_axis, int rank>
struct Text<Strided<address, T, first_axis, rank>> {
  static std::string get() {
    return fused_text::walked("Strided", address, fused_text::type_name(dtype_of_v<T>), first_axis, rank);
  }
};
template <int address, class T, int first_axis, int rank>
struct Text<Repeated<address, T, first_axis, rank>> {
  static std::string get() {
    return fused_text::walked("Repeated", address, fused_text::type_name(dtype_of_v<T>), first_axis, rank);
  }
};
template <int part>
struct Text<Result<part>> {
  static std::string get() { return fused_text::result(part); }
};
template <int formula, class T, int parameters, int stored, class... Operands>
struct Text<Elementwise<formula, T, parameters, stored, Operands...>> {
  static std::string get() {
    return fused_text::elementwise(formula, fused_text::type_name(dtype_of_v<T>), parameters, stored,
                                   {Text<Operands>::get()...});
  }
};
template <int formula, class T, int hyper, int stored, class... Operands>
struct Text<Update<formula, T, hyper, stored, Operands...>> {
  static std::string get() {
    return fused_text::update(formula, fused_text::type_name(dtype_of_v<T>), hyper, stored, {Text<Operands>::get()...});
  }
};
template <class Axis, int lanes, int addresses, int parameter_sets, int axes, class... Parts>
struct Text<Kernel<Axis, lanes, addresses, parameter_sets, axes, Parts...>> {
  static std::string get() {
    return fused_text::kernel(std::is_same_v<Axis, Axis64>, lanes, addresses, parameter_sets, axes,
                              {Text<Parts>::get()...});
  }
};

template <int part, class T, int stored, bool mean>
struct Text<Sum<part, T, stored, mean>> {
  static std::string get() { return fused_text::sum(part, fused_text::type_name(dtype_of_v<T>), stored, mean); }
};
template <class Chain, class... Sums>
struct Text<Summed<Chain, Sums...>> {
  static std::string get() { return fused_text::summed(Text<Chain>::get(), {Text<Sums>::get()...}); }
};
template <class Chain, int members>
struct Text<Merged<Chain, members>> {
  static std::string get() { return fused_text::merged(Text<Chain>::get(), members); }
};

// Short names for the table.

constexpr int none = -1;  // the result is read by other parts alone
template <int address>
using In = Dense<address, float>;
template <int address>
using One = Single<address, float>;
template <int part>
using Of = Result<part>;
template <class Formula, int stored, class... Operands>
using Op = Elementwise<index_in<Formula, Formulas>::value, float, none, stored, Operands...>;
template <class Formula, int hyper, int stored, class... Operands>
using Step = Update<index_in<Formula, UpdateFormulas>::value, float, hyper, stored, Operands...>;
template <int addresses, class... Parts>
using Chain = Kernel<Axis32, 4, addresses, 0, 0, Parts...>;
template <int addresses, class... Parts>
using WithColumn = Kernel<Axis32, 4, addresses, 0, 2, Parts...>;  // one operand is broadcast along the last axis

template <class... Kernels>
struct List {};

using Optimizers = List<
    // Adam and AdamW; with penalties; on a scaled gradient; with the largest second moment
    Chain<11, Step<Accumulate, 2, 3, In<0>, In<1>>, Step<AccumulateSquare, 6, 7, In<4>, In<5>>,
          Step<Adam, 9, 10, In<8>, Of<0>, Of<1>>>,
    Chain<12, Step<Penalty, 2, none, In<0>, In<1>>, Step<Accumulate, 4, 5, In<3>, Of<0>>,
          Step<AccumulateSquare, 7, 8, In<6>, Of<0>>, Step<Adam, 10, 11, In<9>, Of<1>, Of<2>>>,
    Chain<11, Op<Mul, none, In<0>, One<1>>, Step<Accumulate, 3, 4, In<2>, Of<0>>,
          Step<AccumulateSquare, 6, 7, In<5>, Of<0>>, Step<Adam, 9, 10, In<8>, Of<1>, Of<2>>>,
    Chain<13, Step<Accumulate, 2, 3, In<0>, In<1>>, Step<AccumulateSquare, 6, 7, In<4>, In<5>>,
          Op<Maximum, 9, In<8>, Of<1>>, Step<Adam, 11, 12, In<10>, Of<0>, Of<2>>>,
    // SGD: penalties, momentum, Nesterov's momentum
    Chain<6, Step<Penalty, 2, none, In<0>, In<1>>, Step<Sgd, 4, 5, In<3>, Of<0>>>,
    Chain<7, Step<Accumulate, 2, 3, In<0>, In<1>>, Step<Sgd, 5, 6, In<4>, Of<0>>>,
    Chain<9, Step<Penalty, 2, none, In<0>, In<1>>, Step<Accumulate, 4, 5, In<3>, Of<0>>, Step<Sgd, 7, 8, In<6>, Of<1>>>,
    Chain<9, Step<Accumulate, 2, 3, In<0>, In<1>>, Step<Accumulate, 5, none, Of<0>, In<4>>,
          Step<Sgd, 7, 8, In<6>, Of<1>>>,
    Chain<10, Step<Penalty, 2, none, In<0>, In<1>>, Step<Accumulate, 4, 5, In<3>, Of<0>>,
          Step<Accumulate, 6, none, Of<1>, Of<0>>, Step<Sgd, 8, 9, In<7>, Of<2>>>,
    // RMSprop and Adagrad; with penalties; RMSprop's momentum, plain and centred
    Chain<8, Step<AccumulateSquare, 2, 3, In<0>, In<1>>, Step<ScaledStep, 6, 7, In<4>, In<5>, Of<0>>>,
    Chain<9, Step<Penalty, 2, none, In<0>, In<1>>, Step<AccumulateSquare, 4, 5, In<3>, Of<0>>,
          Step<ScaledStep, 7, 8, In<6>, Of<0>, Of<1>>>,
    Chain<12, Step<AccumulateSquare, 2, 3, In<0>, In<1>>, Op<Sqrt, none, Of<0>>, Op<Add, none, Of<1>, One<4>>,
          Op<Div, none, In<5>, Of<2>>, Step<Accumulate, 7, 8, In<6>, Of<3>>, Step<Sgd, 10, 11, In<9>, Of<4>>>,
    Chain<16, Step<AccumulateSquare, 2, 3, In<0>, In<1>>, Step<Accumulate, 6, 7, In<4>, In<5>>,
          Step<CentredDirection, 9, none, In<8>, Of<0>, Of<1>>, Step<Accumulate, 11, 12, In<10>, Of<2>>,
          Step<Sgd, 14, 15, In<13>, Of<3>>>>;

using PlainSgd =
    List<Chain<4, Step<Sgd, 2, 3, In<0>, In<1>>>, Chain<5, Op<Add, none, In<0>, In<1>>, Step<Sgd, 3, 4, In<2>, Of<0>>>,
         Chain<4, Op<Mul, none, One<0>, One<1>>, Op<Mul, 3, Of<0>, In<2>>>,
         // SGD with the gradient of a sum of squares, for parameters of many elements and of one
         Chain<7, Op<Mul, none, One<0>, One<1>>, Op<Mul, none, Of<0>, In<2>>, Op<Add, none, Of<1>, In<3>>,
               Step<Sgd, 5, 6, In<4>, Of<2>>>,
         Chain<8, Op<Mul, none, In<0>, In<1>>, Op<Mul, none, Of<0>, In<2>>, Op<Mul, none, Of<1>, In<3>>,
               Op<Add, none, Of<2>, In<4>>, Step<Sgd, 6, 7, In<5>, Of<3>>>>;

/// Single ops that are done to many tensors at once: squares and factors of parameters, dropout's masks.
using Singles = List<Chain<2, Op<Square, 1, In<0>>>, Chain<3, Op<Mul, 2, In<0>, In<1>>>,
                     Chain<3, Op<GreaterEqual, 2, In<0>, One<1>>>>;

using Classification = List<
    // the gradient of log_softmax: rows of any length, and of a multiple of 4
    WithColumn<4, Op<Exp, none, In<0>>, Op<Mul, none, Of<0>, Strided<1, float, 0, 2>>, Op<Sub, 3, In<2>, Of<1>>>,
    WithColumn<4, Op<Exp, none, In<0>>, Op<Mul, none, Of<0>, Repeated<1, float, 0, 2>>, Op<Sub, 3, In<2>, Of<1>>>,
    // the running sum of the loss
    Chain<4, Op<Mul, none, In<0>, In<1>>, Op<Add, 3, In<2>, Of<0>>>,
    // relu with dropout, forward and backward
    Chain<6, Op<Relu, 1, In<0>>, Op<Mul, none, Of<0>, One<2>>, Op<Where, 5, Dense<3, bool>, Of<1>, One<4>>>,
    Chain<6, Op<Where, none, Dense<0, bool>, In<1>, One<2>>, Op<Mul, none, Of<0>, One<3>>,
          Op<ReluGrad, 5, In<4>, Of<1>>>,
    // the scaled loss of float16, and the sum of its gradients' checks
    Chain<4, Op<Mul, none, In<0>, In<1>>, Op<Div, 3, Of<0>, In<2>>>,
    Chain<7, Op<Add, none, In<0>, In<1>>, Op<Add, none, Of<0>, In<2>>, Op<Add, none, Of<1>, In<3>>,
          Op<Add, none, Of<2>, In<4>>, Op<Add, 6, Of<3>, In<5>>>>;

using Regression = List<
    // squared error: its gradient, with the error's square beside it or not, and its mean for a report
    Chain<6, Op<Mul, none, One<0>, One<1>>, Op<Sub, none, In<2>, In<3>>, Op<Mul, 4, Of<0>, Of<1>>,
          Op<Square, 5, Of<1>>>,
    Chain<6, Op<Mul, none, One<0>, One<1>>, Op<Sub, 4, In<2>, In<3>>, Op<Mul, 5, Of<0>, Of<1>>>,
    Chain<4, Op<Sub, 2, In<0>, In<1>>, Op<Square, 3, Of<0>>>,
    Kernel<Axis32, 2, 3, 0, 0,
           Elementwise<index_in<Sub, Formulas>::value, double, none, none, Dense<0, double>, Dense<1, double>>,
           Elementwise<index_in<Square, Formulas>::value, double, none, 2, Of<0>>>>;

using TwoClasses = List<
    // binary cross-entropy's gradient, alone and beside the loss
    Chain<4, Op<BceWithLogitsGrad, none, In<0>, In<1>>, Op<Mul, 3, One<2>, Of<0>>>,
    Chain<7, Op<BceWithLogitsGrad, none, In<0>, In<1>>, Op<Mul, 3, One<2>, Of<0>>, Op<BceWithLogits, 6, In<4>, In<5>>>>;

using Hinge = List<Chain<5, Op<Mul, none, In<0>, In<1>>, Op<Mul, none, Of<0>, In<2>>, Op<Mul, 4, Of<1>, In<3>>>,
                   // hinge loss on labels of -1 and 1, alone and with its gradient, and the share of right answers
                   Chain<4, Op<Mul, none, In<0>, In<1>>, Op<Sub, none, One<2>, Of<0>>, Op<Relu, 3, Of<1>>>,
                   Chain<7, Op<Mul, none, In<0>, In<1>>, Op<Sub, none, One<2>, Of<0>>, Op<Relu, 3, Of<1>>,
                         Op<ReluGrad, none, Of<2>, One<4>>, Op<Neg, none, Of<3>>, Op<Mul, 6, Of<4>, In<5>>>,
                   Chain<4, Op<Mul, none, In<0>, In<1>>, Op<Greater, 3, Of<0>, One<2>>>,
                   Chain<7, Op<Mul, none, In<0>, One<1>>, Op<Sub, 3, Of<0>, One<2>>, Op<Mul, none, Of<1>, In<4>>,
                         Op<Sub, none, One<5>, Of<2>>, Op<Relu, 6, Of<3>>>,
                   // the loss and six weighted sums of squares
                   Chain<14, Op<Mul, none, In<0>, In<1>>, Op<Add, none, In<2>, Of<0>>, Op<Mul, none, In<3>, In<4>>,
                         Op<Add, none, Of<1>, Of<2>>, Op<Mul, none, In<5>, In<6>>, Op<Add, none, Of<3>, Of<4>>,
                         Op<Mul, none, In<7>, In<8>>, Op<Add, none, Of<5>, Of<6>>, Op<Mul, none, In<9>, In<10>>,
                         Op<Add, none, Of<7>, Of<8>>, Op<Mul, none, In<11>, In<12>>, Op<Add, 13, Of<9>, Of<10>>>>;

using Activations = List<
    // tanh and sigmoid with what their gradients will be multiplied by
    Chain<4, Op<Tanh, 1, In<0>>, Op<Square, none, Of<0>>, Op<Sub, 3, One<2>, Of<1>>>,
    Chain<4, Op<Sigmoid, 1, In<0>>, Op<Sub, none, One<2>, Of<0>>, Op<Mul, 3, Of<0>, Of<1>>>,
    Chain<4, Op<Softplus, 1, In<0>>, Op<Sigmoid, 3, In<2>>>,
    Chain<7, Op<Silu, 1, In<0>>, Op<Sigmoid, none, In<2>>, Op<Sub, none, One<3>, Of<1>>, Op<Mul, none, In<4>, Of<2>>,
          Op<Add, none, Of<3>, One<5>>, Op<Mul, 6, Of<1>, Of<4>>>,
    Chain<11, Op<Gelu, 1, In<0>>, Op<Mul, none, In<2>, One<3>>, Op<Erf, none, Of<1>>, Op<Add, none, Of<2>, One<4>>,
          Op<Mul, none, Of<3>, One<5>>, Op<Square, none, In<6>>, Op<Mul, none, Of<5>, One<7>>, Op<Exp, none, Of<6>>,
          Op<Mul, none, Of<7>, One<8>>, Op<Mul, none, In<9>, Of<8>>, Op<Add, 10, Of<4>, Of<9>>>>;

template <int addresses, class... Parts>
using OneLane = Kernel<Axis32, 1, addresses, 0, 0, Parts...>;
template <int part, int stored>
using Total = Sum<part, float, stored, false>;
template <int part, int stored>
using Mean = Sum<part, float, stored, true>;

/// Small chains with the sums behind them.
using WithSums = List<
    // gradients through activations, with dropout or not, and of a bias
    Summed<OneLane<4, Op<ReluGrad, 2, In<0>, In<1>>>, Total<0, 3>>,
    Summed<OneLane<7, Op<Where, none, Dense<0, bool>, In<1>, One<2>>, Op<Mul, none, Of<0>, One<3>>,
                   Op<ReluGrad, 5, In<4>, Of<1>>>,
           Total<2, 6>>,
    Summed<OneLane<4, Op<Mul, 2, In<0>, In<1>>>, Total<0, 3>>,
    // cross-entropy of labels: the mean, and the gradient of log_softmax with that of a bias
    Summed<OneLane<2, Op<Neg, none, In<0>>>, Mean<0, 1>>,
    Summed<Kernel<Axis32, 1, 5, 0, 2, Op<Exp, none, In<0>>, Op<Mul, none, Of<0>, Repeated<1, float, 0, 2>>,
                  Op<Sub, 3, In<2>, Of<1>>>,
           Total<2, 4>>,
    // squared error: its mean, and its gradient with that of a bias
    Summed<OneLane<2, Op<Square, none, In<0>>>, Mean<0, 1>>,
    Summed<OneLane<7, Op<Mul, none, One<0>, One<1>>, Op<Sub, none, In<2>, In<3>>, Op<Mul, 4, Of<0>, Of<1>>,
                   Op<Square, none, Of<1>>>,
           Total<2, 5>, Mean<3, 6>>,
    Summed<OneLane<7, Op<Mul, none, One<0>, One<1>>, Op<Sub, 4, In<2>, In<3>>, Op<Mul, 5, Of<0>, Of<1>>>, Total<2, 6>>,
    // binary cross-entropy: its mean, its gradient with that of a bias, both
    Summed<OneLane<3, Op<BceWithLogits, none, In<0>, In<1>>>, Mean<0, 2>>,
    Summed<OneLane<5, Op<BceWithLogitsGrad, none, In<0>, In<1>>, Op<Mul, 3, One<2>, Of<0>>>, Total<1, 4>>,
    Summed<OneLane<8, Op<BceWithLogitsGrad, none, In<0>, In<1>>, Op<Mul, 3, One<2>, Of<0>>,
                   Op<BceWithLogits, none, In<4>, In<5>>>,
           Total<1, 6>, Mean<2, 7>>,
    // hinge loss, its mean, its gradient with that of a bias; and a sum of squares
    Summed<OneLane<8, Op<Mul, none, In<0>, In<1>>, Op<Sub, none, One<2>, Of<0>>, Op<Relu, none, Of<1>>,
                   Op<ReluGrad, none, Of<2>, One<3>>, Op<Neg, none, Of<3>>, Op<Mul, 5, Of<4>, In<4>>>,
           Mean<2, 6>, Total<5, 7>>,
    Summed<OneLane<8, Op<Mul, none, In<0>, In<1>>, Op<Sub, none, One<2>, Of<0>>, Op<Relu, 3, Of<1>>,
                   Op<ReluGrad, none, Of<2>, One<4>>, Op<Neg, none, Of<3>>, Op<Mul, 6, Of<4>, In<5>>>,
           Total<5, 7>>,
    Summed<OneLane<2, Op<Square, none, In<0>>>, Total<0, 1>>>;

template <class Kernel>
cudaError_t queue(dim3 blocks, void** arguments, cudaStream_t stream) {
  return cudaLaunchKernel(pattern<Kernel>, blocks, dim3(fused::threads), arguments, 0, stream);
}

using Patterns = std::unordered_map<std::string, FusedPattern>;

template <class... Kernels>
void add(Patterns& patterns, List<Kernels...>) {
  (patterns.emplace(Text<Kernels>::get(), &queue<Kernels>), ...);
}
/// For 16 of them at once.
template <class... Kernels>
void add_merged(Patterns& patterns, List<Kernels...>) {
  add(patterns, List<Merged<Kernels, 16>...>());
}

const Patterns& all_patterns() {
  static const Patterns patterns = [] {
    Patterns result;
    add(result, Optimizers());
    add_merged(result, Optimizers());
    add(result, PlainSgd());
    add_merged(result, PlainSgd());
    add_merged(result, Singles());
    add(result, Classification());
    add(result, Regression());
    add(result, TwoClasses());
    add(result, Hinge());
    add(result, Activations());
    add(result, WithSums());
    return result;
  }();
  return patterns;
}

}  // namespace

FusedPattern find_fused_pattern(const std::string& text) {
  const auto found = all_patterns().find(text);
  return found == all_patterns().end() ? nullptr : found->second;
}

std::vector<std::string> fused_pattern_texts() {
  std::vector<std::string> texts;
  for (const auto& [text, kernel] : all_patterns()) {
    texts.push_back(text);
  }
  return texts;
}

}  // namespace twingrad::cuda
