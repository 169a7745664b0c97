// Reads back what to_json wrote, so that a report saved on one machine can be looked at on another.
//
//   std::ofstream("page.html") << to_html(from_json(text), "mlp");
#pragma once

#include <twingrad/check/check.h>

#include <string>

namespace twingrad::check {

/// Throws IoError when the text is no report, damaged, or of another version.
Report from_json(const std::string& text);

}  // namespace twingrad::check
