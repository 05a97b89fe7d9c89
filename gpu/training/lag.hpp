#pragma once
#include "gpu/training/policy_update.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace troupe::gpu {

/// Adds a rollout's tokens to `histogram` by lag, which grows as needed.
/// Errors: throws gpu::Error naming the rollout if a token's lag exceeds `staleness_bound`, a
/// version is newer than `version`, or the counts do not add up to `tokens`.
void count_lags(const TrainingRollout& rollout, std::uint64_t tokens, std::uint64_t version,
                std::uint64_t staleness_bound, std::vector<std::uint64_t>& histogram);

/// Tokens of the rollout whose lag exceeds `staleness_bound`, or that are newer than `version`.
std::uint64_t tokens_beyond(const TrainingRollout& rollout, std::uint64_t version,
                            std::uint64_t staleness_bound);

}  // namespace troupe::gpu
