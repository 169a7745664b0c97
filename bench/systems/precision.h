// The benchmark's words for a precision, as the library has it. Included by the systems that are made with twingrad.
#pragma once

#include <twingrad/error.h>
#include <twingrad/precision.h>

#include <string>

namespace bench {

/// Of "float32", "tf32" and "bfloat16"; the last is mixed, with master weights in float32. Throws ArgumentError for
/// another word.
inline twingrad::Precision precision_of(const std::string& text) {
  if (text == "float32") {
    return twingrad::Precision::fp32;
  }
  if (text == "tf32") {
    return twingrad::Precision::tf32;
  }
  if (text == "bfloat16") {
    return twingrad::Precision::mixed_bf16;
  }
  throw twingrad::ArgumentError("there is no precision '" + text + "'; there are float32, tf32 and bfloat16");
}

}  // namespace bench
