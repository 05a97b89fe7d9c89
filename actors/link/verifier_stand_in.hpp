#pragma once
// Stands in for a verifier of another process: what it is lent by generators is lent to this actor, so that its end
// gives back what the process had.
#include "actors/interfaces.hpp"
#include "actors/link/seats.hpp"
#include "actors/telemetry/telemetry.hpp"

#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>
#include <map>
#include <memory>
#include <string>

namespace troupe {

struct VerifierStandInPlan {
  std::string name;
  CallSheet sheet;
  std::shared_ptr<VerifierSeat> seat;
  Telemetry* telemetry = nullptr;
};

/// Its messages are those of Verifier (interfaces.hpp), and from the link `lost reason`, or `leave` of a process that
/// goes for good. A verifier holds nothing that
/// another could not do: a lost link ends it, and the process joins as a new one.
class VerifierStandInState {
 public:
  static inline const char* name = "verifier-stand-in";
  using Self = caf::stateful_actor<VerifierStandInState>*;

  void begin(Self self, VerifierStandInPlan plan, const ReplayBuffer& buffer);
  void join(const std::string& generator_name, const Generator& generator);
  void lost(const std::string& reason);

 private:
  void settle(const caf::expected<caf::unit_t>& result);

  Self self_ = nullptr;
  VerifierStandInPlan plan_;
};

/// Cast its handle to Verifier with caf::actor_cast.
caf::behavior verifier_stand_in(VerifierStandInState::Self self, VerifierStandInPlan plan,
                                ReplayBuffer buffer);

}  // namespace troupe
