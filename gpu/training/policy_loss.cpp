#include "gpu/training/policy_loss.hpp"

#include <cmath>

namespace troupe::gpu {

PolicyTerm clipped_policy_term(double log_prob, double old_log_prob, double advantage,
                               const ClipBounds& bounds) {
  const double ratio = std::exp(log_prob - old_log_prob);
  if (advantage < 0 && bounds.dual > 0 && ratio > bounds.dual)
    return {bounds.dual * advantage, 0.0, Clip::dual};
  if (advantage < 0 && ratio < 1 - bounds.low)
    return {(1 - bounds.low) * advantage, 0.0, Clip::low};
  if (advantage > 0 && ratio > 1 + bounds.high)
    return {(1 + bounds.high) * advantage, 0.0, Clip::high};
  return {ratio * advantage, ratio * advantage, Clip::none};
}

}  // namespace troupe::gpu
