// Dynamic loss scaling for fp16 (Micikevicius et al., 2018): the loss is multiplied by a power of two, so that small
// gradients do not fall below float16's range; they are divided by it before the update, exactly. A step whose
// gradients overflow is skipped and the scale halved; after enough good steps it is doubled.
//
//   tg::optim::LossScaler scaler;
//   const tg::Tensor loss = tg::cross_entropy(model(x), y);
//   scaler.step(adam, tg::gradients(scaler.scale(loss), model.parameters()));
#pragma once

#include <twingrad/io/named_tensors.h>
#include <twingrad/optim/optimizer.h>
#include <twingrad/tensor.h>

#include <cstdint>
#include <functional>
#include <source_location>
#include <vector>

namespace twingrad::optim {

/// All scales and factors are powers of two: then scaling changes no digit of a gradient.
struct LossScalerOptions {
  double initial_scale = 65536.0;  ///< 2^16
  double growth_factor = 2.0;
  double backoff_factor = 0.5;
  std::int64_t growth_interval = 2000;  ///< steps in a row without overflow before the scale grows
  double smallest_scale = 0x1p-24;      ///< an overflow at this scale is no matter of the scale, and an error
  double largest_scale = 0x1p24;
};

class LossScaler {
 public:
  /// Throws ArgumentError for a scale or factor that is no power of two or out of order, and for an interval below 1.
  explicit LossScaler(const LossScalerOptions& options = {});

  /// loss * scale, for gradients() or backward().
  Tensor scale(const Tensor& loss, std::source_location where = std::source_location::current()) const;
  /// gradients / scale, as nodes not yet computed; undefined ones stay so.
  std::vector<Tensor> unscale(std::vector<Tensor> gradients,
                              std::source_location where = std::source_location::current()) const;

  /// What happens to the unscaled gradients before the update: clipping.
  using Transform = std::function<std::vector<Tensor>(std::vector<Tensor>)>;
  /// Computes the scaled gradients and asks whether all are finite, which waits for the device. If so, one step of
  /// `optimizer` with transform(unscale(gradients)); if not, parameters and the optimizer's state stay as they are.
  /// Changes the scale for the next loss. Returns whether the optimizer stepped. Throws what Optimizer::step() throws,
  /// and NumericError when gradients are not finite at the smallest scale. While a training step is captured for the
  /// cross-check, no value is asked for and the step is taken. Inside compile() it throws ArgumentError: whether to
  /// step is decided on the host.
  bool step(Optimizer& optimizer, std::vector<Tensor> scaled_gradients, const Transform& transform = {},
            std::source_location where = std::source_location::current());

  double current_scale() const { return scale_; }
  /// Steps skipped so far.
  std::int64_t skipped_steps() const { return skipped_; }

  /// "scale" (float64), "growth_tracker" and "skipped" (int64): save it beside the optimizer's state.
  NamedTensors state() const;
  /// Takes what state() gave. Throws ArgumentError when names, shapes, dtypes or values do not fit; then nothing
  /// changes.
  void load_state(const NamedTensors& state);

 private:
  void grow();
  void back_off(const std::source_location& where);

  LossScalerOptions options_;
  double scale_;
  std::int64_t growth_tracker_ = 0;  ///< good steps since the scale last changed
  std::int64_t skipped_ = 0;
};

}  // namespace twingrad::optim
