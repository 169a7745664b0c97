// What a run found, as a table for people and as JSON for `compare` and for the repository.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/step/run_work.h"

namespace stepbench {

/// Ratios of step times to ours, with quartiles of the turns' own ratios; above 1 we are faster.
std::string to_table(const WorkResult& result);
nlohmann::ordered_json to_json(const WorkResult& result);

}  // namespace stepbench
