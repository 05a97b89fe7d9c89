#pragma once
// Replay buffer and generators as a verifier of another process sees them. A lost link ends what is under way: the
// verifier is cast anew after the rejoin, and what it held is graded again.
#include "actors/link/ways.hpp"

#include <caf/event_based_actor.hpp>
#include <memory>

namespace troupe {

/// Answers append of ReplayBuffer. Cast its handle to ReplayBuffer with caf::actor_cast.
caf::behavior verdict_proxy(caf::event_based_actor* self, std::shared_ptr<VerdictWay> way);

/// Answers take of Generator. Cast its handle to Generator with caf::actor_cast.
caf::behavior rollout_proxy(caf::event_based_actor* self, std::shared_ptr<RolloutWay> way);

}  // namespace troupe
