#pragma once
// report.html: the run on one self-contained page, without scripts or requests to anywhere.
#include "actors/telemetry/run_log.hpp"

#include <string>

namespace troupe {

/// Whatever came from outside (completions, config, names, events) is escaped and cut to a length.
std::string report_html(const RunLog& run);

}  // namespace troupe
