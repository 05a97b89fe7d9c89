#pragma once
// What a run directory tells of its run, for whoever looks at it afterwards.
#include "actors/telemetry/rollout_log.hpp"
#include "actors/telemetry/run_log.hpp"

#include <filesystem>

namespace troupe {

/// From metrics.jsonl, summary.json and config.toml as far as they are there. Torn and unknown lines are passed over, as
/// of a run that was killed or still goes on. Errors: throws std::runtime_error if there is no metrics.jsonl.
RunLog read_run(const std::filesystem::path& run_directory);

/// From rollouts.jsonl; empty if it is not there.
RolloutShelf read_rollouts(const std::filesystem::path& run_directory);

}  // namespace troupe
