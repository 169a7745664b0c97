// What a streaming Loader keeps instead of the set on the device: the rows on the host and a few blocks for batches. A
// thread of each epoch's writes the next batches where the device copies them from, in the order of the shuffle, while
// the program goes on with the current one. loader.cpp is its only user.
//
//   auto rows = std::make_shared<StreamedRows>(host_rows(dataset, f32), options);
//   StreamedEpoch epoch(rows, 0, batches);
//   Batch batch = epoch.batch(0, where);
#pragma once

#include <twingrad/backend.h>
#include <twingrad/data/host_rows.h>
#include <twingrad/data/loader.h>
#include <twingrad/graph/node.h>

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <source_location>
#include <thread>
#include <vector>

namespace twingrad::data::detail {

class StreamedRows {
 public:
  /// Memory on the device that batches lie in, one after the other, and the way there.
  struct Block {
    std::shared_ptr<Buffer> buffer;
    std::unique_ptr<Transfer> transfer;
  };

  StreamedRows(HostRows rows, const LoaderOptions& options) : rows_(std::move(rows)), options_(options) {}

  const HostRows& rows() const { return rows_; }
  const LoaderOptions& options() const { return options_; }
  /// All rows in order, by a copy made at once.
  Batch all(const std::source_location& where) const;

  /// Where the answers of a batch of so many rows begin in its block, and where they end.
  std::size_t answers_offset(std::int64_t count) const;
  std::size_t batch_bytes(std::int64_t count) const;
  /// Leaves in the block, as LoaderOptions::dtype.
  Batch batch_in(const Block& block, std::int64_t count, const std::source_location& where) const;

  /// Batches ahead, the one in use, and the one before it, which a step that may come again still holds.
  std::size_t most_blocks() const { return static_cast<std::size_t>(options_.prefetch) + 2; }
  std::unique_ptr<Block> make_block() const;
  std::shared_ptr<Buffer> make_block_buffer() const;
  /// The blocks of an epoch that is over, so that the next one's batches lie where they lay: recorded steps hold
  /// addresses. An epoch beside another has others.
  std::deque<std::unique_ptr<Block>> take_blocks();
  void give_back(std::deque<std::unique_ptr<Block>> blocks) noexcept;

 private:
  HostRows rows_;
  LoaderOptions options_;
  std::mutex mutex_;  ///< a copied Loader has the same blocks, perhaps on another thread
  std::deque<std::unique_ptr<Block>> blocks_;
};

/// One pass. All but the worker's part is for the thread that has the Iterator.
class StreamedEpoch {
 public:
  using Block = StreamedRows::Block;

  /// `number`: of the epoch, which decides the order.
  StreamedEpoch(std::shared_ptr<StreamedRows> rows, std::int64_t number, std::int64_t batches);
  StreamedEpoch(const StreamedEpoch&) = delete;
  StreamedEpoch& operator=(const StreamedEpoch&) = delete;
  /// Stops the worker after the rows that it is at.
  ~StreamedEpoch();

  /// Batch `index`, which may be the one asked for last or a later one. Waits for its rows, not for its copy. Throws
  /// what filling it threw, again whenever it is asked, and ArgumentError for an earlier one or one beyond the last.
  const Batch& batch(std::int64_t index, const std::source_location& where);

 private:
  std::int64_t rows_in(std::int64_t index) const;
  void advance(const std::source_location& where);
  void supply();
  std::unique_ptr<Block> take_idle();
  std::unique_ptr<Block> take_ready();
  void work();
  std::unique_ptr<Block> take_empty();

  std::shared_ptr<StreamedRows> rows_;
  std::int64_t number_;
  std::int64_t batches_;

  std::deque<std::unique_ptr<Block>> idle_;  ///< the longest unused first
  std::unique_ptr<Block> block_;             ///< of the current batch
  Batch current_;
  std::int64_t supplied_ = 0;  ///< blocks that went to the worker
  std::int64_t taken_ = 0;     ///< batches that came from it
  std::size_t blocks_ = 0;
  std::exception_ptr failed_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::unique_ptr<Block>> empty_;
  std::deque<std::unique_ptr<Block>> ready_;
  std::unique_ptr<Block> filling_;  ///< what the worker failed at; else it is empty when the worker is done
  std::exception_ptr error_;
  bool stop_ = false;
  std::thread worker_;
};

}  // namespace twingrad::data::detail
