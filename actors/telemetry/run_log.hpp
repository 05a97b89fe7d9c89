#pragma once
// What was recorded about a run, as plain data: the input of every writer. Bounded, however long the run: of many records
// some are kept, and sums over all of them; each is a line of metrics.jsonl.
#include "actors/telemetry/history.hpp"
#include "actors/telemetry/lineage.hpp"
#include "actors/telemetry/records.hpp"
#include "actors/telemetry/telemetry.hpp"
#include "actors/telemetry/thinned.hpp"

#include <optional>
#include <string>
#include <vector>

namespace troupe {

/// Over all updates of an rl stage, kept as records or not.
struct UpdateTotals {
  double gap_nats = 0, gap_tokens = 0;  // log-prob gap: sum over tokens
  double gap_max = 0;
  std::int32_t refused = 0;
  std::vector<std::uint64_t> lag_histogram;
};

/// A stage that runs or has ended. Times in seconds since the run's start.
struct StageLog {
  std::int32_t index = 0, updates = 0;  // updates: planned
  std::string kind, name;
  double begin = 0;
  std::optional<double> end;
  Thinned<RolloutUpdateRecord> rollout_updates;
  Thinned<RolloutUpdateRecord> refused_updates;  // those that were refused as not finite
  UpdateTotals totals;
  Thinned<SupervisedRecord> supervised_updates;
  Thinned<SupervisedRecord> probes;  // those that tell a gate's share
  Thinned<EvaluationRecord> evaluations;
  LedgerRecord ledger;                // the newest
  std::optional<StageRecord> record;  // once ended

  void add(const RolloutUpdateRecord& update);
  void add(const SupervisedRecord& report);
  std::int32_t updates_done() const;
  /// What is drawn: the updates that are kept, and with them those that were refused.
  std::vector<RolloutUpdateRecord> curve() const;
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
  static constexpr std::size_t kPoints = 2048, kMostEvents = 2000;

  std::string id;  // 128 bits, hexadecimal; empty: not known
  std::string name, config_json, config_digest, model_description, build_description;
  std::string started, finished;  // ISO 8601, UTC
  double wall_seconds = 0;
  std::uint64_t peak_memory_bytes = 0;  // of this process
  std::string ended;
  std::vector<StageLog> stages;
  History history{kPoints};                          // of all stages
  std::vector<EventRecord> events;                   // the newest, at least half of kMostEvents
  std::uint64_t event_count = 0, failure_count = 0;  // of all there were
  std::vector<ActorSpans> actors;
  std::optional<LineageEnd> lineage;

  /// The newest; one named like the run if none has begun.
  StageLog& stage();
  void add(const RolloutUpdateRecord& update);
  void add(const SupervisedRecord& report);
  void add(EventRecord event);
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
