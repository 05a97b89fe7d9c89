#pragma once
// Stands in for a generator of another process: to verifiers and the director it is a Generator, to the replay buffer
// the holder of its tickets.
#include "actors/generator/lending.hpp"
#include "actors/interfaces.hpp"
#include "actors/link/granted.hpp"
#include "actors/link/seats.hpp"
#include "actors/telemetry/telemetry.hpp"

#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>
#include <memory>
#include <optional>
#include <string>

namespace troupe {

struct GeneratorStandInPlan {
  std::string name;
  CallSheet sheet;
  std::shared_ptr<GeneratorSeat> seat;
  std::uint32_t rollouts_at_once = 64;  // per message from the process
  std::size_t outbox_limit = 1024;      // rollouts held here; beyond it none are taken
  Deadlines deadlines;
  Telemetry* telemetry = nullptr;
  std::uint32_t tickets_at_once = 4096;  // per message to it: a peer chooses how many it asks for
};

/// Its messages are those of Generator (interfaces.hpp), and from the link:
///   grant    sequence, count -> Tickets   the same sequence again gives the same tickets
///   notice   RolloutNotices -> true       forwarded; those of tickets that others hold are dropped and counted
///   attached                              the link is there (again)
///   leave -> true                         the process samples no more, and its notices have handed over what was
///                                         unfinished; true once all it had finished is here
///   lost     reason                       the seat is given up: the actor ends, its tickets are issued again. After
///                                         `leave` it stays until verifiers have brought home what it holds, and
///                                         ends normally
class GeneratorStandInState {
 public:
  static inline const char* name = "generator-stand-in";
  using Self = caf::stateful_actor<GeneratorStandInState>*;

  void begin(Self self, GeneratorStandInPlan plan, ReplayBuffer buffer, Broadcaster broadcaster);
  caf::result<Tickets> grant(std::uint64_t sequence, std::uint32_t count);
  caf::result<bool> notice(const RolloutNotices& notices);
  void attached();
  caf::result<bool> leave();
  void lost(const std::string& reason);
  caf::result<Rollouts> take(std::uint32_t count, const RolloutIds& acknowledged);
  caf::result<GeneratorTotals> stop();
  void verifier_down(const caf::actor_addr& verifier);
  void check();

 private:
  void pull();
  void pulled(const caf::expected<Rollouts>& rollouts, const RolloutIds& sent);
  void refuse(const char* what);
  void end_when_empty();
  std::string holder() const;

  Self self_ = nullptr;
  GeneratorStandInPlan plan_;
  ReplayBuffer buffer_;
  Lending lending_;
  Granted granted_;
  RolloutIds acknowledged_;  // arrived here: to tell the process with the next pull
  bool attached_ = false, pulling_ = false, stopping_ = false;
  bool emptied_ = false;  // the process has left, and holds nothing any more
  std::optional<caf::typed_response_promise<bool>> leaver_;
  std::uint64_t handed_over_ = 0, handed_over_tokens_ = 0;  // unfinished rollouts
  // The newest grant: its answer is kept, since it may have been lost with the link.
  std::uint64_t sequence_ = 0;
  bool granting_ = false;
  std::optional<Tickets> answered_;
  std::optional<caf::typed_response_promise<Tickets>> asker_;
};

/// Cast its handle to Generator with caf::actor_cast.
caf::behavior generator_stand_in(GeneratorStandInState::Self self, GeneratorStandInPlan plan,
                                 ReplayBuffer buffer, Broadcaster broadcaster);

}  // namespace troupe
