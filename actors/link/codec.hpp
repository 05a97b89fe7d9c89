#pragma once
// The lists of roles.capnp and the values that actors exchange. Whatever a peer sent is checked here, before any
// actor sees it.
#include "actors/interfaces.hpp"
#include "messages/wire/roles.capnp.h"

#include <capnp/list.h>

namespace troupe {

/// Copies each message into its own words. Errors: throws kj::Exception if one breaks what its schema REQUIRES.
Tickets read_tickets(capnp::List<wire::Ticket>::Reader list);
Rollouts read_rollouts(capnp::List<wire::Rollout>::Reader list);
GradedRollouts read_graded(capnp::List<wire::GradedRollout>::Reader list);
RolloutIds read_ids(capnp::List<std::uint64_t>::Reader list);
RolloutNotices read_notices(capnp::List<wire::RolloutNotice>::Reader list);

/// REQUIRES: the list has the size of the vector.
void write(const Tickets& tickets, capnp::List<wire::Ticket>::Builder list);
void write(const Rollouts& rollouts, capnp::List<wire::Rollout>::Builder list);
void write(const GradedRollouts& graded, capnp::List<wire::GradedRollout>::Builder list);
void write(const RolloutIds& ids, capnp::List<std::uint64_t>::Builder list);
void write(const RolloutNotices& notices, capnp::List<wire::RolloutNotice>::Builder list);

}  // namespace troupe
