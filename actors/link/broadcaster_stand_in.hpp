#pragma once
// Stands in for a broadcaster of another process: asks this process's broadcaster on its behalf, and ends with it.
#include "actors/interfaces.hpp"
#include "actors/link/seats.hpp"

#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>
#include <memory>

namespace troupe {

struct BroadcasterStandInPlan {
  CallSheet sheet;
  std::shared_ptr<BroadcasterSeat> seat;
};

struct BroadcasterStandInState {
  static inline const char* name = "broadcaster-stand-in";
};

/// Hears, from the link, `lost reason`: a broadcaster holds nothing that could not be fetched again, so a lost link ends
/// it, and the process joins as a new one.
caf::behavior broadcaster_stand_in(caf::stateful_actor<BroadcasterStandInState>* self,
                                   const BroadcasterStandInPlan& plan,
                                   const Broadcaster& broadcaster);

}  // namespace troupe
