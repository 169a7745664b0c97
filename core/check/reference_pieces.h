// What a kernel should give, with bounds, a piece at a time: pieces are small enough to stay in the processor's cache
// until they were compared, and are computed on any number of threads. For inputs without errors of their own, which is
// what a single kernel is given. Private to the cross-check.
//
//   const Expectation expectation(op, attributes, inputs, type, model);
//   for_each_piece(expectation, [&](std::int64_t piece, const Elements& due) {...});   // from several threads
#pragma once

#include <twingrad/check/reference.h>

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <span>
#include <vector>

namespace twingrad::check {

/// Elements [begin, begin + count) of an output. Each figure of Tracked in an array of its own, as long as whole
/// vectors need; beyond `count` they hold anything.
struct Elements {
  std::int64_t begin = 0;
  std::int64_t count = 0;
  bool exact = false;  ///< variance, library, worst and overflow are 0 and not filled in
  std::vector<double> value;
  std::vector<double> variance;
  std::vector<double> library;
  std::vector<double> worst;
  std::vector<std::int64_t> overflow;  ///< -1 where nothing is predicted, else 0

  void resize(std::int64_t elements);
  Tracked at(std::int64_t i) const;
  void set(std::int64_t i, const Tracked& element);
};

/// How many threads are worth waking up for `count` items of `nanoseconds` each, by a guess.
int threads_for(std::int64_t count, double nanoseconds);

/// Calls body(i) for i < count on so many threads. The first exception is thrown again.
void for_each_on(int threads, std::int64_t count, const std::function<void(std::int64_t)>& body);

/// Calls body(begin, end) on ranges that cover [0, count), on several threads where that pays.
void for_each_range(std::int64_t count, double nanoseconds,
                    const std::function<void(std::int64_t, std::int64_t)>& body);

class Expectation {
 public:
  /// The arguments of reference(); all of them must outlive this. Throws what reference() throws.
  Expectation(const Op& op, const Attributes& attributes, std::span<const Array<double>* const> inputs,
              const TensorType& type, const ErrorModel& model);
  ~Expectation();
  Expectation(const Expectation&) = delete;
  Expectation& operator=(const Expectation&) = delete;

  /// How many there are, and their size, follow from op and shapes alone.
  std::int64_t pieces() const { return pieces_; }
  std::int64_t elements() const { return elements_; }
  /// Nothing rounds: a move, or numbers drawn.
  bool moves() const { return moves_; }
  /// As many as are worth waking up.
  int threads() const;
  /// Fills in one piece. Any number of threads may do so at a time.
  void compute(std::int64_t piece, Elements& into) const;
  /// All elements of a move, once its pieces are not needed any more.
  std::vector<double> take_moved();

  /// What computes the pieces.
  class Source;

 private:
  std::int64_t elements_;
  bool moves_;
  std::int64_t pieces_ = 0;
  std::int64_t piece_ = 0;  ///< elements of each but the last
  std::unique_ptr<Source> source_;
};

/// Calls body(piece, elements) for every piece, on several threads where that pays. The first exception is thrown
/// again.
void for_each_piece(const Expectation& expectation, const std::function<void(std::int64_t, const Elements&)>& body);

/// All pieces together.
Array<Tracked> listed(const Expectation& expectation, const TensorType& type);

}  // namespace twingrad::check
