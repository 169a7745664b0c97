// Style sheet and script of the report's page, written into it: it needs no network and no other file. Private to the
// cross-check.
#pragma once

#include <string_view>

namespace twingrad::check {

extern const std::string_view report_style;
/// Shows a node's figures when it is pointed at, lights up its wires, zooms. The page says everything essential
/// without.
extern const std::string_view report_script;

}  // namespace twingrad::check
