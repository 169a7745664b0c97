#include <twingrad/data/host_random.h>
#include <twingrad/data/streamed_rows.h>
#include <twingrad/graph/runtime.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>

namespace twingrad::data::detail {
namespace {

constexpr std::size_t alignment = 256;

Tensor leaf_in(const std::shared_ptr<Buffer>& buffer, std::size_t offset, const Shape& shape, Dtype dtype) {
  NodePtr node = make_node();
  node->shape = shape;
  node->dtype = dtype;
  node->device = buffer->device;
  node->strides = contiguous_strides(shape);
  node->buffer = buffer;
  node->offset = static_cast<std::int64_t>(offset / size_of(dtype));
  return Tensor(std::move(node));
}

std::size_t bytes_of(const Shape& shape, Dtype dtype) {
  return static_cast<std::size_t>(numel(shape)) * size_of(dtype);
}

}  // namespace

std::size_t StreamedRows::answers_offset(std::int64_t count) const {
  const std::size_t features = bytes_of(rows_.feature_shape(count), rows_.feature_dtype);
  return (features + alignment - 1) / alignment * alignment;
}

std::size_t StreamedRows::batch_bytes(std::int64_t count) const {
  return answers_offset(count) + bytes_of(rows_.answer_shape(count), rows_.answer_dtype);
}

Batch StreamedRows::batch_in(const Block& block, std::int64_t count, const std::source_location& where) const {
  const WhereScope scope(where);
  const Tensor y = leaf_in(block.buffer, answers_offset(count), rows_.answer_shape(count), rows_.answer_dtype);
  return {.x = leaf_in(block.buffer, 0, rows_.feature_shape(count), rows_.feature_dtype).to(options_.dtype),
          .y = rows_.task == Task::classification ? y : y.to(options_.dtype)};
}

Batch StreamedRows::all(const std::source_location& where) const {
  std::vector<std::int64_t> order(static_cast<std::size_t>(rows_.rows));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  std::vector<std::byte> host(batch_bytes(rows_.rows));
  rows_.fill(order, host.data(), host.data() + answers_offset(rows_.rows));
  const Block block{.buffer = make_buffer(options_.device, host.size()), .transfer = {}};
  {
    DeviceRuntime& state = runtime(options_.device);
    const std::lock_guard lock(state.mutex);
    state.backend->copy_from_host(block.buffer->data, host.data(), host.size());
  }
  return batch_in(block, rows_.rows, where);
}

std::shared_ptr<Buffer> StreamedRows::make_block_buffer() const {
  return make_buffer(options_.device, batch_bytes(std::min(options_.batch, rows_.rows)));
}

std::unique_ptr<StreamedRows::Block> StreamedRows::make_block() const {
  auto block = std::make_unique<Block>();
  block->buffer = make_block_buffer();
  DeviceRuntime& state = runtime(options_.device);
  const std::lock_guard lock(state.mutex);
  block->transfer = state.backend->make_transfer(block->buffer->bytes);
  return block;
}

std::deque<std::unique_ptr<StreamedRows::Block>> StreamedRows::take_blocks() {
  const std::lock_guard lock(mutex_);
  return std::exchange(blocks_, {});
}

void StreamedRows::give_back(std::deque<std::unique_ptr<Block>> blocks) noexcept {
  const std::lock_guard lock(mutex_);
  if (blocks_.empty()) {
    blocks_.swap(blocks);
  }
}

StreamedEpoch::StreamedEpoch(std::shared_ptr<StreamedRows> rows, std::int64_t number, std::int64_t batches)
    : rows_(std::move(rows)), number_(number), batches_(batches), idle_(rows_->take_blocks()) {
  blocks_ = idle_.size();
  supply();
  worker_ = std::thread([this] { work(); });
}

StreamedEpoch::~StreamedEpoch() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  worker_.join();
  current_ = {};
  // Copies that nobody waits for yet: whoever gets their memory next comes after them.
  for (auto* const blocks : {&ready_, &empty_}) {
    std::move(blocks->begin(), blocks->end(), std::back_inserter(idle_));
  }
  for (std::unique_ptr<Block>* const block : {&filling_, &block_}) {
    if (*block != nullptr) {
      idle_.push_back(std::move(*block));
    }
  }
  try {
    DeviceRuntime& state = runtime(rows_->options().device);
    const std::lock_guard lock(state.mutex);
    for (const std::unique_ptr<Block>& block : idle_) {
      block->transfer->finish();
    }
  } catch (const std::exception&) {
    return;  // the device failed, as whatever waits for it next will tell
  }
  rows_->give_back(std::move(idle_));
}

std::int64_t StreamedEpoch::rows_in(std::int64_t index) const {
  const std::int64_t batch = rows_->options().batch;
  return std::min(batch, rows_->rows().rows - index * batch);
}

const Batch& StreamedEpoch::batch(std::int64_t index, const std::source_location& where) {
  if (failed_ != nullptr) {
    std::rethrow_exception(failed_);
  }
  if (index < taken_ - 1) {
    throw ArgumentError("Loader at " + to_string(where) + ": batch " + std::to_string(index) + " is gone, batch " +
                        std::to_string(taken_ - 1) +
                        " has been asked for; a streamed epoch goes forward only, so begin() another one");
  }
  if (index >= batches_) {
    throw ArgumentError("Loader at " + to_string(where) + ": there is no batch " + std::to_string(index) +
                        ", the epoch has " + std::to_string(batches_) + "; compare the iterator with end() first");
  }
  try {
    while (taken_ <= index) {
      advance(where);
    }
  } catch (...) {
    failed_ = std::current_exception();
    throw;
  }
  return current_;
}

void StreamedEpoch::advance(const std::source_location& where) {
  current_ = {};
  if (block_ != nullptr) {
    idle_.push_back(std::move(block_));
  }
  supply();
  block_ = take_ready();
  {
    DeviceRuntime& state = runtime(rows_->options().device);
    const std::lock_guard lock(state.mutex);
    block_->transfer->finish();
  }
  current_ = rows_->batch_in(*block_, rows_in(taken_), where);
  ++taken_;
  supply();
}

/// Keeps the worker in blocks for as many batches as are to be ahead.
void StreamedEpoch::supply() {
  while (supplied_ < batches_ && supplied_ - taken_ < rows_->options().prefetch) {
    std::unique_ptr<Block> block = take_idle();
    {
      DeviceRuntime& state = runtime(rows_->options().device);
      const std::lock_guard lock(state.mutex);
      block->transfer->begin();
    }
    {
      const std::lock_guard lock(mutex_);
      empty_.push_back(std::move(block));
    }
    changed_.notify_all();
    ++supplied_;
  }
}

/// A block whose buffer nobody else holds: a batch that the program keeps, or that is part of a graph which has not
/// run, keeps its memory.
std::unique_ptr<StreamedEpoch::Block> StreamedEpoch::take_idle() {
  auto found =
      std::find_if(idle_.begin(), idle_.end(), [](const auto& block) { return block->buffer.use_count() == 1; });
  if (found == idle_.end()) {
    if (blocks_ < rows_->most_blocks()) {
      ++blocks_;
      return rows_->make_block();
    }
    found = idle_.begin();
    (*found)->buffer = rows_->make_block_buffer();
  }
  std::unique_ptr<Block> block = std::move(*found);
  idle_.erase(found);
  return block;
}

std::unique_ptr<StreamedEpoch::Block> StreamedEpoch::take_ready() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !ready_.empty() || error_ != nullptr; });
  if (ready_.empty()) {
    std::rethrow_exception(error_);
  }
  std::unique_ptr<Block> block = std::move(ready_.front());
  ready_.pop_front();
  return block;
}

/// Nothing when the epoch ends early.
std::unique_ptr<StreamedEpoch::Block> StreamedEpoch::take_empty() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !empty_.empty() || stop_; });
  if (stop_) {
    return nullptr;
  }
  std::unique_ptr<Block> block = std::move(empty_.front());
  empty_.pop_front();
  return block;
}

void StreamedEpoch::work() {
  try {
    const LoaderOptions& options = rows_->options();
    std::vector<std::int64_t> order;
    if (options.shuffle) {
      order = permutation(options.seed, number_, rows_->rows().rows);
    } else {
      order.resize(static_cast<std::size_t>(std::min(options.batch, rows_->rows().rows)));
    }
    for (std::int64_t index = 0; index < batches_; ++index) {
      filling_ = take_empty();
      if (filling_ == nullptr) {
        return;
      }
      const std::int64_t count = rows_in(index);
      std::span<std::int64_t> wanted(order);
      if (options.shuffle) {
        wanted = wanted.subspan(static_cast<std::size_t>(index * options.batch));
      } else {
        std::iota(wanted.begin(), wanted.end(), index * options.batch);
      }
      wanted = wanted.first(static_cast<std::size_t>(count));
      Transfer& transfer = *filling_->transfer;
      transfer.wait();
      std::byte* const host = transfer.host(filling_->buffer->data);
      rows_->rows().fill(wanted, host, host + rows_->answers_offset(count));
      transfer.copy(filling_->buffer->data, rows_->batch_bytes(count));
      {
        const std::lock_guard lock(mutex_);
        ready_.push_back(std::move(filling_));
      }
      changed_.notify_all();
    }
  } catch (...) {
    {
      const std::lock_guard lock(mutex_);
      error_ = std::current_exception();
    }
    changed_.notify_all();
  }
}

}  // namespace twingrad::data::detail
