#pragma once
// summary.json: the run's figures for programs. Every field is documented in deploy/summary.md.
#include "actors/telemetry/run_log.hpp"

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace troupe {

inline constexpr int kSummaryVersion = 1;

/// The document, indented. Fields that do not apply are absent; numbers that are not finite are
/// null.
std::string summary_json(const RunLog& run);

/// {pass_rate_sampled, pass_rate_greedy, format_rate, mean_response_tokens, prompts, version}.
nlohmann::ordered_json evaluation_json(const EvaluationRecord& evaluation);

nlohmann::ordered_json ledger_json(const LedgerRecord& ledger);

}  // namespace troupe
