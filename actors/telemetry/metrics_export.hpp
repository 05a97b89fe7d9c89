#pragma once
// From records to metrics: the figures that a record holds are exported here and nowhere else.
#include "actors/telemetry/metrics.hpp"
#include "actors/telemetry/records.hpp"

namespace troupe {

void export_record(Metrics& metrics, const RolloutUpdateRecord& update);
void export_record(Metrics& metrics, const SupervisedRecord& update);
void export_record(Metrics& metrics, const EvaluationRecord& evaluation);

/// `exported` is the ledger exported last; counters grow by the difference. When it had granted or
/// generated more, a new ledger began, whose figures count in full.
void export_record(Metrics& metrics, const LedgerRecord& ledger, const LedgerRecord& exported);

}  // namespace troupe
