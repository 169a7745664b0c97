#include <twingrad/metrics.h>
#include <twingrad/ops.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace twingrad::metrics {
namespace {

constexpr std::int64_t batch_rows = 1024;

// Number of rows whose largest logit is at the label, as a tensor not yet computed.
Tensor hits(const Tensor& logits, const Tensor& labels) {
  if (logits.rank() != 2 || labels.rank() != 1 || logits.size(0) != labels.size(0) || logits.size(1) == 0) {
    throw ShapeError("accuracy: logits " + to_string(logits.shape()) + " and labels " + to_string(labels.shape()) +
                     " do not fit; they are (n, classes) and (n)");
  }
  if (!is_integer(labels.dtype())) {
    throw DtypeError("accuracy: labels are " + std::string(name(labels.dtype())) + "; they must be integers");
  }
  return sum(equal(argmax(logits, 1), labels.to(Dtype::i64)));
}

void check_same_shape(const char* metric, const Tensor& a, const Tensor& b) {
  if (!(a.shape() == b.shape())) {
    throw ShapeError(std::string(metric) + ": shapes " + to_string(a.shape()) + " and " + to_string(b.shape()) +
                     " differ");
  }
}

double ratio(double part, double all) {
  return all == 0 ? std::numeric_limits<double>::quiet_NaN() : part / all;
}

// Sums in float64 whatever the dtype: a metric over many rows should not lose its last digits.
Tensor wide(const Tensor& x) {
  return x.to(Dtype::f64);
}

Dtype dtype_of_model(const nn::Module& model) {
  const std::vector<Tensor> parameters = model.parameters();
  return parameters.empty() ? Dtype::f32 : parameters.front().dtype();
}

data::Loader loader_for(const nn::Module& model, const data::Dataset& dataset) {
  return data::Loader(dataset, {.batch = batch_rows, .device = model.device(), .dtype = dtype_of_model(model)});
}

// Sums measure(model(x), y) over the batches of one pass. Batches are queued before the first value is waited for.
template <class Measure>
double sum_over(nn::Module& model, data::Loader& batches, const Measure& measure) {
  const nn::EvalScope scope(model);
  const NoGrad guard;
  std::vector<Tensor> sums;
  for (const auto& [x, y] : batches) {
    sums.push_back(measure(model(x), y));
    sums.back().eval();
  }
  double total = 0;
  for (const Tensor& part : sums) {
    total += part.item();
  }
  return total;
}

}  // namespace

double accuracy(const Tensor& logits, const Tensor& labels) {
  return ratio(hits(logits, labels).item(), static_cast<double>(labels.numel()));
}

double sign_accuracy(const Tensor& scores, const Tensor& targets) {
  check_same_shape("sign_accuracy", scores, targets);
  return ratio(sum(equal(greater(scores, 0), greater(targets, 0))).item(), static_cast<double>(scores.numel()));
}

double mse(const Tensor& prediction, const Tensor& target) {
  check_same_shape("mse", prediction, target);
  return ratio(sum(square(wide(prediction) - wide(target))).item(), static_cast<double>(target.numel()));
}

double rmse(const Tensor& prediction, const Tensor& target) {
  return std::sqrt(mse(prediction, target));
}

double mae(const Tensor& prediction, const Tensor& target) {
  check_same_shape("mae", prediction, target);
  return ratio(sum(abs(wide(prediction) - wide(target))).item(), static_cast<double>(target.numel()));
}

double r_squared(const Tensor& prediction, const Tensor& target) {
  check_same_shape("r_squared", prediction, target);
  const Tensor wide_target = wide(target);
  const double residual = sum(square(wide(prediction) - wide_target)).item();
  const double spread = sum(square(wide_target - mean(wide_target))).item();
  return 1.0 - residual / spread;
}

double accuracy(nn::Module& model, data::Loader& batches) {
  std::int64_t rows = 0;
  const double right = sum_over(model, batches, [&](const Tensor& logits, const Tensor& labels) {
    rows += labels.numel();
    return hits(logits, labels);
  });
  return ratio(right, static_cast<double>(rows));
}

double rmse(nn::Module& model, data::Loader& batches) {
  std::int64_t elements = 0;
  const double squares = sum_over(model, batches, [&](const Tensor& prediction, const Tensor& target) {
    check_same_shape("rmse", prediction, target);
    elements += target.numel();
    return sum(square(wide(prediction) - wide(target)));
  });
  return std::sqrt(ratio(squares, static_cast<double>(elements)));
}

double accuracy(nn::Module& model, const data::Dataset& dataset) {
  data::Loader batches = loader_for(model, dataset);
  return accuracy(model, batches);
}

double rmse(nn::Module& model, const data::Dataset& dataset) {
  data::Loader batches = loader_for(model, dataset);
  return rmse(model, batches);
}

}  // namespace twingrad::metrics
