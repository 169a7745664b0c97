// What a device with a queue reaches at most, through the library's own calls: on a GPU its products are cuBLAS's and
// its copies are CUDA's.
#pragma once

#include <cstddef>
#include <string>

namespace bench {

/// FLOP/s of square products in "float32", "tf32" or "bfloat16": the best over sizes from 256 up to 8192, or up to what
/// takes a tenth of a second. Throws ArgumentError for another precision, DeviceError without the device.
double device_product_ceiling(const std::string& device, const std::string& precision);

/// Bytes per second, read and written, of copies of `bytes` on the device. Throws std::runtime_error when it lacks the
/// memory, DeviceError without the device.
double device_copy_ceiling(const std::string& device, std::size_t bytes);

}  // namespace bench
