#include "actors/director/director.hpp"

#include "actors/director/cast.hpp"
#include "actors/director/learner_plans.hpp"
#include "actors/errors.hpp"
#include "actors/evaluator/evaluator.hpp"
#include "actors/learner/learner.hpp"
#include "actors/link/learner_stand_in.hpp"
#include "gpu/model/model_directory.hpp"

#include <algorithm>
#include <atomic>
#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>
#include <exception>
#include <map>
#include <optional>
#include <prometheus/histogram.h>
#include <utility>

namespace troupe {
namespace {

namespace fs = std::filesystem;

/// The director's work. Sequential: it waits for messages in one place, `wait`.
class Direction {
 public:
  Direction(caf::blocking_actor* self, const RunPlan& plan)
      : self_(self), plan_(plan), pulse_(plan.telemetry->pulse("director")) {}
  ~Direction() { pulse_.ends(); }
  Direction(const Direction&) = delete;
  void run();

 private:
  const Config& config() const { return *plan_.config; }
  Deadlines deadlines() const { return deadlines_of(*plan_.config); }
  bool learner_apart() const { return plan_.office != nullptr && config().network.learner_apart(); }
  void spawn_learner();
  void wait_for_study();
  void enlist_learner(const Enlistment& enlistment);
  void spawn_evaluator();
  void run_stage(std::size_t index);
  void run_supervised(std::size_t index, StageRecord& record);
  void run_rollouts(std::size_t index, StageRecord& record);
  LearnerOutcome wait_for_learner(Cast* cast);
  void wait(Cast* cast);
  void check_stall(const Cast* cast);
  std::string missing_role(const Cast& cast) const;
  void check_company(const Cast& cast);
  void check_evaluation();
  void stop();
  void down(const caf::down_msg& message, Cast* cast);
  void ask_evaluator(const Weights& weights, std::int32_t prompts, std::int32_t update);
  void evaluate_during(std::int32_t update, const Weights& weights);
  std::optional<EvaluationResult> evaluate_now(std::int32_t prompts, std::int32_t update);
  void begin_learner(LearnerPlan plan);
  void add_times(StageRecord& record, const std::vector<std::string>& actors);
  void save(const std::string& name);
  void fail(const std::string& why);

  caf::blocking_actor* self_;
  const RunPlan& plan_;
  Pulse& pulse_;  // rests while it waits for messages
  Learner learner_;
  Evaluator evaluator_;
  std::string learner_name_ = "learner";  // of its activity: another process has its own
  bool learner_alive_ = false, evaluating_ = false, interrupted_ = false;
  std::string failure_;
  Weights newest_;
  bool base_saved_ = false;
  std::int32_t last_update_ = 0;  // heard of in the stage
  std::optional<LearnerOutcome> ended_;
  std::optional<EvaluationResult> evaluated_;
  std::map<std::string, Enlistment> enlisted_;  // of other processes, by name
  double complete_at_ =
      0;  // seconds since the start: when there last were a generator and a verifier
  std::shared_ptr<std::atomic<bool>> stop_evaluation_ = std::make_shared<std::atomic<bool>>(false);
};

void Direction::fail(const std::string& why) {
  if (!failure_.empty()) return;
  failure_ = why;
  plan_.telemetry->event("failure", why);
}

void Direction::spawn_learner() {
  if (learner_apart()) return wait_for_study();
  learner_ = self_->spawn<caf::detached>(
      learner, learner_setup(config(), *plan_.materials, plan_.backends, *plan_.telemetry),
      caf::actor_cast<Director>(caf::actor_cast<caf::strong_actor_ptr>(self_)));
  self_->monitor(learner_);
  learner_alive_ = true;
}

/// A learner in another process: nothing begins without it.
void Direction::wait_for_study() {
  const double begin = plan_.telemetry->seconds_since_start();
  while (!learner_alive_ && failure_.empty() && !interrupted_) {
    wait(nullptr);
    if (!learner_alive_ &&
        plan_.telemetry->seconds_since_start() - begin > config().network.join_deadline_seconds)
      fail("no learner has joined within " +
           std::to_string(static_cast<int>(config().network.join_deadline_seconds)) +
           " s (network.join-deadline-seconds)");
  }
}

/// The first one stays the learner of the run; its state is nowhere else.
void Direction::enlist_learner(const Enlistment& enlistment) {
  if (learner_) return;
  learner_name_ = enlistment.name;
  const caf::actor stand_in =
      self_->spawn(learner_stand_in,
                   LearnerStandInPlan{enlistment.name, enlistment.lease, enlistment.learner,
                                      deadlines(), plan_.telemetry},
                   caf::actor_cast<Director>(caf::actor_cast<caf::strong_actor_ptr>(self_)));
  learner_ = caf::actor_cast<Learner>(stand_in);
  self_->monitor(learner_);
  learner_alive_ = true;
}

void Direction::spawn_evaluator() {
  EvaluatorSetup setup;
  setup.prepare_thread = [set = plan_.backends.set_threads] { set(1); };
  const auto prompts = static_cast<std::int32_t>(plan_.materials->held_out.size());
  const auto capacity =
      static_cast<std::int32_t>(plan_.materials->longest_prompt) +
      std::max(config().evaluation.max_new_tokens, config().generator.max_new_tokens);
  setup.engine = [make = plan_.backends.engine, decoder = plan_.materials->decoder,
                  slots = std::clamp(prompts, 1, config().generator.slots),
                  capacity] { return make(decoder, slots, capacity); };
  setup.telemetry = plan_.telemetry;
  evaluator_ = self_->spawn<caf::detached>(evaluator, std::move(setup));
  self_->monitor(evaluator_);
}

void Direction::run() {
  const gpu::Manifest manifest = gpu::manifest_of(plan_.materials->decoder);
  const auto initial = std::shared_ptr<float[]>(new float[manifest.elements]);
  std::copy(plan_.materials->weights.begin(), plan_.materials->weights.end(), initial.get());
  newest_ =
      Weights(0, gpu::weights_digest(initial.get(), manifest.elements), initial, manifest.elements);
  spawn_evaluator();
  if (plan_.office != nullptr) plan_.office->attend(caf::actor_cast<caf::actor>(self_));
  spawn_learner();
  try {
    for (std::size_t i = 0; i < config().stages.size() && failure_.empty() && !interrupted_; ++i)
      run_stage(i);
  } catch (
      const std::exception& error) {  // a full disk, say: what was trained is saved all the same
    fail(error.what());
  }
  try {
    save("model");
  } catch (const std::exception& error) {
    fail(std::string("the model is not saved: ") + error.what());
  }
  if (learner_alive_) self_->send_exit(learner_, caf::exit_reason::user_shutdown);
  self_->send_exit(evaluator_, caf::exit_reason::user_shutdown);
  *plan_.outcome = {failure_, interrupted_};
}

void Direction::save(const std::string& name) {
  const double begin = plan_.telemetry->seconds_since_start();
  save_model_directory(plan_.run_directory / name, plan_.materials->decoder,
                       *plan_.materials->tokenizer, newest_.values().get());
  plan_.telemetry->metrics()
      .histogram("troupe_learner_checkpoint_seconds")
      .Observe(plan_.telemetry->seconds_since_start() - begin);
  plan_.telemetry->model_saved();
  plan_.telemetry->event("saved", name + " at version " + std::to_string(newest_.version()) +
                                      ", digest " + newest_.digest());
}

void Direction::run_stage(std::size_t index) {
  const StageConfig& stage = config().stages[index];
  StageRecord record;
  record.kind = stage.kind;
  record.name = stage.name;
  plan_.telemetry->stage_begins(static_cast<std::int32_t>(index), stage.kind, stage.name,
                                stage.updates);
  const double begin = plan_.telemetry->seconds_since_start();
  if (stage.kind == "rl") {
    run_rollouts(index, record);
  } else if (stage.kind == "eval") {
    if (auto result = evaluate_now(config().evaluation.prompts, 0)) {
      record.after = result->record;
      record.samples_after = result->samples;
    }
  } else {
    run_supervised(index, record);
  }
  if (record.wall_seconds == 0)
    record.wall_seconds = plan_.telemetry->seconds_since_start() - begin;
  record.ended = !failure_.empty() ? failure_ : interrupted_ ? "interrupted" : "done";
  plan_.telemetry->stage_ends(record);
}

void Direction::begin_learner(LearnerPlan plan) {
  caf::anon_send(learner_, begin_atom::value, std::make_shared<const LearnerPlan>(std::move(plan)));
}

void Direction::run_supervised(std::size_t index, StageRecord& record) {
  plan_.telemetry->activity(learner_name_).mark();
  begin_learner(supervised_plan(config(), *plan_.materials, plan_.backends, index));
  const LearnerOutcome outcome = wait_for_learner(nullptr);
  record.updates = outcome.updates;
  record.refused_updates = outcome.refused_updates;
  record.loss = outcome.loss;
  record.gate_share = outcome.gate_share;
  add_times(record, {learner_name_});
}

void Direction::run_rollouts(std::size_t index, StageRecord& record) {
  if (!base_saved_) save("base");
  base_saved_ = true;
  if (auto before = evaluate_now(config().evaluation.prompts, 0)) {
    record.before = before->record;
    record.samples_before = before->samples;
  }
  if (!failure_.empty() || interrupted_) return;
  Cast cast(self_, plan_, index, newest_.version());
  for (const auto& [name, enlistment] : enlisted_) cast.enlist(enlistment);
  complete_at_ = plan_.telemetry->seconds_since_start();
  last_update_ = 0;
  std::vector<std::string> names = cast.names();
  names.push_back(learner_name_);
  for (const std::string& name : names) plan_.telemetry->activity(name).mark();
  const double begin = plan_.telemetry->seconds_since_start();
  begin_learner(rollout_plan(config(), index, cast.buffer(), cast.broadcaster()));
  const LearnerOutcome outcome = wait_for_learner(&cast);
  record.wall_seconds = plan_.telemetry->seconds_since_start() - begin;
  names = cast.names();
  names.push_back(learner_name_);
  record.ledger = cast.dismiss("stage_over");
  add_times(record, names);
  plan_.telemetry->record(record.ledger);
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
  if (!failure_.empty()) return;
  if (auto after = evaluate_now(config().evaluation.prompts, outcome.updates)) {
    record.after = after->record;
    record.samples_after = after->samples;
  }
}

void Direction::add_times(StageRecord& record, const std::vector<std::string>& actors) {
  for (const std::string& name : actors)
    record.actors[name] = plan_.telemetry->activity(name).totals_since_mark();
}

/// Asks the evaluator; the answer comes to this mailbox as `evaluated`, so that the director hears
/// everything else meanwhile.
void Direction::ask_evaluator(const Weights& weights, std::int32_t prompts, std::int32_t update) {
  auto plan = std::make_shared<EvaluationPlan>(
      *evaluation_plan(config(), *plan_.materials, prompts, update));
  plan->go_on = [telemetry = plan_.telemetry, stop = stop_evaluation_] {
    telemetry->progress("evaluator");
    return !stop->load();
  };
  evaluating_ = true;
  plan_.telemetry->progress("evaluator");
  self_->spawn([weights, plan, evaluator = evaluator_,
                me = caf::actor_cast<caf::actor>(self_)](caf::event_based_actor* one) {
    // The deadline of this request is renewed by each decode step: check_evaluation() keeps it.
    one->request(evaluator, caf::infinite, evaluate_atom::value, weights, EvaluationPlanPtr(plan))
        .then(
            [one, me](const EvaluationResultPtr& result) {
              one->send(me, evaluated_atom::value, result, std::string());
            },
            [one, me](const caf::error& error) {
              one->send(me, evaluated_atom::value, EvaluationResultPtr(), describe(error));
            });
  });
}

std::optional<EvaluationResult> Direction::evaluate_now(std::int32_t prompts, std::int32_t update) {
  if (prompts == 0 || interrupted_) return std::nullopt;
  while (evaluating_ && failure_.empty()) wait(nullptr);  // the one begun during the stage
  if (!failure_.empty() || interrupted_) return std::nullopt;
  evaluated_.reset();
  ask_evaluator(newest_, prompts, update);
  while (evaluating_ && failure_.empty()) wait(nullptr);
  if (interrupted_) return std::nullopt;  // its figures would be of some of the prompts only
  return evaluated_;
}

/// At most one evaluation at a time; an update that comes too soon is not evaluated, and said so.
void Direction::evaluate_during(std::int32_t update, const Weights& weights) {
  const std::int32_t every = config().evaluation.every;
  const std::int32_t before = std::exchange(last_update_, update);
  // A learner elsewhere may be heard of its newest update only.
  const bool due = every > 0 && update > 0 && update / every > before / every;
  if (!due || interrupted_) return;
  if (evaluating_) {
    plan_.telemetry->event("evaluation_skipped", "update " + std::to_string(update) +
                                                     ": the evaluation before has not ended");
    return;
  }
  ask_evaluator(weights, config().evaluation.prompts_during, update);
}

/// Which role a stage cannot go on without and nobody plays; empty: none.
std::string Direction::missing_role(const Cast& cast) const {
  if (!cast.has_generators()) return "generator";
  if (!cast.has_verifiers()) return "verifier";
  return config().network.broadcaster_apart() && !cast.has_relays() ? "broadcaster" : "";
}

/// A stage cannot go on without a generator and a verifier; those of other processes are waited for.
void Direction::check_company(const Cast& cast) {
  const double now = plan_.telemetry->seconds_since_start();
  const std::string missing = missing_role(cast);
  if (missing.empty()) complete_at_ = now;
  const double alone = now - complete_at_;
  if (alone < config().network.join_deadline_seconds) return;
  fail("no " + missing + " has joined for " + std::to_string(static_cast<int>(alone)) +
       " s (network.join-deadline-seconds)");
}

void Direction::check_stall(const Cast* cast) {
  if (cast != nullptr && plan_.office != nullptr && !missing_role(*cast).empty())
    return check_company(*cast);
  if (!learner_) return;  // it has a deadline of its own
  if (cast != nullptr) complete_at_ = plan_.telemetry->seconds_since_start();
  const double stalled = plan_.telemetry->seconds_since_progress();
  if (stalled < config().director.stall_deadline_seconds || !failure_.empty()) return;
  fail("nothing has moved for " + std::to_string(static_cast<int>(stalled)) +
       " s (director.stall-deadline-seconds); " + plan_.telemetry->who_does_what());
}

/// The request for an evaluation has no fixed end: each decode step renews its deadline.
void Direction::check_evaluation() {
  const double deadline = config().director.request_deadline_seconds;
  if (!evaluating_ || !failure_.empty() ||
      plan_.telemetry->seconds_since_progress("evaluator") < deadline)
    return;
  evaluating_ = false;
  fail("the evaluation has made no decode step for " + std::to_string(deadline) +
       " s (director.request-deadline-seconds); " + plan_.telemetry->who_does_what());
}

void Direction::stop() {
  interrupted_ = true;
  stop_evaluation_->store(true);
  caf::anon_send(learner_, stop_atom::value);
}

void Direction::down(const caf::down_msg& message, Cast* cast) {
  if (message.source == learner_.address()) {
    learner_alive_ = false;
    fail("the learner died: " + describe(message.reason) + "; the model saved is that of version " +
         std::to_string(newest_.version()));
  } else if (message.source == evaluator_.address()) {
    fail("the evaluator died: " + describe(message.reason));
  } else if (cast != nullptr) {
    const std::string reason = cast->down(message);
    if (!reason.empty()) fail(reason);
  }
}

/// The one place where the director listens: handles a message, or half a second of silence.
void Direction::wait(Cast* cast) {
  pulse_.ends();
  self_->receive(
      [&](updated_atom, std::int32_t update, const Weights& weights) {
        newest_ = weights;
        evaluate_during(update, weights);
      },
      [&](ended_atom, const LearnerOutcome& ended) { ended_ = ended; },
      [&](evaluated_atom, const EvaluationResultPtr& result, const std::string& error) {
        evaluating_ = false;
        if (result)
          evaluated_ = *result;
        else
          fail("the evaluation failed: " + error);
      },
      [&](enlisted_atom, const Enlistment& enlistment) {
        if (enlistment.learner) return enlist_learner(enlistment);
        enlisted_[enlistment.name] = enlistment;
        if (cast != nullptr) cast->enlist(enlistment);
      },
      [&](stop_atom) { stop(); }, [&](const caf::down_msg& message) { down(message, cast); },
      caf::after(std::chrono::milliseconds(500)) >> [] {});
  pulse_.begins(Clock::now());
  check_evaluation();
  check_stall(cast);
}

/// Until the learner's stage has ended. After a failure elsewhere the learner is asked to stop, and
/// given a request's deadline to do so.
LearnerOutcome Direction::wait_for_learner(Cast* cast) {
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

/// The directory appears, or is replaced, in one step: what was there stands until the new one is
/// complete.
void replace_directory(const fs::path& fresh, const fs::path& target) {
  const fs::path old = target.string() + ".old";
  fs::remove_all(old);
  if (fs::exists(target)) fs::rename(target, old);
  fs::rename(fresh, target);
  fs::remove_all(old);
}

}  // namespace

void save_model_directory(const fs::path& directory, const gpu::DecoderConfig& decoder,
                          const Tokenizer& tokenizer, const float* weights) {
  const fs::path fresh = directory.string() + ".tmp";
  fs::remove_all(fresh);
  fs::create_directories(fresh);
  gpu::save_model(fresh, decoder, weights);
  tokenizer.save(fresh);
  replace_directory(fresh, directory);
}

void director(caf::blocking_actor* self, const RunPlan& plan) {
  Direction direction(self, plan);
  direction.run();
}

}  // namespace troupe
