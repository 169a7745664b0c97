#include <omp.h>
#include <twingrad/check/reference_interpreter.h>
#include <twingrad/check/reference_pieces.h>
#include <twingrad/check/reference_sources.h>

#include <algorithm>

namespace twingrad::check {
namespace {

/// Elements of a piece: its arrays and what it is compared with stay in the second-level cache.
constexpr std::int64_t piece_elements = 2048;
/// Below this much work per thread, waking another one costs more than it saves.
constexpr double nanoseconds_per_thread = 20000;

/// Moves have no error, whatever they move.
bool is_move(const Op& op) {
  return op.family == Family::view || op.family == Family::random;
}

/// Elements that were computed all at once.
class Listed final : public Expectation::Source {
 public:
  explicit Listed(Array<Tracked> elements) : elements_(std::move(elements)) {}
  void compute(Elements& into) const override {
    for (std::int64_t i = 0; i < into.count; ++i) {
      into.set(i, elements_.data[static_cast<std::size_t>(into.begin + i)]);
    }
  }

 private:
  Array<Tracked> elements_;
};

class Moved final : public Expectation::Source {
 public:
  explicit Moved(Array<double> elements) : elements_(std::move(elements)) {}
  void compute(Elements& into) const override {
    std::copy_n(elements_.data.begin() + into.begin, into.count, into.value.begin());
    into.exact = true;
  }
  std::vector<double> take_all() override { return std::move(elements_.data); }

 private:
  Array<double> elements_;
};

std::unique_ptr<Expectation::Source> source_for(const Use& use) {
  const Family family = use.op.family;
  if (is_move(use.op)) {
    return std::make_unique<Moved>(reference<double>(use.op, use.attributes, use.inputs, use.type, use.model));
  }
  if (family == Family::elementwise || family == Family::update) {
    return formula_source(use);
  }
  if (family == Family::matmul) {
    if (auto source = product_source(use)) {
      return source;
    }
  }
  if (family == Family::reduce) {
    if (auto source = sum_source(use)) {
      return source;
    }
  }
  if (family == Family::custom) {
    // A custom op has no formula here; its bound is what one rounding of its own float64 result allows.
    Array<Tracked> result =
        convert<Tracked>(reference<double>(use.op, use.attributes, use.inputs, use.type, use.model));
    const RoundingScope scope(use.type.dtype, use.model);
    for (Tracked& element : result.data) {
      element = Tracked::unary(element, element.value, 1, use.op.ulps);
    }
    return std::make_unique<Listed>(std::move(result));
  }
  std::vector<Array<Tracked>> tracked;
  for (const Array<double>* input : use.inputs) {
    tracked.push_back(convert<Tracked>(*input));
  }
  return std::make_unique<Listed>(reference<Tracked>(use.op, use.attributes, tracked, use.type, use.model));
}

}  // namespace

void Elements::resize(std::int64_t elements) {
  const auto size = static_cast<std::size_t>((elements + lane_count - 1) / lane_count * lane_count);
  count = elements;
  for (std::vector<double>* figure : {&value, &variance, &library, &worst}) {
    figure->resize(size);
  }
  overflow.resize(size);
}

Tracked Elements::at(std::int64_t i) const {
  const auto e = static_cast<std::size_t>(i);
  Tracked element;
  element.value = value[e];
  if (!exact) {
    element.variance = variance[e];
    element.library = library[e];
    element.worst = worst[e];
    element.overflow = overflow[e] != 0;
  }
  return element;
}

void Elements::set(std::int64_t i, const Tracked& element) {
  const auto e = static_cast<std::size_t>(i);
  value[e] = element.value;
  variance[e] = element.variance;
  library[e] = element.library;
  worst[e] = element.worst;
  overflow[e] = element.overflow ? -1 : 0;
}

Expectation::Expectation(const Op& op, const Attributes& attributes, std::span<const Array<double>* const> inputs,
                         const TensorType& type, const ErrorModel& model)
    : elements_(numel(type.shape)), moves_(is_move(op)) {
  if (elements_ > 0) {
    source_ = source_for({op, attributes, inputs, type, model});
    piece_ = source_->rows_of > 0 ? std::max<std::int64_t>(piece_elements / source_->rows_of, 1) * source_->rows_of
                                  : piece_elements;
    pieces_ = (elements_ + piece_ - 1) / piece_;
  }
}
Expectation::~Expectation() = default;

int Expectation::threads() const {
  return pieces_ < 2 ? 1 : threads_for(elements_, source_->nanoseconds);
}

std::vector<double> Expectation::take_moved() {
  return source_ == nullptr ? std::vector<double>() : source_->take_all();
}

void Expectation::compute(std::int64_t piece, Elements& into) const {
  into.begin = piece * piece_;
  into.resize(std::min(piece_, elements_ - into.begin));
  into.exact = false;
  source_->compute(into);
}

int threads_for(std::int64_t count, double nanoseconds) {
  if (omp_in_parallel() != 0) {
    return 1;
  }
  const double worth = static_cast<double>(count) * nanoseconds / nanoseconds_per_thread;
  return std::max(1, static_cast<int>(std::min(worth, static_cast<double>(omp_get_max_threads()))));
}

void for_each_on(int threads, std::int64_t count, const std::function<void(std::int64_t)>& body) {
  std::exception_ptr error;
#pragma omp parallel for schedule(static) num_threads(threads)
  for (std::int64_t i = 0; i < count; ++i) {
    try {
      body(i);
    } catch (...) {
#pragma omp critical(twingrad_check_error)
      if (!error) {
        error = std::current_exception();
      }
    }
  }
  if (error) {
    std::rethrow_exception(error);
  }
}

void for_each_range(std::int64_t count, double nanoseconds,
                    const std::function<void(std::int64_t, std::int64_t)>& body) {
  const int threads = threads_for(count, nanoseconds);
  for_each_on(threads, threads, [&](std::int64_t part) { body(count * part / threads, count * (part + 1) / threads); });
}

void for_each_piece(const Expectation& expectation, const std::function<void(std::int64_t, const Elements&)>& body) {
  for_each_on(expectation.threads(), expectation.pieces(), [&](std::int64_t piece) {
    thread_local Elements elements;
    expectation.compute(piece, elements);
    body(piece, elements);
  });
}

Array<Tracked> listed(const Expectation& expectation, const TensorType& type) {
  Array<Tracked> result{type, std::vector<Tracked>(static_cast<std::size_t>(expectation.elements())), {}};
  for_each_piece(expectation, [&](std::int64_t, const Elements& elements) {
    for (std::int64_t i = 0; i < elements.count; ++i) {
      result.data[static_cast<std::size_t>(elements.begin + i)] = elements.at(i);
    }
  });
  return result;
}

}  // namespace twingrad::check
