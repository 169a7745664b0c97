#include <twingrad/data/row_source.h>
#include <twingrad/error.h>

namespace twingrad::data {
namespace {

void require(bool holds, const RowSource& source, const std::string& what) {
  if (!holds) {
    throw ArgumentError("row source '" + source.name + "': " + what);
  }
}

}  // namespace

void RowSpans::check_features(Dtype asked) const {
  if (asked != source_->dtype) {
    throw DtypeError("row source '" + source_->name + "': its features are " + std::string(name(source_->dtype)) +
                     ", but it asks for a span of " + std::string(name(asked)) + "; set RowSource::dtype");
  }
}

void RowSpans::check_task(Task asked) const {
  require(asked == source_->task, *source_,
          asked == Task::classification ? "a regression has no labels; write targets(), or set RowSource::task"
                                        : "a classification has no targets; write labels(), or set RowSource::task");
}

std::size_t RowSpans::columns() const {
  return static_cast<std::size_t>(source_->columns);
}
std::size_t RowSpans::outputs() const {
  return static_cast<std::size_t>(source_->outputs);
}

void RowSource::check() const {
  require(rows > 0, *this, "it has no rows");
  require(columns > 0, *this, "it has no columns");
  require(outputs > 0, *this, task == Task::classification ? "it has no classes" : "it has no target columns");
  require(fill != nullptr, *this, "it has no function `fill` that writes rows");
  if (dtype != u8 && dtype != f32 && dtype != f64) {
    throw DtypeError("row source '" + name + "': features are uint8, float32 or float64, but dtype is " +
                     std::string(twingrad::name(dtype)));
  }
}

}  // namespace twingrad::data
