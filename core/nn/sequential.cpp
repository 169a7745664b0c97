#include <twingrad/nn/sequential.h>

namespace twingrad::nn {

Module& Sequential::operator[](std::size_t index) const {
  if (index >= size()) {
    throw ArgumentError("Sequential: there is no module " + std::to_string(index) + "; it has " +
                        std::to_string(size()));
  }
  return *children()[index].second;
}

Tensor Sequential::forward(const Tensor& x) {
  Tensor y = x;
  for (const auto& [name, child] : children()) {
    y = (*child)(y);
  }
  return y;
}

}  // namespace twingrad::nn
