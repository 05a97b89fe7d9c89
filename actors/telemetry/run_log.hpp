#pragma once
// All that was recorded about a run, as plain data: the input of every writer.
#include "actors/telemetry/lineage.hpp"
#include "actors/telemetry/records.hpp"
#include "actors/telemetry/telemetry.hpp"

#include <optional>
#include <string>
#include <vector>

namespace troupe {

/// A stage that runs or has ended. Times in seconds since the run's start.
struct StageLog {
  std::int32_t index = 0, updates = 0;  // updates: planned
  std::string kind, name;
  double begin = 0;
  std::optional<double> end;
  std::vector<RolloutUpdateRecord> rollout_updates;
  std::vector<SupervisedRecord> supervised_updates;
  std::vector<EvaluationRecord> evaluations;
  LedgerRecord ledger;                // the newest
  std::optional<StageRecord> record;  // once ended

  std::int32_t updates_done() const;
  /// The record; of a stage that has not ended, what is known of it at `now`.
  StageRecord result(double now) const;
  /// Evaluations in order of updates, with the record's before and after where they are missing.
  std::vector<EvaluationRecord> all_evaluations() const;
};

struct ActorSpans {
  std::string actor;
  std::vector<ActivityLog::Span>
      spans;  // phases point into the actor's log, which must outlive this
};

struct RunLog {
  std::string name, config_json, config_digest, model_description, build_description;
  std::string started, finished;  // ISO 8601, UTC
  double wall_seconds = 0;
  std::uint64_t peak_memory_bytes = 0;  // of this process
  std::string ended;
  std::vector<StageLog> stages;
  std::vector<EventRecord> events;
  std::vector<ActorSpans> actors;
  std::optional<LineageEnd> lineage;

  /// From the config: replay-buffer.staleness-bound and run.seed; nothing if they are not there.
  std::optional<std::uint64_t> staleness_bound() const;
  std::optional<std::uint64_t> seed() const;
  /// The last rl stage, or else the last one that was evaluated; null if there is none.
  const StageLog* main_stage() const;
};

/// Rollouts plus tokens that cannot be placed, without sign: 0 if the ledger balances.
std::int64_t imbalance(const LedgerRecord& ledger);

/// Mean lag in versions over the tokens of a histogram; 0 if it is empty.
double mean_lag(const std::vector<std::uint64_t>& lag_histogram);

}  // namespace troupe
