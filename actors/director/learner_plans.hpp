#pragma once
// From config and materials to what a learner is made of and does in a stage, wherever its process runs.
#include "actors/config/config.hpp"
#include "actors/director/backends.hpp"
#include "actors/director/materials.hpp"
#include "actors/learner/learner.hpp"

#include <cstddef>

namespace troupe {

LearnerSetup learner_setup(const Config& config, const Materials& materials,
                           const Backends& backends, Telemetry& telemetry);
/// Of the pretrain or sft stage with this index.
LearnerPlan supervised_plan(const Config& config, const Materials& materials,
                            const Backends& backends, std::size_t stage);
/// Of the rl stage with this index.
LearnerPlan rollout_plan(const Config& config, std::size_t stage, const ReplayBuffer& buffer,
                         const Broadcaster& broadcaster);

}  // namespace troupe
