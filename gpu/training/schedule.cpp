#include "gpu/training/policy_update.hpp"

#include <algorithm>

namespace troupe::gpu {

float Schedule::at(std::int32_t update) const {
  const double warm = warmup > 0 ? std::min(1.0, static_cast<double>(update) / warmup) : 1.0;
  const double progress = updates > 0 ? std::min(1.0, static_cast<double>(update) / updates) : 0.0;
  return static_cast<float>(warm * (peak + (static_cast<double>(final) - peak) * progress));
}

}  // namespace troupe::gpu
