#pragma once
// What the dashboard shows at one moment, as JSON. What is not known is absent.
#include "actors/dashboard/bottleneck.hpp"
#include "actors/telemetry/rollout_log.hpp"
#include "actors/telemetry/run_log.hpp"
#include "actors/telemetry/telemetry.hpp"

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace troupe {

/// Run, stage, newest update, ledger, evaluations, gates. now: seconds since the run's start.
nlohmann::ordered_json run_json(const RunLog& run, double now);

/// {"name", "role", "phase", "idle_ratio"} of each actor that did something; "version" of one in another process, and "away"
/// while its link is lost.
nlohmann::ordered_json actors_json(const std::vector<ActorView>& actors);

/// {"name", "role", "away"} of those in processes of their own that have not left, whether they did anything or not.
nlohmann::ordered_json peers_json(const std::vector<ActorView>& actors);

/// {"role", "sentence", "shares": {...}, "counts": {...}}
nlohmann::ordered_json bottleneck_json(const RoleShares& shares);

/// Counters and gauges by name: a number, or numbers by label value. The same numbers as in /metrics.
nlohmann::ordered_json metrics_json(Metrics& metrics);

/// The newest events, oldest first, with how many there are of them all.
nlohmann::ordered_json events_json(const RunLog& run);

/// One row of the list of rollouts, and one in full.
nlohmann::ordered_json rollout_row(const RolloutView& rollout);

}  // namespace troupe
