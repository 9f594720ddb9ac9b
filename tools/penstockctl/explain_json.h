#pragma once

#include <string>

#include "tools/penstockctl/explain_message.h"

namespace penstock {

// Text is written as it came where it is UTF-8. Every other byte NN becomes the lone surrogate
// `\udcNN`, which no UTF-8 can mean, so that nothing is lost (Python: "surrogateescape").

// The `expect` object of spec section 12: what the parser says of the message.
void append_expect(std::string& out, const Explained& e);

// `in`, `parsed` and `final`; an error has its position and no `final`.
void append_explained(std::string& out, const Explained& e);

}  // namespace penstock
