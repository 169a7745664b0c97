// Tries one product two ways on memory of its own: whether both give the same bits, and which is faster. matmul.cu asks
// before it lets cuBLASLt do more than the product.
#pragma once

#include "cuda/context.h"

#include <functional>
#include <vector>

namespace twingrad::cuda {

/// Device memory for a call's inputs, full of numbers, and for two outputs. Waits for queued work and gives it back in
/// the end.
class ProbeMemory {
 public:
  /// Views with the call's dtypes, shapes and strides.
  ProbeMemory(const KernelCall& call, Context& context);
  ProbeMemory(const ProbeMemory&) = delete;
  ProbeMemory& operator=(const ProbeMemory&) = delete;
  ~ProbeMemory();

  /// False when the device has no room for them, or an operand is reversed.
  bool is_there() const { return is_there_; }
  const std::vector<TensorView>& inputs() const { return inputs_; }
  const std::vector<TensorView>& outputs() const { return outputs_; }

  enum class Numbers : std::uint8_t {
    any,    ///< in [-1, 1)
    whole,  ///< -1, 0 and 1: sums of their products are exact in every order
    tiny,   ///< whose products are too small for float32, and so zeros with a sign
  };
  void fill(Numbers numbers);
  /// NaN as the first element of the first input.
  void add_nan();
  /// Whether both outputs hold the same bits. Waits.
  bool outputs_are_equal() const;

 private:
  bool add(const TensorView& view, std::vector<TensorView>& views);

  Context& context_;
  bool is_there_ = true;
  std::vector<TensorView> inputs_;
  std::vector<TensorView> outputs_;
};

/// Milliseconds of `repeats` runs. Waits for them.
float time_of(const std::function<void()>& run, int repeats, Context& context);

/// Whether `fused` (false when it cannot) writes the bits into outputs()[0] that `apart` writes into outputs()[1],
/// those of NaN and negative zeros included, and is no slower.
bool epilogue_pays(ProbeMemory& memory, const std::function<bool()>& fused, const std::function<void()>& apart,
                   Context& context);

}  // namespace twingrad::cuda
