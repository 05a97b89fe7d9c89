#pragma once
// Carries versions from one broadcaster to another.
#include "actors/interfaces.hpp"
#include "actors/waiting_line.hpp"

#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>

namespace troupe {

struct ForwarderState {
  static inline const char* name = "forwarder";
  void ask();

  caf::event_based_actor* self = nullptr;
  Broadcaster from, to;
  Deadlines deadlines;
  std::uint64_t at_least = 0;  // held version + 1
};

/// Takes each newest version of `from` and publishes it in `to`, for ever; `first`: older ones are of no use.
caf::behavior forwarder(caf::stateful_actor<ForwarderState>* self, const Broadcaster& from,
                        const Broadcaster& to, PolicyVersion first, Deadlines deadlines);

}  // namespace troupe
