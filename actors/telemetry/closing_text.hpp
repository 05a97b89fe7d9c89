#pragma once
// The end of `troupe train` on the terminal.
#include "actors/telemetry/run_log.hpp"

#include <string>

namespace troupe {

/// Table before/after of the run's main stage, up to three completions before and after, the path
/// of the report. Plain text, columns aligned.
std::string closing_text(const RunLog& run, const std::string& report_path);

}  // namespace troupe
