#pragma once
// The values of rollout.capnp.
#include "messages/message.hpp"
#include "messages/rollout.capnp.h"

#include <cstdint>
#include <vector>

namespace troupe {

namespace wire {
/// What each schema REQUIRES. Errors: throws kj::Exception.
void validate(PartialRollout::Reader part);
void validate(Ticket::Reader ticket);
void validate(Rollout::Reader rollout);
void validate(Verdict::Reader verdict);
}  // namespace wire

using PartialRollout = Message<wire::PartialRollout>;
using Ticket = Message<wire::Ticket>;
using Rollout = Message<wire::Rollout>;
using Verdict = Message<wire::Verdict>;

/// A rollout and what the verifier said of it. REQUIRES: verdict.rollout == rollout.id.
struct GradedRollout {
  Rollout rollout;
  Verdict verdict;
};

using PolicyVersion = std::uint64_t;
using Tickets = std::vector<Ticket>;
using Rollouts = std::vector<Rollout>;
using GradedRollouts = std::vector<GradedRollout>;
using RolloutIds = std::vector<std::uint64_t>;  // of deliveries, see delivery_id

std::vector<std::int32_t> tokens_of(capnp::List<std::int32_t>::Reader tokens);

/// Rollout.id: the same for every attempt at it, on every host.
std::uint64_t rollout_id(std::uint64_t prompt_uid, std::uint64_t ticket, std::uint32_t index);
/// Tells the attempts at a rollout apart: what is acknowledged on the way to the replay buffer.
std::uint64_t delivery_id(wire::Rollout::Reader rollout);

}  // namespace troupe
