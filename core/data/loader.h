// Hands out a data set in batches on a device. The whole set is copied there once; each batch is gathered on the device
// out of a permutation that is drawn on the device too, and is the same on all of them. Batches are nodes of the graph
// like any other, so the gather runs as part of the training step that uses it.
//
//   tg::data::Loader batches(data.train, {.batch = 128, .shuffle = true, .seed = 1, .device = device});
//   for (int epoch = 0; epoch < 10; ++epoch) {
//     for (auto [x, y] : batches) {          // x: (128, columns) float32, y: (128) int64 labels; each loop is an epoch
//       ...
//     }
//   }
#pragma once

#include <twingrad/data/dataset.h>
#include <twingrad/tensor.h>

#include <cstdint>
#include <iterator>
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
};

/// Features and what is to be learned of some rows.
struct Batch {
  Tensor x;  ///< (rows, columns) of LoaderOptions::dtype
  Tensor y;  ///< classification: labels (rows), int64; regression: (rows, targets) of LoaderOptions::dtype
};

class Loader {
 public:
  /// Goes through the batches of one epoch, once. Must not outlive its Loader.
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

    const Loader* loader_ = nullptr;
    Tensor order_;  ///< (rows) int64, or undefined when rows come in order
    std::int64_t index_ = 0;
  };

  /// Copies `dataset` to the device; it is not needed any more afterwards. Throws what Dataset::check() throws (NaN, no
  /// rows, ...), ArgumentError for a batch below 1 or when drop_last leaves no batch, DtypeError for a dtype that is
  /// not floating-point, and what copying to the device throws. Errors of later batches name `where`.
  explicit Loader(const Dataset& dataset, const LoaderOptions& options = {},
                  std::source_location where = std::source_location::current());

  /// Begins the next epoch. Epoch number e, from 0, takes rows in the order of random_permutation(rows, {seed, e}).
  Iterator begin();
  static std::default_sentinel_t end() { return {}; }

  /// Batches per epoch.
  std::int64_t size() const;
  std::int64_t rows() const { return x_.size(0); }
  /// Epochs begun so far: 1 during the first.
  std::int64_t epoch() const { return epoch_; }
  /// Goes on as if so many epochs had begun, to resume a run. Throws ArgumentError when negative.
  void set_epoch(std::int64_t begun);

  /// All rows at once, in the data set's order.
  Batch all() const { return {x_, y_}; }

 private:
  LoaderOptions options_;
  std::source_location where_;
  Tensor x_;
  Tensor y_;
  std::int64_t epoch_ = 0;
};

}  // namespace twingrad::data
