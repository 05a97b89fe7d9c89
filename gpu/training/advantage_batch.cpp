#include "gpu/training/advantage.hpp"

#include <cmath>

namespace troupe::gpu {

std::vector<double> batch_advantages(RewardGroups groups) {
  std::vector<double> result = dr_grpo_advantages(groups);  // their mean over the batch is 0
  if (result.size() < 2) return result;
  double variance = 0;
  for (const double advantage : result) variance += advantage * advantage;
  const double spread = std::sqrt(variance / static_cast<double>(result.size() - 1));
  for (double& advantage : result) advantage /= spread + 1e-4;
  return result;
}

}  // namespace troupe::gpu
