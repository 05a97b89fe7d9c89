#include "actors/conductor/conductor.hpp"

#include "actors/conductor/cast.hpp"
#include "actors/director/learner_plans.hpp"
#include "actors/errors.hpp"
#include "actors/learner/learner.hpp"
#include "actors/link/learner_stand_in.hpp"

#include <algorithm>
#include <caf/send.hpp>
#include <exception>
#include <map>
#include <optional>
#include <utility>

namespace troupe {
namespace {

/// The conductor's work. Sequential: it waits for messages in one place, `wait`.
class Conduction {
 public:
  Conduction(caf::blocking_actor* self, const ConductorPlan& plan, const Director& director)
      : self_(self), plan_(plan), director_(director), pulse_(plan.telemetry->pulse("conductor")) {}
  ~Conduction() { pulse_.ends(); }
  Conduction(const Conduction&) = delete;
  void run();

 private:
  const Config& config() const { return *plan_.config; }
  Deadlines deadlines() const { return deadlines_of(*plan_.config); }
  bool learner_apart() const { return plan_.office != nullptr && config().network.learner_apart(); }
  void spawn_learner();
  void wait_for_study();
  void enlist_learner(const Enlistment& enlistment);
  void begin(std::uint32_t stage);
  void tell(StageEnd end);
  void run_stage(std::uint32_t index);
  void run_supervised(std::size_t index, StageRecord& record);
  void run_rollouts(std::size_t index, StageRecord& record);
  void account(StageRecord& record, const LearnerOutcome& outcome, const Cast& cast);
  LearnerOutcome wait_for_learner(Cast* cast);
  void wait(Cast* cast);
  bool ranks_awaited() const;
  void check_stall(const Cast* cast);
  std::string missing_role(const Cast& cast) const;
  void check_company(const Cast& cast);
  void stop();
  void down(const caf::down_msg& message, Cast* cast);
  void strike(const Enlistment& gone);
  void begin_learner(LearnerPlan plan);
  void add_times(StageRecord& record, const std::vector<std::string>& actors);
  void fail(const std::string& why);

  caf::blocking_actor* self_;
  const ConductorPlan& plan_;
  const Director director_;
  Pulse& pulse_;  // rests while it waits for messages
  Learner learner_;
  std::string learner_name_ = "learner";  // of its activity: another process has its own
  std::uint64_t learner_lease_ = 0;       // of its stay, in another process
  bool learner_alive_ = false, learner_begun_ = false, stopping_ = false, over_ = false;
  std::string failure_;                     // nothing begins any more
  Weights newest_;                          // empty: those the run began with
  std::optional<std::uint32_t> next_, on_;  // stages
  std::map<std::uint32_t, StageEnd> ends_;  // of each stage that is over; without weights
  std::optional<LearnerOutcome> ended_;
  std::map<std::string, Enlistment> enlisted_;  // of other processes, by name
  double complete_at_ = 0;  // seconds since the start: when there last was all that a stage needs
};

void Conduction::fail(const std::string& why) {
  if (failure_.empty()) failure_ = why;
}

void Conduction::spawn_learner() {
  learner_ = self_->spawn<caf::detached>(
      learner, learner_setup(config(), *plan_.materials, plan_.backends, *plan_.telemetry),
      caf::actor_cast<Conductor>(caf::actor_cast<caf::strong_actor_ptr>(self_)));
  self_->monitor(learner_);
  learner_alive_ = true;
}

/// A learner in another process: nothing begins without it.
void Conduction::wait_for_study() {
  const double begin = plan_.telemetry->seconds_since_start();
  while (!learner_alive_ && failure_.empty() && !stopping_) {
    wait(nullptr);
    if (!learner_alive_ &&
        plan_.telemetry->seconds_since_start() - begin > config().network.join_deadline_seconds)
      fail("no learner has joined within " +
           std::to_string(static_cast<int>(config().network.join_deadline_seconds)) +
           " s (network.join-deadline-seconds)");
  }
}

/// From its first stage on it stays the learner of the run: its state is nowhere else. Before that one that joins anew takes the
/// place of one that is gone.
void Conduction::enlist_learner(const Enlistment& enlistment) {
  if (learner_ && (learner_begun_ || enlistment.lease == learner_lease_)) return;
  if (learner_) {
    self_->demonitor(learner_.address());
    self_->send_exit(learner_, caf::exit_reason::user_shutdown);
  }
  learner_lease_ = enlistment.lease;
  learner_name_ = enlistment.name;
  const caf::actor stand_in =
      self_->spawn(learner_stand_in,
                   LearnerStandInPlan{enlistment.name, enlistment.lease, enlistment.learner,
                                      deadlines(), plan_.telemetry},
                   caf::actor_cast<Conductor>(caf::actor_cast<caf::strong_actor_ptr>(self_)));
  learner_ = caf::actor_cast<Learner>(stand_in);
  self_->monitor(learner_);
  learner_alive_ = true;
}

void Conduction::run() {
  if (plan_.office != nullptr) plan_.office->attend(caf::actor_cast<caf::actor>(self_));
  if (!learner_apart()) spawn_learner();
  while (!over_) {
    wait(nullptr);
    if (next_ && !over_) run_stage(*std::exchange(next_, std::nullopt));
  }
  if (learner_alive_) self_->send_exit(learner_, caf::exit_reason::user_shutdown);
}

void Conduction::tell(StageEnd end) {
  end.weights = newest_;
  self_->send(director_, ended_atom::value, std::make_shared<const StageEnd>(std::move(end)));
}

/// The director may ask again, when it is not sure to have been heard.
void Conduction::begin(std::uint32_t stage) {
  const auto known = ends_.find(stage);
  if (known != ends_.end()) return tell(known->second);
  if (on_ != stage) next_ = stage;
}

void Conduction::run_stage(std::uint32_t index) {
  on_ = index;
  StageEnd end;
  end.stage = index;
  end.record.kind = config().stages.at(index).kind;
  end.record.name = config().stages.at(index).name;
  const double begin = plan_.telemetry->seconds_since_start();
  try {
    if (learner_apart()) wait_for_study();
    if (failure_.empty() && !stopping_ && end.record.kind == "rl")
      run_rollouts(index, end.record);
    else if (failure_.empty() && !stopping_)
      run_supervised(index, end.record);
  } catch (const std::exception& error) {  // what was trained is saved all the same
    fail(error.what());
  }
  if (end.record.wall_seconds == 0)
    end.record.wall_seconds = plan_.telemetry->seconds_since_start() - begin;
  end.failure = failure_;
  on_.reset();
  ends_[index] = end;
  tell(std::move(end));
}

void Conduction::begin_learner(LearnerPlan plan) {
  learner_begun_ = true;
  caf::anon_send(learner_, begin_atom::value, std::make_shared<const LearnerPlan>(std::move(plan)));
}

void Conduction::run_supervised(std::size_t index, StageRecord& record) {
  plan_.telemetry->mark(learner_name_);
  begin_learner(supervised_plan(config(), *plan_.materials, plan_.backends, index));
  const LearnerOutcome outcome = wait_for_learner(nullptr);
  record.updates = outcome.updates;
  record.refused_updates = outcome.refused_updates;
  record.loss = outcome.loss;
  record.gate_share = outcome.gate_share;
  add_times(record, {learner_name_});
}

void Conduction::run_rollouts(std::size_t index, StageRecord& record) {
  Cast cast(self_, plan_, index, newest_ ? newest_.version() : 0);
  for (const auto& [name, enlistment] : enlisted_) cast.enlist(enlistment);
  complete_at_ = plan_.telemetry->seconds_since_start();
  std::vector<std::string> names = cast.names();
  names.push_back(learner_name_);
  for (const std::string& name : names) plan_.telemetry->mark(name);
  const double begin = plan_.telemetry->seconds_since_start();
  begin_learner(rollout_plan(config(), index, cast.buffer(), cast.broadcaster()));
  const LearnerOutcome outcome = wait_for_learner(&cast);
  record.wall_seconds = plan_.telemetry->seconds_since_start() - begin;
  names = cast.names();
  names.push_back(learner_name_);
  record.ledger = cast.dismiss("stage_over");
  add_times(record, names);
  plan_.telemetry->record(record.ledger);
  account(record, outcome, cast);
}

void Conduction::account(StageRecord& record, const LearnerOutcome& outcome, const Cast& cast) {
  record.updates = outcome.updates;
  record.refused_updates = outcome.refused_updates;
  record.log_prob_gap_mean = outcome.gap.mean();
  record.log_prob_gap_max = outcome.gap.max;
  double generator_busy = 0;
  for (const auto& [name, time] : record.actors)
    if (cast.is_generator(name)) generator_busy += time.busy_seconds;
  const double learner_busy = record.actors[learner_name_].busy_seconds;
  if (generator_busy > 0)
    record.generator_tokens_per_second =
        static_cast<double>(cast.totals().sampled_tokens) / generator_busy;
  if (learner_busy > 0)
    record.learner_tokens_per_second =
        static_cast<double>(record.ledger.trained_tokens) / learner_busy;
  if (cast.totals_complete() && cast.totals().sampled_tokens != record.ledger.generated_tokens)
    fail("the ledger does not balance: generators sampled " +
         std::to_string(cast.totals().sampled_tokens) + " tokens, the ledger knows of " +
         std::to_string(record.ledger.generated_tokens));
}

void Conduction::add_times(StageRecord& record, const std::vector<std::string>& actors) {
  for (const std::string& name : actors) record.actors[name] = plan_.telemetry->spent(name);
}

/// Which role a stage cannot go on without and nobody plays; empty: none.
std::string Conduction::missing_role(const Cast& cast) const {
  if (!cast.has_generators()) return "generator";
  if (!cast.has_verifiers()) return "verifier";
  return config().network.broadcaster_apart() && !cast.has_relays() ? "broadcaster" : "";
}

/// A stage cannot go on without a generator and a verifier; those of other processes are waited for.
void Conduction::check_company(const Cast& cast) {
  const double now = plan_.telemetry->seconds_since_start();
  const std::string missing = missing_role(cast);
  if (missing.empty()) complete_at_ = now;
  const double alone = now - complete_at_;
  if (alone < config().network.join_deadline_seconds) return;
  fail("no " + missing + " has joined for " + std::to_string(static_cast<int>(alone)) +
       " s (network.join-deadline-seconds)");
}

/// A learner's ranks meet within network.join-deadline-seconds, or the learner ends and says who has not come.
bool Conduction::ranks_awaited() const {
  const auto actors = plan_.telemetry->actors();
  return std::any_of(actors.begin(), actors.end(),
                     [](const ActorView& actor) { return actor.phase == kWaitForRanks; });
}

void Conduction::check_stall(const Cast* cast) {
  if (cast != nullptr && plan_.office != nullptr && !missing_role(*cast).empty())
    return check_company(*cast);
  if (!learner_ || ranks_awaited()) return;  // that has a deadline of its own
  if (cast != nullptr) complete_at_ = plan_.telemetry->seconds_since_start();
  const double stalled = plan_.telemetry->seconds_since_progress();
  if (stalled < config().director.stall_deadline_seconds || !failure_.empty()) return;
  fail("nothing has moved for " + std::to_string(static_cast<int>(stalled)) +
       " s (director.stall-deadline-seconds); " + plan_.telemetry->who_does_what());
}

void Conduction::stop() {
  stopping_ = true;
  if (learner_) caf::anon_send(learner_, stop_atom::value);
}

void Conduction::down(const caf::down_msg& message, Cast* cast) {
  if (message.source == learner_.address()) {
    learner_alive_ = false;
    fail("the learner died: " + describe(message.reason) + "; the model saved is that of version " +
         std::to_string(newest_ ? newest_.version() : 0));
  } else if (cast != nullptr) {
    if (const auto gone = cast->gone(message)) strike(*gone);
    const std::string reason = cast->down(message);
    if (!reason.empty()) fail(reason);
  }
}

/// The next stage does not look for it, unless it has joined anew.
void Conduction::strike(const Enlistment& gone) {
  const auto found = enlisted_.find(gone.name);
  if (found != enlisted_.end() && found->second.lease == gone.lease) enlisted_.erase(found);
}

/// The one place where the conductor listens: handles a message, or half a second of silence.
void Conduction::wait(Cast* cast) {
  pulse_.ends();
  self_->receive([&](begin_atom, std::uint32_t stage) { begin(stage); },
                 [&](close_atom, const std::string& reason) {
                   over_ = true;
                   fail(reason);
                 },
                 [&](updated_atom, std::int32_t update, const Weights& weights) {
                   newest_ = weights;
                   self_->send(director_, updated_atom::value, update, weights);
                 },
                 [&](ended_atom, const LearnerOutcome& ended) { ended_ = ended; },
                 [&](enlisted_atom, const Enlistment& enlistment) {
                   if (enlistment.learner) return enlist_learner(enlistment);
                   enlisted_[enlistment.name] = enlistment;
                   if (cast != nullptr) cast->enlist(enlistment);
                 },
                 [&](stop_atom) { stop(); },
                 [&](const caf::down_msg& message) { down(message, cast); },
                 caf::after(std::chrono::milliseconds(500)) >> [] {});
  pulse_.begins(Clock::now());
  if (on_) check_stall(cast);
}

/// Until the learner's stage has ended. After a failure elsewhere the learner is asked to stop, and
/// given a request's deadline to do so.
LearnerOutcome Conduction::wait_for_learner(Cast* cast) {
  while (!ended_ && failure_.empty()) wait(cast);
  if (!ended_ && learner_alive_) {
    caf::anon_send(learner_, stop_atom::value);
    const double until =
        plan_.telemetry->seconds_since_start() + config().director.request_deadline_seconds;
    while (!ended_ && learner_alive_ && plan_.telemetry->seconds_since_start() < until) wait(cast);
  }
  LearnerOutcome outcome = std::exchange(ended_, std::nullopt).value_or(LearnerOutcome{});
  if (outcome.weights) newest_ = outcome.weights;
  if (!outcome.failure.empty()) fail(outcome.failure);
  return outcome;
}

}  // namespace

void conductor(caf::blocking_actor* self, const ConductorPlan& plan, const Director& director) {
  Conduction(self, plan, director).run();
}

}  // namespace troupe
