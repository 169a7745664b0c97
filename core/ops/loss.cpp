// Losses, composed of other ops. Each checks what it is given up front, so that an error names the loss, and is written
// so that no intermediate overflows or cancels where the result does not.
#include <twingrad/ops/rows.h>
#include <twingrad/ops/use.h>

namespace twingrad {
namespace {

Tensor reduced(const Tensor& elements, Reduction reduction) {
  switch (reduction) {
    case Reduction::mean:
      return mean(elements);
    case Reduction::sum:
      return sum(elements);
    case Reduction::none:
      break;
  }
  return elements;
}

/// Two floats of one shape; a number stands for a tensor of it.
void require_pair(const Use& use) {
  use.require_floats();
  use.require_same_shape();
}

}  // namespace

Tensor mse_loss(Operand prediction, Operand target, Reduction reduction) {
  const Use use("mse_loss", {prediction, target});
  require_pair(use);
  return reduced(square(use[0] - use[1]), reduction);
}

Tensor half_squared_error(Operand prediction, Operand target) {
  const Use use("half_squared_error", {prediction, target});
  require_pair(use);
  return sum(square(use[0] - use[1])) * 0.5;
}

Tensor l1_loss(Operand prediction, Operand target, Reduction reduction) {
  const Use use("l1_loss", {prediction, target});
  require_pair(use);
  return reduced(abs(use[0] - use[1]), reduction);
}

Tensor huber_loss(Operand prediction, Operand target, double delta, Reduction reduction) {
  const Use use("huber_loss", {prediction, target});
  require_pair(use);
  if (!(delta > 0)) {
    use.fail<ArgumentError>("delta is " + std::to_string(delta) + "; give one above 0");
  }
  // With m = min(|d|, delta) both cases are m * (|d| - m / 2), and nothing is squared that could overflow.
  const Tensor distance = abs(use[0] - use[1]);
  const Tensor m = minimum(distance, delta);
  return reduced(m * (distance - m * 0.5), reduction);
}

Tensor binary_cross_entropy_with_logits(Operand logits, Operand target, Reduction reduction) {
  const Use use("binary_cross_entropy_with_logits", {logits, target});
  require_pair(use);
  return reduced(bce_with_logits(use[0], use[1]), reduction);
}

Tensor hinge_loss(Operand score, Operand target, Reduction reduction) {
  const Use use("hinge_loss", {score, target});
  require_pair(use);
  return reduced(relu(1.0 - use[1] * use[0]), reduction);
}

namespace {

/// What cross_entropy() and nll_loss() check alike: (n, classes) beside labels or probabilities.
void require_rows(const Use& use, const CrossEntropyOptions& options) {
  if (use[0].rank() != 2) {
    use.fail<ShapeError>("takes (n, classes); reshape the first input");
  }
  if (!is_floating(use[0].dtype())) {
    use.fail<DtypeError>("the first input must be floating-point; cast it with to(...)");
  }
  if (!(options.label_smoothing >= 0 && options.label_smoothing <= 1)) {
    use.fail<ArgumentError>("label_smoothing is " + std::to_string(options.label_smoothing) + "; give one from 0 to 1");
  }
  const Tensor& weights = options.class_weights;
  if (weights.defined()) {
    if (!(weights.shape() == Shape{use[0].size(1)})) {
      use.fail<ShapeError>("class_weights have the shape " + to_string(weights.shape()) +
                           "; give one for each of the " + std::to_string(use[0].size(1)) + " classes");
    }
    if (weights.dtype() != use[0].dtype()) {
      use.fail<DtypeError>("class_weights are " + std::string(name(weights.dtype())) +
                           "; cast them to the first input's dtype with to(...)");
    }
    if (!(weights.device() == use[0].device())) {
      use.fail<DeviceError>("class_weights are on " + weights.device().name() + "; copy them with to(Device)");
    }
  }
}

void require_labels(const Use& use) {
  if (use[1].dtype() != Dtype::i64 && use[1].dtype() != Dtype::i32) {
    use.fail<DtypeError>("labels must be int64 or int32, not " + std::string(name(use[1].dtype())) +
                         "; cast them with to(...)");
  }
  if (!(use[1].shape() == Shape{use[0].size(0)})) {
    use.fail<ShapeError>("labels must have the shape (" + std::to_string(use[0].size(0)) + "), one per row");
  }
}

/// (n, classes) -> (n): minus the sum over classes, weighted where there are weights.
Tensor minus_row_sums(const Tensor& log_p, const Tensor& weights) {
  return -sum(weights.defined() ? log_p * weights : log_p, {.axes = {1}});
}

/// The loss of labels (n) given log-probabilities (n, classes).
Tensor label_loss(const Tensor& log_p, const Tensor& all_labels, const CrossEntropyOptions& options) {
  const Tensor& weights = options.class_weights;
  Tensor labels = all_labels;
  Tensor counted;  // which rows count; undefined: all
  if (options.ignore_label) {
    const Tensor ignored = literal_scalar(static_cast<double>(*options.ignore_label), labels.dtype(), labels.device());
    counted = not_equal(labels, ignored);
    labels = where(counted, labels, 0.0);  // a label in range for gather; its row is masked below
  }
  const std::int64_t n = log_p.size(0);
  Tensor loss = -reshape(gather(log_p, 1, reshape(labels, {n, 1})), {n});
  Tensor row_weights;
  if (weights.defined()) {
    row_weights = index_select(weights, 0, labels);
    loss = loss * row_weights;
  }
  if (options.label_smoothing != 0) {
    // A part of each label's probability is spread evenly over all classes.
    const double spread = options.label_smoothing / static_cast<double>(log_p.size(1));
    loss = loss * (1.0 - options.label_smoothing) + minus_row_sums(log_p, weights) * spread;
  }
  if (counted.defined()) {
    loss = where(counted, loss, 0.0);
  }
  if (options.reduction != Reduction::mean) {
    return reduced(loss, options.reduction);
  }
  if (row_weights.defined()) {
    return sum(loss) / sum(counted.defined() ? where(counted, row_weights, 0.0) : row_weights);
  }
  return counted.defined() ? sum(loss) / cast(sum(counted), loss.dtype()) : mean(loss);
}

/// The loss of probabilities (n, classes) given log-probabilities.
Tensor probability_loss(const Tensor& log_p, const Tensor& probabilities, const CrossEntropyOptions& options) {
  Tensor target = probabilities;
  if (options.label_smoothing != 0) {
    target = target * (1.0 - options.label_smoothing) + options.label_smoothing / static_cast<double>(log_p.size(1));
  }
  return reduced(minus_row_sums(log_p * target, options.class_weights), options.reduction);
}

}  // namespace

Tensor cross_entropy(Operand logits, Operand target, CrossEntropyOptions options) {
  const Use use("cross_entropy", {logits, target});
  require_rows(use, options);
  if (!is_floating(use[1].dtype())) {
    require_labels(use);
    return label_loss(log_softmax(use[0], 1), use[1], options);
  }
  use.require_floats();
  if (!(use[1].shape() == use[0].shape())) {
    use.fail<ShapeError>("probabilities must have the logits' shape; labels must be int64 or int32");
  }
  if (options.ignore_label) {
    use.fail<ArgumentError>("ignore_label goes with labels, and the target holds probabilities");
  }
  return probability_loss(log_softmax(use[0], 1), use[1], options);
}

Tensor nll_loss(Operand log_probabilities, Operand labels, CrossEntropyOptions options) {
  const Use use("nll_loss", {log_probabilities, labels});
  require_rows(use, options);
  require_labels(use);
  return label_loss(use[0], use[1], options);
}

}  // namespace twingrad
