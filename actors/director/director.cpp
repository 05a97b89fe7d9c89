#include "actors/director/director.hpp"

#include "actors/errors.hpp"
#include "actors/evaluator/evaluator.hpp"
#include "gpu/model/model_directory.hpp"

#include <algorithm>
#include <atomic>
#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>
#include <exception>
#include <functional>
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
  using Place = EvaluationNote::Place;
  const Config& config() const { return *plan_.config; }
  Telemetry& telemetry() const { return *plan_.telemetry; }
  void spawn_evaluator();
  void run_stage(std::size_t index);
  void run_rollouts(std::size_t index, StageRecord& record);
  void spawn_conductor();
  void end_conductor();
  StageRecord conduct(std::size_t index);
  void wait();
  void check_evaluation();
  void stop();
  void leave();
  bool goes_on() const { return failure_.empty() && !interrupted_ && !left_; }
  void down(const caf::down_msg& message);
  void ask_evaluator(const Weights& weights, const EvaluationNote& about, std::int32_t prompts);
  void evaluate_during(std::int32_t update, const Weights& weights);
  std::optional<EvaluationResult> evaluate_now(std::size_t stage, Place place, std::int32_t update);
  std::optional<EvaluationResult> measure(std::size_t stage, Place place, std::int32_t update);
  void save(const std::string& name);
  void save_last();
  void fail(const std::string& why);

  caf::blocking_actor* self_;
  const RunPlan& plan_;
  Pulse& pulse_;  // rests while it waits for messages
  Conductor conductor_;
  Evaluator evaluator_;
  bool conductor_alive_ = false, evaluating_ = false, interrupted_ = false, left_ = false;
  std::string failure_;
  Weights newest_;
  bool base_saved_ = false;
  std::uint32_t stage_ = 0;       // that the conductor runs, or ran last
  std::int32_t last_update_ = 0;  // heard of in the stage
  EvaluationNote asked_;          // what the evaluator is to measure
  StageEndPtr ended_;
  std::optional<EvaluationResult> evaluated_;
  std::shared_ptr<std::atomic<bool>> stop_evaluation_ = std::make_shared<std::atomic<bool>>(false);
};

void Direction::fail(const std::string& why) {
  if (!failure_.empty()) return;
  failure_ = why;
  telemetry().event("failure", why);
}

void Direction::spawn_conductor() {
  const auto me = caf::actor_cast<Director>(caf::actor_cast<caf::strong_actor_ptr>(self_));
  conductor_ = plan_.cast_conductor
                   ? plan_.cast_conductor(me)
                   : caf::actor_cast<Conductor>(self_->spawn<caf::detached>(
                         conductor, std::cref(static_cast<const ConductorPlan&>(plan_)), me));
  self_->monitor(conductor_);
  conductor_alive_ = true;
}

/// Whoever is cast ends with the conductor.
void Direction::end_conductor() {
  caf::anon_send(conductor_, close_atom::value, failure_.empty() ? "the run is over" : failure_);
  const double until =
      telemetry().seconds_since_start() + 2 * config().director.request_deadline_seconds;
  while (conductor_alive_ && telemetry().seconds_since_start() < until) wait();
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
  spawn_conductor();
  try {
    for (std::size_t i = 0; i < config().stages.size() && goes_on(); ++i) run_stage(i);
  } catch (
      const std::exception& error) {  // a full disk, say: what was trained is saved all the same
    fail(error.what());
  }
  const bool left = left_ && failure_.empty();
  if (left) {
    self_->send_exit(conductor_, caf::exit_reason::user_shutdown);  // the way to it, not itself
  } else {
    save_last();
    end_conductor();
  }
  self_->send_exit(evaluator_, caf::exit_reason::user_shutdown);
  *plan_.outcome = {failure_, interrupted_, left};
}

void Direction::save_last() {
  try {
    save("model");
  } catch (const std::exception& error) {
    fail(std::string("the model is not saved: ") + error.what());
  }
}

void Direction::save(const std::string& name) {
  const double begin = telemetry().seconds_since_start();
  save_model_directory(plan_.run_directory / name, plan_.materials->decoder,
                       *plan_.materials->tokenizer, newest_.values().get());
  telemetry()
      .metrics()
      .histogram("troupe_learner_checkpoint_seconds")
      .Observe(telemetry().seconds_since_start() - begin);
  telemetry().model_saved();
  telemetry().event("saved", name + " at version " + std::to_string(newest_.version()) +
                                 ", digest " + newest_.digest());
}

void Direction::run_stage(std::size_t index) {
  const StageConfig& stage = config().stages[index];
  StageRecord record;
  record.kind = stage.kind;
  record.name = stage.name;
  telemetry().stage_begins(static_cast<std::int32_t>(index), stage.kind, stage.name, stage.updates);
  const double begin = telemetry().seconds_since_start();
  if (stage.kind == "rl") {
    run_rollouts(index, record);
  } else if (stage.kind == "eval") {
    if (auto result = evaluate_now(index, Place::after, 0)) {
      record.after = result->record;
      record.samples_after = result->samples;
    }
  } else {
    record = conduct(index);
  }
  if (record.wall_seconds == 0) record.wall_seconds = telemetry().seconds_since_start() - begin;
  record.ended = !failure_.empty() ? failure_
                 : left_           ? "left"
                 : interrupted_    ? "interrupted"
                                   : "done";
  telemetry().stage_ends(record);
}

void Direction::run_rollouts(std::size_t index, StageRecord& record) {
  // A stage that has begun has its own weights: those before it were for the director before this one to save.
  if (!base_saved_ && !plan_.past.has_begun(index)) save("base");
  base_saved_ = true;
  const auto before = evaluate_now(index, Place::before, 0);
  if (goes_on()) record = conduct(index);
  if (before) {
    record.before = before->record;
    record.samples_before = before->samples;
  }
  if (!goes_on()) return;
  if (auto after = evaluate_now(index, Place::after, record.updates)) {
    record.after = after->record;
    record.samples_after = after->samples;
  }
}

/// One stage of the conductor's. After a failure elsewhere it is asked to end at once, and given the time for that.
StageRecord Direction::conduct(std::size_t index) {
  last_update_ = plan_.past.measured_update(index);
  stage_ = static_cast<std::uint32_t>(index);
  ended_.reset();
  caf::anon_send(conductor_, begin_atom::value, static_cast<std::uint32_t>(index));
  while (failure_.empty() && !left_ && (!ended_ || ended_->stage != index)) wait();
  if (!failure_.empty()) end_conductor();
  if (!ended_ || ended_->stage != index) {
    StageRecord none;
    none.kind = config().stages[index].kind;
    none.name = config().stages[index].name;
    return none;
  }
  if (ended_->weights) newest_ = ended_->weights;
  if (!ended_->failure.empty()) fail(ended_->failure);
  return ended_->record;
}

/// Asks the evaluator; the answer comes to this mailbox as `evaluated`, so that the director hears
/// everything else meanwhile.
void Direction::ask_evaluator(const Weights& weights, const EvaluationNote& about,
                              std::int32_t prompts) {
  asked_ = about;
  auto plan = std::make_shared<EvaluationPlan>(
      *evaluation_plan(config(), *plan_.materials, prompts, about.record.update));
  plan->go_on = [telemetry = plan_.telemetry, stop = stop_evaluation_] {
    telemetry->progress("evaluator");
    return !stop->load();
  };
  evaluating_ = true;
  telemetry().progress("evaluator");
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

/// What a director before this one measured is not measured again; nor can it be once the run has gone on.
std::optional<EvaluationResult> Direction::evaluate_now(std::size_t stage, Place place,
                                                        std::int32_t update) {
  if (const EvaluationNote* known = plan_.past.find(stage, place)) {
    telemetry().record(known->record);
    return EvaluationResult{known->record, known->samples};
  }
  if (config().evaluation.prompts == 0) return std::nullopt;
  const bool gone_on =
      plan_.past.has_begun_after(stage) || (place == Place::before && plan_.past.has_begun(stage));
  if (!gone_on) return measure(stage, place, update);
  telemetry().event("evaluation_skipped",
                    config().stages[stage].name + ": the run went on while there was no director");
  return std::nullopt;
}

std::optional<EvaluationResult> Direction::measure(std::size_t stage, Place place,
                                                   std::int32_t update) {
  if (!goes_on()) return std::nullopt;
  while (evaluating_ && failure_.empty() && !left_) wait();  // the one begun during the stage
  if (!goes_on()) return std::nullopt;
  evaluated_.reset();
  ask_evaluator(newest_, {static_cast<std::uint32_t>(stage), place, {.update = update}, {}},
                config().evaluation.prompts);
  while (evaluating_ && failure_.empty() && !left_) wait();
  if (!goes_on()) return std::nullopt;  // its figures would be of some of the prompts only
  return evaluated_;
}

/// At most one evaluation at a time; an update that comes too soon is not evaluated, and said so.
void Direction::evaluate_during(std::int32_t update, const Weights& weights) {
  const std::int32_t every = config().evaluation.every;
  const std::int32_t before = std::exchange(last_update_, update);
  // A learner elsewhere may be heard of its newest update only.
  const bool due = every > 0 && update > 0 && update / every > before / every;
  if (!due || !goes_on()) return;
  if (evaluating_) {
    telemetry().event("evaluation_skipped",
                      "update " + std::to_string(update) + ": the evaluation before has not ended");
    return;
  }
  ask_evaluator(weights, {stage_, Place::during, {.update = update}, {}},
                config().evaluation.prompts_during);
}

/// The request for an evaluation has no fixed end: each decode step renews its deadline.
void Direction::check_evaluation() {
  const double deadline = config().director.request_deadline_seconds;
  if (!evaluating_ || !failure_.empty() ||
      telemetry().seconds_since_progress("evaluator") < deadline)
    return;
  evaluating_ = false;
  fail("the evaluation has made no decode step for " + std::to_string(deadline) +
       " s (director.request-deadline-seconds); " + telemetry().who_does_what());
}

void Direction::stop() {
  interrupted_ = true;
  stop_evaluation_->store(true);
  caf::anon_send(conductor_, stop_atom::value);
}

void Direction::leave() {
  left_ = true;
  stop_evaluation_->store(true);
}

void Direction::down(const caf::down_msg& message) {
  if (message.source == conductor_.address()) {
    conductor_alive_ = false;
    if (message.reason != caf::exit_reason::normal && message.reason != caf::none)
      fail("the conductor died: " + describe(message.reason));
  } else if (message.source == evaluator_.address()) {
    fail("the evaluator died: " + describe(message.reason));
  }
}

/// The one place where the director listens: handles a message, or half a second of silence.
void Direction::wait() {
  pulse_.ends();
  self_->receive(
      [&](updated_atom, std::int32_t update, const Weights& weights) {
        newest_ = weights;
        evaluate_during(update, weights);
      },
      [&](ended_atom, const StageEndPtr& ended) { ended_ = ended; },
      [&](evaluated_atom, const EvaluationResultPtr& result, const std::string& error) {
        evaluating_ = false;
        if (!result) return fail("the evaluation failed: " + error);
        evaluated_ = *result;
        asked_.record = result->record;
        asked_.samples = result->samples;
        if (plan_.note && !interrupted_ && !left_) plan_.note(asked_);
      },
      [&](stop_atom) { stop(); }, [&](leave_run_atom) { leave(); },
      [&](const caf::down_msg& message) { down(message); },
      caf::after(std::chrono::milliseconds(500)) >> [] {});
  pulse_.begins(Clock::now());
  check_evaluation();
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
