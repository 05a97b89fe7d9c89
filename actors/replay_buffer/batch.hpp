#pragma once
// What one update is made from.
#include "messages/rollout.hpp"

#include <cstdint>
#include <vector>

namespace troupe {

/// The graded rollouts of one prompt, in the order of their index.
struct BatchGroup {
  std::uint64_t ticket = 0;
  GradedRollouts rollouts;
};

/// Over all rollouts of the batch, before groups without signal are dropped.
struct BatchFacts {
  std::uint32_t groups = 0, groups_with_signal = 0;
  std::uint32_t rollouts = 0;
  double reward_mean = 0, pass_rate = 0, format_rate = 0, response_tokens_mean = 0;
};

struct Batch {
  std::uint64_t id = 0;
  PolicyVersion version = 0;       // the one it is to be trained at
  std::vector<BatchGroup> groups;  // with signal, in ticket order; may be empty
  BatchFacts facts;
  std::vector<std::uint64_t> lag_histogram;  // tokens by lag 0, 1, 2, ...
};

}  // namespace troupe
