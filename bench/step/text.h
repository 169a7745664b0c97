// Text that both the table and the page of a run are made of.
//
//   text += stepbench::format_text("floor %s\n", stepbench::duration_text(floor).c_str());
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace stepbench {

/// printf into a string of any length.
std::string format_text(const char* text, ...) __attribute__((format(printf, 1, 2)));
/// "12.3 us", "4.56 ms", "1.23 s".
std::string duration_text(double seconds);
/// "17"; "17.25" of what is not the same in every step.
std::string count_text(double count);
/// "784-128-10".
std::string sizes_text(const std::vector<std::int64_t>& sizes);

}  // namespace stepbench
