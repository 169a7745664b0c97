// How good a model is, as plain numbers. Each call evaluates what it needs and waits for it.
//
//   double share = tg::metrics::accuracy(model(x), labels);
//   double of_all = tg::metrics::accuracy(model, data.test);       // in evaluation mode, batch by batch
#pragma once

#include <twingrad/autograd.h>
#include <twingrad/data/dataset.h>
#include <twingrad/data/loader.h>
#include <twingrad/nn/module.h>
#include <twingrad/tensor.h>

namespace twingrad::metrics {

/// Share of rows whose largest logit is at the label. logits (n, classes), labels (n) of int64 or int32, on one device.
/// The first one counts where several are largest. Of no rows: NaN. Throws ShapeError, DtypeError.
double accuracy(const Tensor& logits, const Tensor& labels);
/// Share of scores whose sign is the target's: score > 0 where target > 0. Same shape, any numbers.
double sign_accuracy(const Tensor& scores, const Tensor& targets);
/// Mean of (prediction - target)^2 over all elements.
double mse(const Tensor& prediction, const Tensor& target);
/// Square root of mse().
double rmse(const Tensor& prediction, const Tensor& target);
/// Mean of |prediction - target|.
double mae(const Tensor& prediction, const Tensor& target);
/// 1 - sum((target - prediction)^2) / sum((target - mean of target)^2): 1 is perfect, 0 is the mean's quality.
double r_squared(const Tensor& prediction, const Tensor& target);

/// Of a classification's rows: the share that the model, in evaluation mode, gives its largest logit at the label.
double accuracy(nn::Module& model, data::Loader& batches);
/// Of a regression's rows: the root mean squared error of the model in evaluation mode, over all targets together.
double rmse(nn::Module& model, data::Loader& batches);
/// The same for a whole data set, taken in batches to where the model is.
double accuracy(nn::Module& model, const data::Dataset& dataset);
double rmse(nn::Module& model, const data::Dataset& dataset);

}  // namespace twingrad::metrics
