#pragma once
// The door of the director's process: generators and verifiers of other processes join here, observers look in.
#include "actors/link/roster.hpp"
#include "actors/link/seats.hpp"
#include "actors/link/weight_terms.hpp"
#include "actors/telemetry/telemetry.hpp"
#include "actors/waiting_line.hpp"
#include "messages/wire/gate.hpp"
#include "messages/wire/limits.hpp"
#include "messages/wire/tls.hpp"

#include <caf/actor.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace troupe {

/// A role in another process, offered to whoever casts. One of the four is there.
struct Enlistment {
  std::string name;
  std::uint64_t lease = 0;  // of this stay; the same stay may be announced twice
  std::shared_ptr<GeneratorSeat> generator;
  std::shared_ptr<VerifierSeat> verifier;
  std::shared_ptr<BroadcasterSeat> broadcaster;
  std::shared_ptr<LearnerSeat> learner;
};

using enlisted_atom = caf::atom_constant<caf::atom("enlisted")>;

struct OfficePlan {
  std::string listen;                 // "host:port"; port 0 takes a free one
  std::optional<wire::TlsFiles> tls;  // none: plain TCP, loopback only
  wire::LinkLimits limits;
  wire::GateTerms terms;
  double lease_seconds = 1;  // a generator's link may be away that long before its seat is given up
  double learner_lease_seconds = 30;    // likewise the learner's, whose end is the end of the run
  std::uint32_t rollouts_at_once = 64;  // per message
  bool broadcaster_apart = false;       // generators get their weights from another process
  std::uint32_t relay_fan_out = 0;      // generators hand weights on to so many each; 0: none does
  bool learner_apart = false;
  caf::actor
      director;  // stands in for that of another process (director_stand_in.hpp); null: it is in this one
  WeightTerms weights;
  Deadlines deadlines;
  Telemetry* telemetry = nullptr;
};

/// Safe from any thread. Owns the loop's thread. Outlives the actors that hold seats; seats outlive it (calls then answer
/// link_lost).
class Office {
 public:
  /// Errors: throws kj::Exception naming address, file and remedy.
  explicit Office(OfficePlan plan);
  ~Office();

  /// The bound address, "host:port".
  const std::string& address() const;
  /// From now on `conductor` hears `enlisted, Enlistment` of everyone who is or comes in.
  void attend(const caf::actor& conductor);
  /// Tells every process that the run is over, and waits until they were told, at most two seconds.
  void dismiss(const std::string& reason);

 private:
  struct Link;
  std::shared_ptr<Link> link_;
  friend class LinkedSeat;
};

}  // namespace troupe

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::Enlistment)
