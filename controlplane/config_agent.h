#pragma once

#include "controlplane/config_section.h"

namespace penstock {

// Reads the keys at the top level, which are the Agent's (spec 10.1), and the `DD_*` variables,
// which win, into `loaded`: the configuration, its faults and the keys that have no effect. Errors
// and warnings go to `problems`.
void read_agent_keys(Problems& problems, const YAML::Node& top, const Environment& environment,
                     LoadedConfig& loaded);

}  // namespace penstock
