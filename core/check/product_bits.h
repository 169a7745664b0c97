// Tier 0: which precision a device's products really have, told by whole numbers. An operand of b bits comes through a
// product by 1 unharmed only if the product reads b bits; 1 is added to a large number unharmed only if the sum keeps
// the bits between; and where all partial sums are exact, so must the result be, in whatever order they were added.
// A sum is seen through its result: products that give float32 show that it keeps float32's 24 bits, those that give
// bfloat16 or float16 that it keeps 16 or 19, far more than their own 8 or 11 but less than float32 has. The check of
// all ops calls it and prints what it finds.
//
//   for (const check::ProductBits& found : check::product_bits(device)) std::cout << check::to_string(found) << '\n';
#pragma once

#include <twingrad/device.h>
#include <twingrad/precision.h>

#include <cstdint>
#include <string>
#include <vector>

namespace twingrad::check {

struct ProductBits {
  Precision precision = Precision::fp32;
  std::string missing{};  ///< why the device has no such products; empty: it has
  int declared = 0;       ///< significant bits of an operand that the error model says are read
  int read_of_a = 0;      ///< what was found: all operands of so many bits came through
  int read_of_b = 0;
  int sum_bits = 0;                 ///< what a sum must keep to lose nothing: as many as the result can show
  std::int64_t lost_addends = 0;    ///< sums that lost small terms beside a large one: they keep fewer bits
  std::int64_t wrong_products = 0;  ///< of whole numbers whose partial sums are exact

  /// Not fewer bits than declared, nothing lost, nothing wrong. More bits than declared are no fault.
  bool agrees() const {
    return !missing.empty() ||
           (read_of_a >= declared && read_of_b >= declared && lost_addends == 0 && wrong_products == 0);
  }
};

/// One for each precision, in the order of the enumeration. Throws DeviceError when the device is not there or fails;
/// only TF32 may be missing.
std::vector<ProductBits> product_bits(Device device);

/// "fp32 reads 24 bits (24 declared), sums keep 24 bits".
std::string to_string(const ProductBits& found);

}  // namespace twingrad::check
