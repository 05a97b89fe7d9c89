#pragma once
// Who worked and who waited, as a figure of the report: a row per actor.
#include "actors/telemetry/run_log.hpp"

#include <string>
#include <vector>

namespace troupe {

/// Rows over [begin, end) in seconds since the run's start, each drawn from at most `cells` runs of
/// cells whose opacity is the share of time worked: the size does not grow with the spans.
/// `marks`: times of updates, drawn as ticks (when they are few). Empty if no actor has a span
/// there.
std::string timeline(const std::string& title, const std::string& note,
                     const std::vector<ActorSpans>& actors, double begin, double end,
                     const std::vector<double>& marks, std::size_t cells = 900);

/// Share of each of `cells` equal cells of [begin, end) in which the actor worked (0-1); -1 where
/// it has no span.
std::vector<double> busy_shares(const std::vector<ActivityLog::Span>& spans, double begin,
                                double end, std::size_t cells);

}  // namespace troupe
