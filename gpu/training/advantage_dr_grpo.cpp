#include "gpu/training/advantage.hpp"

namespace troupe::gpu {

std::vector<double> dr_grpo_advantages(RewardGroups groups) {
  std::vector<double> result;
  for (const std::vector<float>& rewards : groups) {
    const double centre = mean(rewards);
    for (const float reward : rewards) result.push_back(reward - centre);
  }
  return result;
}

}  // namespace troupe::gpu
