#pragma once

#include "controlplane/config_section.h"

namespace penstock {

// penstock.forward, and what both ways of naming a forward target share.

void read_forward(const Value& value, ForwardConfig& out);

// Adds a target; reports at `where` if it is one too many, or there already, or its host is none.
void add_forward_target(const Value& where, ListenAddress target, ForwardConfig& out);

}  // namespace penstock
