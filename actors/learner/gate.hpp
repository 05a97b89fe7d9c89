#pragma once
// The gate of a pretrain stage: has the model got the skill that RL will build on?
#include "gpu/sampling/engine.hpp"
#include "gpu/training/policy_update.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace troupe {

/// Documents to probe with, of one kind each; tokens from `first_checked` on must be the argmax.
struct ProbeDocument {
  std::vector<std::int32_t> tokens;
  std::int32_t first_checked = 1;
};
struct GatePlan {
  std::vector<std::vector<ProbeDocument>> kinds;  // e.g. one per number of digits
  double share = 0.93;                            // to be reached by the worst kind
  std::int32_t every = 100;   // updates between probes, from the stage's `updates` on
  std::int32_t limit = 6000;  // updates after which the stage fails
  std::function<std::unique_ptr<gpu::Engine>()> engine;
};

/// Share of documents in which, teacher-forced, every checked token is the argmax. Minimum over the
/// kinds. engine: at least one slot, capacity for the longest document. Source: recipe.md
/// section 3.
double probed_share(gpu::Engine& engine, const std::vector<std::vector<ProbeDocument>>& kinds);

}  // namespace troupe
