// Hands out a data set in batches on a device. The whole set is copied there once; each batch is gathered on the device
// out of a permutation that is drawn on the device too, and is the same on all of them. Batches are nodes of the graph
// like any other, so the gather runs as part of the training step that uses it. A set that is too large for that is
// streamed: its rows stay on the host, and the next batches are gathered and copied while the device works on the
// current one. Batches are the same, bit for bit.
//
//   tg::data::Loader batches(data.train, {.batch = 128, .shuffle = true, .seed = 1, .device = device});
//   for (int epoch = 0; epoch < 10; ++epoch) {
//     for (auto [x, y] : batches) {          // x: (128, columns) float32, y: (128) int64 labels; each loop is an epoch
//       ...
//     }
//   }
//   tg::data::Loader streamed(std::move(data.train), {.batch = 128, .device = device, .streaming = true});
#pragma once

#include <twingrad/data/dataset.h>
#include <twingrad/data/row_source.h>
#include <twingrad/tensor.h>

#include <cstdint>
#include <iterator>
#include <memory>
#include <source_location>
#include <utility>

namespace twingrad::data {

struct LoaderOptions {
  std::int64_t batch = 32;  ///< rows per batch
  /// Draw a new order for every epoch; without, rows come as they stand in the data set.
  bool shuffle = false;
  std::int64_t seed = 0;
  Device device{};
  Dtype dtype = f32;  ///< of features and of regression targets
  /// Leave out the last batch when it has fewer rows than the others.
  bool drop_last = false;
  /// Leave the set on the host, and gather batches there on a thread of its own. A shuffled order takes 8 bytes per row
  /// on the host, and some 12 more while it is drawn.
  bool streaming = false;
  /// Batches that are gathered and copied ahead of the one in use, when streaming. Each takes its room on the device
  /// and in page-locked memory of the host, and so do the one in use and the one before it.
  std::int64_t prefetch = 2;
};

/// Features and what is to be learned of some rows.
struct Batch {
  Tensor x;  ///< (rows, columns) of LoaderOptions::dtype
  Tensor y;  ///< classification: labels (rows), int64; regression: (rows, targets) of LoaderOptions::dtype
};

namespace detail {
class StreamedRows;
class StreamedEpoch;
}  // namespace detail

class Loader {
 public:
  /// Goes through the batches of one epoch, once. Must not outlive its Loader. When streaming, copies share the epoch:
  /// what the thread threw comes out of `*`, and a batch before the one that was asked for last is an ArgumentError.
  class Iterator {
   public:
    using iterator_concept = std::input_iterator_tag;
    using value_type = Batch;
    using difference_type = std::int64_t;

    Iterator() = default;
    Batch operator*() const;
    Iterator& operator++() {
      ++index_;
      return *this;
    }
    void operator++(int) { ++index_; }
    friend bool operator==(const Iterator& iterator, std::default_sentinel_t) {
      return iterator.loader_ == nullptr || iterator.index_ == iterator.loader_->size();
    }

   private:
    friend class Loader;
    Iterator(const Loader* loader, Tensor order) : loader_(loader), order_(std::move(order)) {}
    Iterator(const Loader* loader, std::shared_ptr<detail::StreamedEpoch> streamed)
        : loader_(loader), streamed_(std::move(streamed)) {}

    const Loader* loader_ = nullptr;
    std::shared_ptr<detail::StreamedEpoch> streamed_;
    Tensor order_;  ///< (rows) int64, or undefined when rows come in order
    std::int64_t index_ = 0;
  };

  /// Copies `dataset` to the device; it is not needed any more afterwards. Throws what Dataset::check() throws (NaN, no
  /// rows, ...), ArgumentError for a batch below 1 or when drop_last leaves no batch, DtypeError for a dtype that is
  /// not floating-point, and what copying to the device throws. Errors of later batches name `where`. When streaming,
  /// it keeps a copy of the data set, or the data set itself where that is moved in; ArgumentError for a prefetch
  /// below 1.
  explicit Loader(const Dataset& dataset, const LoaderOptions& options = {},
                  std::source_location where = std::source_location::current());
  explicit Loader(Dataset&& dataset, const LoaderOptions& options = {},
                  std::source_location where = std::source_location::current());
  /// Streams the source's rows, whatever options.streaming says. Throws what RowSource::check() throws, and the above.
  explicit Loader(const RowSource& source, const LoaderOptions& options = {},
                  std::source_location where = std::source_location::current());

  /// Begins the next epoch. Epoch number e, from 0, takes rows in the order of random_permutation(rows, {seed, e}).
  Iterator begin();
  static std::default_sentinel_t end() { return {}; }

  /// Batches per epoch.
  std::int64_t size() const;
  std::int64_t rows() const { return rows_; }
  /// Epochs begun so far: 1 during the first.
  std::int64_t epoch() const { return epoch_; }
  /// Goes on as if so many epochs had begun, to resume a run. Throws ArgumentError when negative.
  void set_epoch(std::int64_t begun);

  /// All rows at once, in the data set's order. When streaming, they are copied to the device for this.
  Batch all() const;

 private:
  void check_options() const;
  void copy_to_device(const Dataset& dataset);

  LoaderOptions options_;
  std::source_location where_;
  std::int64_t rows_ = 0;
  Tensor x_;  ///< undefined when streaming
  Tensor y_;
  std::shared_ptr<detail::StreamedRows> streamed_;  ///< or nullptr
  std::int64_t epoch_ = 0;
};

}  // namespace twingrad::data
