#pragma once

namespace penstock {

// `penstockctl explain`: what the server makes of messages, without a server. Returns the exit
// code: 0 all messages parsed, 1 some did not, 2 usage or configuration.
int explain_main(int argc, char** argv);

}  // namespace penstock
