#pragma once
// What a token's term is divided by. With several minibatches each takes an equal share of the
// batch's total, so that a minibatch of longer rollouts weighs more, as in one step.
#include "gpu/training/policy_update.hpp"

#include <cstddef>

namespace troupe::gpu {

/// Totals of a whole batch.
struct BatchSize {
  std::size_t tokens = 0;  // completion tokens
  std::size_t rollouts = 0;
  std::size_t minibatches = 1;  // optimizer steps
};

/// Factor of every token of a rollout with `completion_tokens` of them.
/// token: 1 / tokens of the batch (DAPO, arXiv:2503.14476). sequence: mean within the rollout, then
/// over rollouts (GRPO, arXiv:2402.03300). constant: 1 / (max_completion_tokens * rollouts) (Dr.
/// GRPO, arXiv:2503.20783).
double token_factor(Normaliser normaliser, const BatchSize& batch, std::size_t completion_tokens,
                    std::size_t max_completion_tokens);

}  // namespace troupe::gpu
