// The faults of each family, and what they share. Private to faults*.cpp.
#pragma once

#include <twingrad/check/faults.h>
#include <twingrad/formulas.h>
#include <twingrad/kernels.h>

#include <cstdint>
#include <vector>

namespace twingrad::check {

std::vector<Fault> matmul_faults();
std::vector<Fault> reduce_faults();
std::vector<Fault> elementwise_faults();
std::vector<Fault> rows_faults();
std::vector<Fault> index_faults();
std::vector<Fault> other_faults();
std::vector<Fault> memory_faults();

inline bool is_reduce(const KernelCall& call, Reduce kernel) {
  return call.op->family == Family::reduce && call.op->kernel == static_cast<int>(kernel);
}
inline bool is_rows(const KernelCall& call, Rows kernel) {
  return call.op->family == Family::rows && call.op->kernel == static_cast<int>(kernel);
}
inline bool is_index(const KernelCall& call, Index kernel) {
  return call.op->family == Family::index && call.op->kernel == static_cast<int>(kernel);
}
template <class Formula>
bool is_formula(const KernelCall& call) {
  return call.op->family == Family::elementwise &&
         call.op->kernel == formulas::index_in<Formula, formulas::Formulas>::value;
}
inline bool gives_float(const KernelCall& call) {
  return is_floating(call.output.dtype);
}

/// A tensor seen as (outer, length, inner) around one axis.
struct AroundAxis {
  AroundAxis(const Shape& shape, std::int64_t axis) : length(shape[static_cast<int>(axis)]) {
    for (int i = 0; i < shape.size(); ++i) {
      (i < axis ? outer : inner) *= i == axis ? 1 : shape[i];
    }
  }
  std::int64_t outer = 1;
  std::int64_t length;
  std::int64_t inner = 1;
  std::size_t at(std::int64_t o, std::int64_t l, std::int64_t i) const {
    return static_cast<std::size_t>((o * length + l) * inner + i);
  }
};

inline std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

}  // namespace twingrad::check
