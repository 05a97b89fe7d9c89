#pragma once
// Which policy the ratio is taken against, and the weight that corrects for the one that sampled.
#include "gpu/training/policy_update.hpp"

namespace troupe::gpu {

/// Log-probs of one token, nats. `proximal`: under the weights before the batch's first optimizer
/// step.
struct TokenLogProbs {
  double current = 0, behaviour = 0, proximal = 0;
};

struct Importance {
  double old_log_prob = 0;  // the ratio's denominator
  double weight = 1;        // of the token's whole term; constant for the gradient
};

/// ppo: against the behaviour policy, weight 1. decoupled: against the proximal one, weight
/// min(proximal / behaviour, cap). none: against the proximal one, the behaviour policy is ignored.
/// Sources: arXiv:1707.06347; decoupled PPO arXiv:2110.00641, truncated as in AReaL,
/// arXiv:2505.24298.
Importance importance(Correction correction, const TokenLogProbs& token, double cap);

}  // namespace troupe::gpu
