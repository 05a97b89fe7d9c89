#pragma once
// How much better than its peers each rollout was. One file per kind: advantage_<kind>.cpp.
#include "gpu/training/policy_update.hpp"

#include <span>
#include <vector>

namespace troupe::gpu {

/// Rewards of one group each.
using RewardGroups = std::span<const std::vector<float>>;

/// One advantage per rollout, group by group. Dimensionless; a group without signal gets zeros.
std::vector<double> advantages(AdvantageKind kind, RewardGroups groups);

/// (r - mean) / (population std + 1e-4) within the group. Source: GRPO, arXiv:2402.03300,
/// section 4.1.
std::vector<double> grpo_advantages(RewardGroups groups);
/// r - mean within the group: dividing by the std would favour groups that are easy or hopeless.
/// Source: Dr. GRPO, arXiv:2503.20783, section 3.
std::vector<double> dr_grpo_advantages(RewardGroups groups);
/// r - mean within the group, divided by (std over the batch + 1e-4), n - 1 in the denominator.
/// Source: REINFORCE++, arXiv:2501.03262, with the group's mean as baseline.
std::vector<double> batch_advantages(RewardGroups groups);

double mean(std::span<const float> values);

}  // namespace troupe::gpu
