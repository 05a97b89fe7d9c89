#include "gpu/error.hpp"
#include "gpu/training/policy_update.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace troupe::gpu {

void LogProbGap::add(const LogProbGap& other) {
  sum += other.sum;
  max = std::max(max, other.max);
  tokens += other.tokens;
}

LogProbGap log_prob_gap(TrainingEngine& engine, std::span<const TrainingRollout* const> rollouts,
                        FlatWeights weights, std::vector<float>* learner) {
  std::vector<Sequence> sequences;
  std::vector<float> recorded;
  for (const TrainingRollout* rollout : rollouts) {
    if (rollout->log_probs.size() + static_cast<std::size_t>(rollout->prompt_length) !=
        rollout->tokens.size())
      throw Error("rollout " + std::to_string(rollout->id) +
                  ": its log-probs and completion tokens differ in number");
    sequences.push_back({rollout->tokens, rollout->prompt_length});
    recorded.insert(recorded.end(), rollout->log_probs.begin(), rollout->log_probs.end());
  }
  const std::vector<TokenValue> values = engine.score(sequences, std::move(weights));
  if (learner != nullptr)
    for (const TokenValue& value : values) learner->push_back(value.log_prob);
  LogProbGap gap;
  gap.tokens = values.size();
  for (std::size_t i = 0; i < values.size(); ++i) {
    double distance = std::abs(static_cast<double>(values[i].log_prob) - recorded[i]);
    if (std::isnan(distance)) distance = std::numeric_limits<double>::infinity();
    gap.sum += distance;
    gap.max = std::max(gap.max, distance);
  }
  return gap;
}

}  // namespace troupe::gpu
