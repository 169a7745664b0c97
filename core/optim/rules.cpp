#include <twingrad/optim/rules.h>

#include <cmath>
#include <string>

namespace twingrad::optim {

Tensor add_penalties(const Tensor& gradient, const Tensor& parameter, double l2, double l1) {
  return l2 == 0 && l1 == 0 ? gradient : twingrad::update<formulas::Penalty>({gradient, parameter}, {l2, l1});
}

void check_not_negative(const char* optimizer, const char* option, double value) {
  if (!(value >= 0 && std::isfinite(value))) {
    throw ArgumentError(std::string(optimizer) + ": " + option + " is " + std::to_string(value) +
                        "; it must be 0 or larger, and finite");
  }
}

void check_below_one(const char* optimizer, const char* option, double value) {
  if (!(value >= 0 && value < 1)) {
    throw ArgumentError(std::string(optimizer) + ": " + option + " is " + std::to_string(value) +
                        "; it must be in [0, 1)");
  }
}

}  // namespace twingrad::optim
