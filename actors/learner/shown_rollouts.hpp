#pragma once
// Which rollouts of a batch are shown, and how.
#include "actors/replay_buffer/batch.hpp"
#include "actors/telemetry/rollout_log.hpp"
#include "messages/shown_rollout.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

namespace troupe {

struct ShownUpdate {
  std::int32_t stage = 0, update = 0;
  bool refused = false;
};

/// By rollout id: the learner's log-probs of the first tokens.
using MeasuredLogProbs = std::map<std::uint64_t, std::vector<float>>;

/// The lowest and the highest reward, then those that were measured, then others in the order of the batch: `count` at
/// most, each once.
std::vector<const GradedRollout*> shown_rollouts(const Batch& batch, std::size_t count,
                                                 const MeasuredLogProbs& measured);

void show_rollouts(RolloutLog& log, const Batch& batch, const ShownUpdate& update,
                   const MeasuredLogProbs& measured);

}  // namespace troupe
