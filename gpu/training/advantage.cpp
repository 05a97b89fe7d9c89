#include "gpu/training/advantage.hpp"

#include <algorithm>

namespace troupe::gpu {

std::vector<double> advantages(AdvantageKind kind, RewardGroups groups) {
  switch (kind) {
    case AdvantageKind::grpo:
      return grpo_advantages(groups);
    case AdvantageKind::dr_grpo:
      return dr_grpo_advantages(groups);
    case AdvantageKind::batch:
      return batch_advantages(groups);
  }
  __builtin_unreachable();
}

double mean(std::span<const float> values) {
  double sum = 0;
  for (const float value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

bool has_signal(std::span<const float> rewards) {
  if (rewards.empty()) return false;
  const auto [lowest, highest] = std::minmax_element(rewards.begin(), rewards.end());
  return *highest - *lowest > 1e-6f;
}

}  // namespace troupe::gpu
