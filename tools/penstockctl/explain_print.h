#pragma once

#include <string>

#include "tools/penstockctl/explain_message.h"

namespace penstock {

// Appends a message as a block for people, with `final` only if asked for.
void append_block(std::string& out, const Explained& e, bool with_final);

}  // namespace penstock
