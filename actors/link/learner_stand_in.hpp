#pragma once
// Stands in for a learner of another process: to the conductor it is a Learner, to the replay buffer the one who takes
// batches, and it publishes here what was learnt there.
#include "actors/interfaces.hpp"
#include "actors/learner/learner.hpp"
#include "actors/link/learner_codec.hpp"
#include "actors/link/seats.hpp"
#include "actors/link/shown_queue.hpp"
#include "actors/telemetry/telemetry.hpp"

#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>
#include <memory>
#include <optional>
#include <string>
#include <variant>

namespace troupe {

using record_atom = caf::atom_constant<caf::atom("record")>;
using LearnerNews = std::variant<RolloutUpdateRecord, SupervisedRecord>;

struct LearnerStandInPlan {
  std::string name;
  std::uint64_t lease = 0;  // of the stay
  std::shared_ptr<LearnerSeat> seat;
  Deadlines deadlines;
  Telemetry* telemetry = nullptr;
};

/// Its messages are those of Learner (interfaces.hpp), and from the link:
///   take    TrainedReport -> BatchPtr   forwarded; one is under way at a time, whoever asks again replaces the asker
///   settle  TrainedReport -> true       true once it is settled
///   record  sequence, LearnerNews -> true   one that was heard before is not heard again
///   show    number, ShownRollout -> true    likewise, by numbers of their own, which may leave some out
///   ended   cast, RemoteOutcome -> true     the conductor hears of it when the weights have come
///   attached                            the link is there (again)
///   lost    reason                      the seat is given up: the actor ends, and with it the run
class LearnerStandInState {
 public:
  static inline const char* name = "learner-stand-in";
  using Self = caf::stateful_actor<LearnerStandInState>*;

  void begin(Self self, LearnerStandInPlan plan, Conductor conductor);
  void begin_stage(const LearnerPlanPtr& stage);
  void stop();
  caf::result<BatchPtr> take(const TrainedReport& report);
  caf::result<bool> settle(const TrainedReport& report);
  bool record(std::uint64_t sequence, const LearnerNews& news);
  bool show(std::uint64_t number, const ShownRollout& rollout);
  bool ended(std::uint64_t cast, const RemoteOutcome& outcome);
  void attached();
  void lost(const std::string& reason);
  void check();

 private:
  void cast();
  void pull();
  void came(const caf::expected<Weights>& weights);
  void end_stage();

  Self self_ = nullptr;
  LearnerStandInPlan plan_;
  Conductor conductor_;
  LearnerPlanPtr stage_;  // null: none is on
  std::uint64_t stages_ = 0;
  CallSheet sheet_;
  Weights newest_;              // of whatever stage
  std::uint64_t at_least_ = 0;  // the version to be pulled next
  bool pulling_ = false, stopping_ = false;
  std::uint64_t heard_ = 0;        // records of this cast
  std::uint64_t shown_below_ = 0;  // numbers of this cast
  std::optional<RemoteOutcome> outcome_;
  bool taking_ = false;
  std::optional<caf::typed_response_promise<BatchPtr>> asker_;
};

/// Cast its handle to Learner with caf::actor_cast.
caf::behavior learner_stand_in(LearnerStandInState::Self self, LearnerStandInPlan plan,
                               const Conductor& conductor);

}  // namespace troupe

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::LearnerNews)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::RemoteOutcome)
