#pragma once
// trace.json: the run as Chrome trace events, for Perfetto (ui.perfetto.dev) or chrome://tracing.
#include "actors/telemetry/run_log.hpp"

#include <string>

namespace troupe {

/// One thread per actor with its phases, one with the stages; events as instants. Times in
/// microseconds since the run's start.
std::string trace_json(const RunLog& run);

}  // namespace troupe
