#pragma once

namespace penstock {

// `penstockctl segment cat`: prints a Segment as JSON lines. Returns the exit code.
int segment_main(int argc, char** argv);

}  // namespace penstock
