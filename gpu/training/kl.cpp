#include "gpu/training/kl.hpp"

#include <cmath>

namespace troupe::gpu {

KlTerm k3(double log_prob, double reference_log_prob) {
  const double difference = reference_log_prob - log_prob, excess = std::expm1(difference);
  return {excess - difference, -excess};
}

}  // namespace troupe::gpu
