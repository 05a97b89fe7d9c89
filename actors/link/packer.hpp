#pragma once
// Packs versions for other processes, on a thread of its own: digests and copies of a large model take seconds.
#include "actors/interfaces.hpp"
#include "actors/link/shipment.hpp"
#include "actors/telemetry/telemetry.hpp"

#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/stateful_actor.hpp>
#include <optional>

namespace troupe {

using pack_atom = caf::atom_constant<caf::atom("pack")>;
using forget_atom = caf::atom_constant<caf::atom("forget")>;

/// What a packer is asked for: the newest version of `from`, if it is at least that.
struct PackingOrder {
  Broadcaster from;
  std::string who;
  std::uint64_t at_least = 0;
  ShipmentWish wish;
};

struct PackerState {
  static inline const char* name = "packer";
  std::optional<Packing> packing;
};

/// Answers
///   pack PackingOrder, deadline -> Shipment   empty: none yet, ask again
///   forget                                    nobody is served any more
caf::behavior packer(caf::stateful_actor<PackerState>* self, WeightTerms terms,
                     Telemetry* telemetry);

}  // namespace troupe

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::PackingOrder)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::Shipment)
