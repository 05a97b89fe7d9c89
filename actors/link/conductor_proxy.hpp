#pragma once
// The conductor of another process, as the director of this one has it.
#include "actors/interfaces.hpp"
#include "actors/link/news.hpp"
#include "actors/telemetry/telemetry.hpp"

#include <caf/event_based_actor.hpp>
#include <functional>

namespace troupe {

class ChairDesk;

using heard_atom = caf::atom_constant<caf::atom("heard")>;
using over_atom = caf::atom_constant<caf::atom("over")>;

/// Its messages are those of Conductor (interfaces.hpp), and from the link, in the order of what happened:
///   heard   NewsBody            a record, written down here too
///   show    ShownRollout        likewise
///   updated update, Weights     told to the director
///   ended   StageEndPtr         likewise
///   over    failure             the conductor has ended, or is out of reach for good; empty: as it was asked to
caf::behavior conductor_proxy(caf::event_based_actor* self,
                              const std::function<void(std::function<void(ChairDesk&)>)>& post,
                              const Director& director, Telemetry* telemetry);

}  // namespace troupe
