#pragma once
// What every rank of the learner does with one batch.
#include "gpu/training/policy_update.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace troupe {

/// Rollouts that one version sampled, and its weights.
struct GapPart {
  std::uint64_t version = 0;
  gpu::FlatWeights weights;
  std::vector<gpu::TrainingRollout> rollouts;
};

/// Owns all it needs: a rank that hangs may hold it longer than the learner waits.
struct PolicyTask {
  std::vector<gpu::TrainingGroup> groups;  // empty: nothing to learn from
  std::vector<GapPart> gap_parts;
  gpu::UpdateConfig config;
  float learning_rate = 0;
  std::uint64_t version = 0, staleness_bound = 0;
  gpu::FlatWeights reference;
  std::optional<std::uint64_t> reference_version = {};  // none: no reference
};

struct PolicyResult {
  gpu::UpdateStats stats;
  gpu::LogProbGap gap;                                    // measured before the update
  std::map<std::uint64_t, std::vector<float>> log_probs;  // of what was measured, by rollout id
};

/// Errors: as policy_update.
PolicyResult train_policy(gpu::TrainingEngine& engine, const PolicyTask& task);

}  // namespace troupe
