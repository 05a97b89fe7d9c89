#pragma once
// metrics.jsonl: one JSON object per line, written as things happen. Every field is documented in
// deploy/summary.md.
#include "actors/telemetry/run_log.hpp"

#include <string>

namespace troupe {

inline constexpr int kMetricsLineVersion = 1;

/// Each gives one line without its line break; `type` tells them apart.
std::string run_line(const RunLog& run);
std::string stage_begins_line(const StageLog& stage);
std::string stage_ends_line(const StageRecord& stage, double seconds);
std::string update_line_json(const RolloutUpdateRecord& update);
std::string update_line_json(const SupervisedRecord& update);
std::string evaluation_line(const EvaluationRecord& evaluation, std::int32_t stage, double seconds);
std::string ledger_line(const LedgerRecord& ledger, std::int32_t stage, double seconds);
std::string event_line(const EventRecord& event);

}  // namespace troupe
