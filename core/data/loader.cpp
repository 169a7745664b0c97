#include <twingrad/data/loader.h>
#include <twingrad/data/streamed_rows.h>
#include <twingrad/ops.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <variant>

namespace twingrad::data {
namespace {

std::shared_ptr<detail::StreamedRows> streamed_rows(std::shared_ptr<const Dataset> dataset,
                                                    const LoaderOptions& options) {
  return std::make_shared<detail::StreamedRows>(detail::host_rows(std::move(dataset), options.dtype), options);
}

}  // namespace

Loader::Loader(const Dataset& dataset, const LoaderOptions& options, std::source_location where)
    : options_(options), where_(where), rows_(dataset.rows) {
  dataset.check();
  check_options();
  if (options.streaming) {
    streamed_ = streamed_rows(std::make_shared<const Dataset>(dataset), options);
  } else {
    copy_to_device(dataset);
  }
}

Loader::Loader(Dataset&& dataset, const LoaderOptions& options, std::source_location where)
    : options_(options), where_(where), rows_(dataset.rows) {
  dataset.check();
  check_options();
  if (options.streaming) {
    streamed_ = streamed_rows(std::make_shared<const Dataset>(std::move(dataset)), options);
  } else {
    copy_to_device(dataset);
  }
}

Loader::Loader(const RowSource& source, const LoaderOptions& options, std::source_location where)
    : options_(options), where_(where), rows_(source.rows) {
  source.check();
  options_.streaming = true;
  check_options();
  streamed_ = std::make_shared<detail::StreamedRows>(detail::host_rows(source), options_);
}

void Loader::check_options() const {
  const std::string prefix = "Loader at " + to_string(where_) + ": ";
  if (options_.batch < 1) {
    throw ArgumentError(prefix + "batch is " + std::to_string(options_.batch) + ", but must be 1 or more");
  }
  if (options_.drop_last && rows_ < options_.batch) {
    throw ArgumentError(prefix + "with drop_last there is no batch: the data set has " + std::to_string(rows_) +
                        " rows and a batch " + std::to_string(options_.batch));
  }
  if (!is_floating(options_.dtype)) {
    throw DtypeError(prefix + "features are floating-point, but dtype is " + std::string(name(options_.dtype)));
  }
  if (options_.streaming && options_.prefetch < 1) {
    throw ArgumentError(prefix + "prefetch is " + std::to_string(options_.prefetch) + ", but must be 1 or more");
  }
}

void Loader::copy_to_device(const Dataset& dataset) {
  const TensorOptions placed{.dtype = options_.dtype, .device = options_.device};
  x_ = std::visit(
      [&](const auto& values) {
        return tensor(values, {dataset.rows, dataset.columns}, placed);
      },
      dataset.features);
  y_ = dataset.task == Task::classification ? tensor(dataset.labels, {dataset.rows}, {.device = options_.device})
                                            : tensor(dataset.targets, {dataset.rows, dataset.outputs()}, placed);
}

Loader::Iterator Loader::begin() {
  if (streamed_ != nullptr) {
    auto epoch = std::make_shared<detail::StreamedEpoch>(streamed_, epoch_, size());
    ++epoch_;
    return {this, std::move(epoch)};
  }
  Tensor order;
  if (options_.shuffle) {
    order = random_permutation(rows(), {.key = options_.seed, .stream = epoch_}, options_.device, where_);
    order.eval();  // now, or the first batch of each epoch would be a graph of another structure than the others
  }
  ++epoch_;
  return {this, order};
}

std::int64_t Loader::size() const {
  const std::int64_t whole = rows() / options_.batch;
  const bool ragged = rows() % options_.batch != 0;
  return whole + (ragged && !options_.drop_last ? 1 : 0);
}

void Loader::set_epoch(std::int64_t begun) {
  if (begun < 0) {
    throw ArgumentError("Loader: " + std::to_string(begun) + " epochs cannot have begun");
  }
  epoch_ = begun;
}

Batch Loader::all() const {
  return streamed_ != nullptr ? streamed_->all(where_) : Batch{x_, y_};
}

Batch Loader::Iterator::operator*() const {
  if (streamed_ != nullptr) {
    return streamed_->batch(index_, loader_->where_);
  }
  const LoaderOptions& options = loader_->options_;
  const WhereScope scope(loader_->where_);
  const std::int64_t first = index_ * options.batch;
  const std::int64_t count = std::min(options.batch, loader_->rows() - first);
  // The first row is data of the graph rather than part of its structure, so one plan serves all batches.
  const Tensor start = tensor(static_cast<double>(first), {.dtype = i64, .device = options.device});
  Tensor index = arange(count, 0, 1, {.device = options.device}) + start;
  if (order_.defined()) {
    index = index_select(order_, 0, index);
  }
  return {.x = index_select(loader_->x_, 0, index), .y = index_select(loader_->y_, 0, index)};
}

}  // namespace twingrad::data
