#pragma once
// From records to metrics: the figures that a record holds are exported here and nowhere else.
#include "actors/telemetry/metrics.hpp"
#include "actors/telemetry/records.hpp"

namespace troupe {

// Of the run, by the process of its director. environment: what is trained on.
void export_stage(Metrics& metrics, std::int32_t index, std::int32_t updates);
void export_run(Metrics& metrics, const RolloutUpdateRecord& update,
                const std::string& environment);
void export_run(Metrics& metrics, const SupervisedRecord& update);
/// By the process of the learner.
void export_learner(Metrics& metrics, const RolloutUpdateRecord& update);
void export_record(Metrics& metrics, const EvaluationRecord& evaluation,
                   const std::string& environment);

/// `exported` is the ledger exported last; counters grow by the difference. When it had granted or
/// generated more, a new ledger began, whose figures count in full.
void export_record(Metrics& metrics, const LedgerRecord& ledger, const LedgerRecord& exported);

}  // namespace troupe
