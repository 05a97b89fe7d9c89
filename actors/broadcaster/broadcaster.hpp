#pragma once
// Holds published versions and hands each generator the newest.
#include "actors/interfaces.hpp"
#include "actors/telemetry/telemetry.hpp"
#include "actors/waiting_line.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <map>

namespace troupe {

struct BroadcasterPlan {
  Deadlines deadlines;
  Telemetry* telemetry = nullptr;
  bool for_generators =
      true;  // what is published goes into the lineage; false: of a supervised stage
};

struct BroadcasterState {
  static inline const char* name = "broadcaster";
  void serve();

  BroadcasterPlan plan;
  Weights newest;
  WaitingLine<Weights, PolicyVersion> generators;
  ActivityLog* activity = nullptr;
};

Broadcaster::behavior_type broadcaster(Broadcaster::stateful_pointer<BroadcasterState> self,
                                       BroadcasterPlan plan);

}  // namespace troupe
