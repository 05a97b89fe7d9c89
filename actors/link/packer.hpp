#pragma once
// Packs versions for other processes, off the loop: digests and copies of a large model take seconds, in which it keeps
// one thread of the actor system busy.
#include "actors/interfaces.hpp"
#include "actors/link/shipment.hpp"
#include "actors/telemetry/telemetry.hpp"

#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/stateful_actor.hpp>
#include <optional>

namespace troupe {

using pack_atom = caf::atom_constant<caf::atom("pack")>;
using forget_atom = caf::atom_constant<caf::atom("forget")>;

/// What a packer is asked for.
struct PackingOrder {
  std::string who;
  std::uint64_t at_least = 0;
  ShipmentWish wish;
};

struct PackerState {
  static inline const char* name = "packer";
  std::optional<Packing> packing;
  caf::actor self;  // the dispatch holds its address only
};

/// Ends with the broadcaster. Answers
///   pack PackingOrder, deadline -> Shipment   the newest version, if it is at least that; empty: none yet, ask again
///   forget                                    nobody is served any more
caf::behavior packer(caf::stateful_actor<PackerState>* self, Broadcaster from, WeightTerms terms,
                     Telemetry* telemetry);

}  // namespace troupe

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::PackingOrder)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::Shipment)
