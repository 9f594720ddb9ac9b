#pragma once

#include <span>

#include "dataplane/api/segment.h"

namespace penstock::segment {

// Appends to `out` what one Segment over all of `segments` would hold, had their intervals been
// one: counters add, the gauge with the greatest (time_ms, shard, sequence of its Segment) stays,
// sets unite, summaries add, exact histogram values and bins add up by value and key; a histogram
// that is binned somewhere, or has more than kExactSamplesMax samples in all, becomes bins. Bins
// beyond 4096 fold into the lowest one kept (spec 8.6). The order of `segments` does not matter,
// but for the order of the rows. Timestamped points, events and checks are taken over one by one.
// Contexts of one kind are the same where name, host and tags are. docs/segment.md has the table.
//
// The caller chooses the Meta of `out` and adds up the samples. Memory: as much as the distinct
// contexts need; one thread.
void merge(std::span<const Reader> segments, Writer& out);

}  // namespace penstock::segment
