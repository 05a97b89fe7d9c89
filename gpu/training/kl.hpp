#pragma once

namespace troupe::gpu {

struct KlTerm {
  double value = 0;       // nats, never negative
  double derivative = 0;  // d value / d log_prob
};

/// The k3 estimate of KL(current || reference) from a token of the current policy: e^d - d - 1 with
/// d = reference_log_prob - log_prob. Swap the arguments for tokens of the other policy.
/// Source: Schulman, "Approximating KL divergence", 2020; used by GRPO, arXiv:2402.03300, eq. 4.
KlTerm k3(double log_prob, double reference_log_prob);

}  // namespace troupe::gpu
