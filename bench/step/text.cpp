#include "bench/step/text.h"

#include <twingrad/error.h>

#include <cstdarg>
#include <cstdio>

namespace stepbench {

std::string format_text(const char* text, ...) {
  va_list arguments;
  va_start(arguments, text);
  va_list again;
  va_copy(again, arguments);
  const int length = std::vsnprintf(nullptr, 0, text, arguments);
  va_end(arguments);
  std::string result(length < 0 ? 0 : static_cast<std::size_t>(length), '\0');
  if (length > 0) {
    std::vsnprintf(result.data(), result.size() + 1, text, again);
  }
  va_end(again);
  if (length < 0) {
    throw twingrad::ArgumentError(std::string("cannot format '") + text + "'");
  }
  return result;
}

std::string duration_text(double seconds) {
  if (seconds < 1e-3) {
    return format_text("%.1f us", 1e6 * seconds);
  }
  return seconds < 1 ? format_text("%.2f ms", 1e3 * seconds) : format_text("%.2f s", seconds);
}

std::string count_text(double count) {
  std::string text = format_text("%.2f", count);
  while (text.back() == '0') {
    text.pop_back();
  }
  if (text.back() == '.') {
    text.pop_back();
  }
  return text;
}

std::string sizes_text(const std::vector<std::int64_t>& sizes) {
  std::string text;
  for (const std::int64_t size : sizes) {
    text += (text.empty() ? "" : "-") + std::to_string(size);
  }
  return text;
}

}  // namespace stepbench
