#include "gpu/training/advantage.hpp"

#include <cmath>

namespace troupe::gpu {

std::vector<double> grpo_advantages(RewardGroups groups) {
  std::vector<double> result;
  for (const std::vector<float>& rewards : groups) {
    const double centre = mean(rewards);
    double variance = 0;
    for (const float reward : rewards) variance += (reward - centre) * (reward - centre);
    const double spread = std::sqrt(variance / static_cast<double>(rewards.size()));
    for (const float reward : rewards) result.push_back((reward - centre) / (spread + 1e-4));
  }
  return result;
}

}  // namespace troupe::gpu
