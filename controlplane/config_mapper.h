#pragma once

#include <string>
#include <vector>

#include "controlplane/config.h"
#include "controlplane/config_section.h"

namespace penstock {

// Reads `dogstatsd_mapper_profiles` (spec 7.1): a list in the file, JSON in the environment. Faults
// that turn the Agent's mapper off go to `faults`, and any of them leaves `out` empty; what is over
// a bound of ours is an error of the configuration.
void read_mapper(const Value& value, std::vector<MapperProfile>& out,
                 std::vector<std::string>& faults);

}  // namespace penstock
