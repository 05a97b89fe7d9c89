#pragma once
// From config and materials to the plan of a rank of a learner whose ranks are processes.
#include "actors/cli/site_plans.hpp"
#include "actors/learner/learner.hpp"
#include "actors/link/rank_circle.hpp"

#include <string>

namespace troupe {

/// With NCCL's library opened where the config may want it. Errors: throws std::runtime_error naming file, reason and
/// remedy if a certificate is not usable, or the name says no rank of the config.
RankCirclePlan rank_circle_plan(const Surroundings& around, const std::string& name);
/// What such a rank computes with.
LearnerSetup rank_setup(const Surroundings& around);

}  // namespace troupe
