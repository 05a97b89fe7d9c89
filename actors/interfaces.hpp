#pragma once
// The whole cast on one page: who answers what. A message that is not here does not exist.
//
//   replay  --tickets--> generator --rollouts--> verifier --graded--> replay --batches--> learner
//   buffer                   ^                                        buffer                 |
//                            +------ weights ------ broadcaster <------ new version ---------+
//
// Every edge is pulled: the consumer asks for n, the producer answers when it can, or with nothing
// after a while so that no request outlives its deadline. Each actor monitors those it works for.
#include "actors/replay_buffer/batch.hpp"
#include "actors/replay_buffer/ledger.hpp"
#include "actors/telemetry/records.hpp"
#include "gpu/training/policy_update.hpp"
#include "messages/rollout.hpp"
#include "messages/weights.hpp"

#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/atom.hpp>
#include <caf/replies_to.hpp>
#include <caf/typed_actor.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

using grant_atom = caf::atom_constant<caf::atom("grant")>;
using notice_atom = caf::atom_constant<caf::atom("notice")>;
using append_atom = caf::atom_constant<caf::atom("append")>;
using take_atom = caf::atom_constant<caf::atom("take")>;
using settle_atom = caf::atom_constant<caf::atom("settle")>;
using ledger_atom = caf::atom_constant<caf::atom("ledger")>;
using close_atom = caf::atom_constant<caf::atom("close")>;
using step_atom = caf::atom_constant<caf::atom("step")>;
using check_atom = caf::atom_constant<caf::atom("check")>;
using join_atom = caf::atom_constant<caf::atom("join")>;
using publish_atom = caf::atom_constant<caf::atom("publish")>;
using prepare_atom = caf::atom_constant<caf::atom("prepare")>;
using begin_atom = caf::atom_constant<caf::atom("begin")>;
using stop_atom = caf::atom_constant<caf::atom("stop")>;
using hand_over_atom = caf::atom_constant<caf::atom("hand_over")>;
using evaluate_atom = caf::atom_constant<caf::atom("evaluate")>;
using evaluated_atom = caf::atom_constant<caf::atom("evaluated")>;
using updated_atom = caf::atom_constant<caf::atom("updated")>;
using ended_atom = caf::atom_constant<caf::atom("ended")>;

/// What became of the batch the learner had.
struct TrainedReport {
  PolicyVersion version = 0;  // the newest published version: the next batch is trained at it
  bool had_batch = false;
  std::uint64_t batch = 0;
  std::string refused;  // why the batch was not trained; empty: it was
};
using BatchPtr = std::shared_ptr<const Batch>;  // null: none yet, ask again

struct GeneratorTotals {
  std::uint64_t sampled_tokens = 0, prompt_tokens = 0, rollouts = 0;
  std::uint64_t held = 0;  // finished rollouts that no verifier has taken yet
};

struct ReadyWeights;    // actors/generator/preparer.hpp
struct LearnerPlan;     // actors/learner/learner.hpp
struct EvaluationPlan;  // actors/evaluator/evaluate.hpp
struct EvaluationResult;

/// How a stage ended in the learner, with the newest weights.
struct LearnerOutcome {
  Weights weights;
  std::int32_t updates = 0, refused_updates = 0;
  gpu::LogProbGap gap;               // over the rollouts measured in the stage
  double loss = 0;                   // supervised: of the last update, nats per target token
  std::optional<double> gate_share;  // supervised: as last probed
  std::string failure;               // empty: all updates made, or stopped when asked
  bool stopped = false;
};

/// Holds the ledger, and finished rollouts until the learner takes a batch.
///   grant  holder, count -> Tickets    answers once at least one ticket may be granted;
///                                      empty: none yet, ask again
///   notice RolloutNotices              what the sender finished, gave up or handed over
///   append GradedRollouts -> ids       stores them (each counted once) and acknowledges
///   take   TrainedReport -> BatchPtr   settles the batch before, answers when the next is ready.
///                                      Errors: already_waiting, stage_over
///   settle TrainedReport               settles the batch before, asks for no other
///   ledger -> LedgerRecord             the newest figures
///   close  reason -> LedgerRecord      the stage is over: drops what is left, answers who waits
///                                      with nothing
///   check                              to itself, periodically: deadlines
using ReplayBuffer = caf::typed_actor<
    caf::replies_to<grant_atom, std::string, std::uint32_t>::with<Tickets>,
    caf::reacts_to<notice_atom, RolloutNotices>,
    caf::replies_to<append_atom, GradedRollouts>::with<RolloutIds>,
    caf::replies_to<take_atom, TrainedReport>::with<BatchPtr>,
    caf::reacts_to<settle_atom, TrainedReport>, caf::replies_to<ledger_atom>::with<LedgerRecord>,
    caf::replies_to<close_atom, std::string>::with<LedgerRecord>, caf::reacts_to<check_atom>>;

/// Samples completions with continuous batching. Detached: a thread of its own.
///   take   count, acknowledged ids -> Rollouts   for verifiers; keeps each rollout until it is
///                                                acknowledged; empty: none yet, ask again
///   stop   -> GeneratorTotals                    gives up what is unfinished, and says so to the
///                                                ledger
///   hand_over -> GeneratorTotals                 stops, and gives the ledger what there is of the
///                                                unfinished, so that another goes on from there
///   step                                         to itself: one decode step
///   check                                        to itself: answers verifiers that wait, before
///                                                their deadline
using Generator =
    caf::typed_actor<caf::replies_to<take_atom, std::uint32_t, RolloutIds>::with<Rollouts>,
                     caf::replies_to<stop_atom>::with<GeneratorTotals>,
                     caf::replies_to<hand_over_atom>::with<GeneratorTotals>,
                     caf::reacts_to<step_atom>, caf::reacts_to<check_atom>>;

/// Gets weights ready for a generator that decodes meanwhile. Detached.
///   prepare Weights -> ReadyWeights   attests them and lays them out for the engine
using Preparer = caf::typed_actor<caf::replies_to<prepare_atom, Weights>::with<ReadyWeights>>;

/// Grades rollouts. Detached.
///   join   name, Generator   works for this generator from now on, until it is gone
using Verifier = caf::typed_actor<caf::reacts_to<join_atom, std::string, Generator>>;

/// Holds published versions.
///   publish Weights                            Errors: version_not_newer
///   take    name, held version + 1 -> Weights  the newest version if it is at least that;
///                                              empty: none yet, ask again
///   check                                      to itself: answers who has waited long
using Broadcaster =
    caf::typed_actor<caf::reacts_to<publish_atom, Weights>,
                     caf::replies_to<take_atom, std::string, std::uint64_t>::with<Weights>,
                     caf::reacts_to<check_atom>>;

/// Owns weights and optimizer. Detached.
///   begin  LearnerPlan   starts a stage; the conductor hears `updated` and, once, `ended`
///   stop                 ends the stage after the update under way
///   step                 to itself: some supervised updates
using LearnerPlanPtr = std::shared_ptr<const LearnerPlan>;
using Learner = caf::typed_actor<caf::reacts_to<begin_atom, LearnerPlanPtr>,
                                 caf::reacts_to<stop_atom>, caf::reacts_to<step_atom>>;

/// Measures published weights on held-out prompts. Detached.
///   evaluate Weights, EvaluationPlanPtr -> EvaluationResultPtr
using EvaluationPlanPtr = std::shared_ptr<const EvaluationPlan>;
using EvaluationResultPtr = std::shared_ptr<const EvaluationResult>;
using Evaluator = caf::typed_actor<
    caf::replies_to<evaluate_atom, Weights, EvaluationPlanPtr>::with<EvaluationResultPtr>>;

/// How a stage ended, without what the director alone knows of it: evaluations.
struct StageEnd {
  std::uint32_t stage = 0;  // index in the config
  StageRecord record;
  std::string failure;  // empty: all updates made, or stopped when asked
  Weights weights;      // the newest; empty: those the run began with
};
using StageEndPtr = std::shared_ptr<const StageEnd>;

/// Casts the roles where the replay buffer is, runs each stage that it is told to, watches and replaces. Detached.
///   begin   stage            runs the stage with this index; the director hears `updated` and `ended`.
///                            The same again: the same end is told again
///   stop                     ends the stage after the update under way
///   close   reason           the run is over: what is under way ends at once, and so does the conductor
///   updated update, Weights  the learner published these
///   ended   LearnerOutcome   the learner's stage is over
using Conductor =
    caf::typed_actor<caf::reacts_to<begin_atom, std::uint32_t>, caf::reacts_to<stop_atom>,
                     caf::reacts_to<close_atom, std::string>,
                     caf::reacts_to<updated_atom, std::int32_t, Weights>,
                     caf::reacts_to<ended_atom, LearnerOutcome>>;

/// Leads the conductor from stage to stage and evaluates between them; never on the data path.
///   updated   update, Weights             these were published
///   ended     StageEndPtr                 the stage is over
///   evaluated EvaluationResultPtr, text   the evaluation asked for; null: it failed, and why
///   stop                                  somebody pressed Ctrl-C
using Director = caf::typed_actor<
    caf::reacts_to<updated_atom, std::int32_t, Weights>, caf::reacts_to<ended_atom, StageEndPtr>,
    caf::reacts_to<evaluated_atom, EvaluationResultPtr, std::string>, caf::reacts_to<stop_atom>>;

}  // namespace troupe

// Nothing here is ever serialised by CAF; between processes Cap'n Proto carries it.
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::Tickets)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::Rollouts)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::GradedRollouts)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::RolloutNotices)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::TrainedReport)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::BatchPtr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::LedgerRecord)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::GeneratorTotals)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::Weights)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::ReadyWeights)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::LearnerPlanPtr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::LearnerOutcome)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::StageEndPtr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::EvaluationPlanPtr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::EvaluationResultPtr)
