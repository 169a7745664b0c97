// What the numbers of a run belong to: processor, memory, system, compiler, commit, date. For its JSON.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace stepbench {

/// `source` is a folder of the repository, for the commit; "unknown" outside of one. A commit with changes on top ends
/// in "+". `device` "cuda" adds the GPU, its driver, clocks and power. Throws DeviceError where that is not there.
nlohmann::ordered_json describe_machine(const std::string& source, const std::string& device);

}  // namespace stepbench
