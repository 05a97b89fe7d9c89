#pragma once
// The clipped policy-gradient term of one token.

namespace troupe::gpu {

enum class Clip { none, low, high, dual };

struct PolicyTerm {
  double objective = 0;   // to be maximised
  double derivative = 0;  // d objective / d log_prob
  Clip clip = Clip::none;
};

struct ClipBounds {
  double low = 0.2, high = 0.28;  // ratio kept in [1 - low, 1 + high]
  double dual = 3.0;              // bound of the ratio where the advantage is negative; 0: off
};

/// min(r A, clip(r) A) with r = exp(log_prob - old_log_prob), and at least dual * A where A < 0.
///
/// Units: log-probs in nats. A bound that is met exactly does not clip.
/// Sources: PPO, arXiv:1707.06347, eq. 7; asymmetric bounds: DAPO, arXiv:2503.14476; dual clip:
/// arXiv:1912.09729, eq. 5.
PolicyTerm clipped_policy_term(double log_prob, double old_log_prob, double advantage,
                               const ClipBounds& bounds);

}  // namespace troupe::gpu
