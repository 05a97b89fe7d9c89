#include "actors/learner/learner.hpp"

#include "actors/errors.hpp"
#include "actors/learner/shown_rollouts.hpp"
#include "actors/report_exceptions.hpp"
#include "actors/telemetry/lineage.hpp"
#include "gpu/model/manifest.hpp"
#include "gpu/training/lag.hpp"

#include <algorithm>
#include <caf/actor_cast.hpp>
#include <caf/sec.hpp>
#include <caf/send.hpp>
#include <caf/system_messages.hpp>
#include <exception>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <utility>

namespace troupe {
namespace {

gpu::TrainingRollout training_rollout(const GradedRollout& graded) {
  const auto rollout = graded.rollout.read();
  gpu::TrainingRollout taken;
  taken.id = rollout.getId();
  taken.tokens = tokens_of(rollout.getTokens());
  taken.prompt_length = static_cast<std::int32_t>(rollout.getPromptLength());
  taken.log_probs.reserve(rollout.getLogProbs().size());
  for (const float log_prob : rollout.getLogProbs()) taken.log_probs.push_back(log_prob);
  for (const auto run : rollout.getVersions())
    taken.versions.push_back({run.getVersion(), run.getCount()});
  taken.reward = graded.verdict.read().getReward();
  return taken;
}

TrainedRollout lineage_of(const GradedRollout& graded) {
  const auto rollout = graded.rollout.read();
  const auto verdict = graded.verdict.read();
  TrainedRollout trained;
  trained.key = {rollout.getId(), rollout.getTicket(), rollout.getIndex(), rollout.getAttempt()};
  trained.prompt_uid = rollout.getPromptUid();
  trained.tokens = rollout.getLogProbs().size();
  trained.generator = rollout.getGenerator().cStr();
  trained.verifier = verdict.getVerifier().cStr();
  for (const auto run : rollout.getVersions())
    trained.versions.emplace_back(run.getVersion(), run.getCount());
  trained.reward = static_cast<double>(verdict.getReward());
  return trained;
}

/// refused: the ledger will drop its rollouts.
TrainedUpdate lineage_of(const Batch& batch, std::int32_t stage, std::int32_t update,
                         bool refused) {
  TrainedUpdate trained{stage, update, batch.version, batch.id, refused, {}};
  for (const BatchGroup& group : batch.groups)
    for (const GradedRollout& graded : group.rollouts)
      trained.rollouts.push_back(lineage_of(graded));
  return trained;
}

}  // namespace

std::vector<gpu::TrainingGroup> training_groups(const Batch& batch) {
  std::vector<gpu::TrainingGroup> groups;
  for (const BatchGroup& group : batch.groups) {
    gpu::TrainingGroup rollouts;
    for (const GradedRollout& graded : group.rollouts) rollouts.push_back(training_rollout(graded));
    groups.push_back(std::move(rollouts));
  }
  return groups;
}

void LearnerState::begin(Self self, LearnerSetup setup, Conductor conductor) {
  self_ = self;
  setup_ = std::move(setup);
  conductor_ = std::move(conductor);
  activity_ = &setup_.telemetry->activity(name);
  timed_ = Timed(*setup_.telemetry, name);
  activity_->enter("start", true);
  if (setup_.peers) {
    activity_->enter(kWaitForRanks, false);
    try {
      peers_ = setup_.peers();
      end_with_a_rank();
      setup_.ranks.meet = [peers = peers_] { return peers->communicator(); };
    } catch (const std::exception& error) {
      apart_ = error.what();
      setup_.telemetry->event("ranks", apart_);
    }
    activity_->enter("start", true);
  }
  team_ = std::make_unique<gpu::RankTeam>(setup_.ranks);
  const auto weights = std::make_shared<const std::vector<float>>(std::move(setup_.weights));
  lost(team_->run([weights](int, gpu::TrainingEngine& engine) { engine.load(weights->data()); }));
  activity_->enter("wait for stage", false);
}

/// Of a run that has begun the next task tells why it ends. Before that nobody asks, and a rank that starts again would find no
/// place among those that have met: so all start again.
void LearnerState::end_with_a_rank() {
  peers_->watch([own = self_->address(), begun = begun_](int rank) {
    const auto learner = caf::actor_cast<caf::actor>(own);
    if (*begun || !learner) return;
    const std::string why = "rank " + std::to_string(rank) + " was lost before the first stage";
    caf::anon_send(learner, caf::exit_msg{own, make_error(Errc::link_lost, why)});
  });
}

/// Has all ranks do the work. False if a rank was lost: a stage under way has ended then, with the
/// weights before the update.
bool LearnerState::together(RankTask task, const std::shared_ptr<RankResult>& result) {
  if (peers_ && lost(peers_->tell(task))) return false;
  return !lost(team_->run([task = std::move(task), result](int rank, gpu::TrainingEngine& engine) {
    RankResult own = perform(engine, task);
    if (rank == 0 && result) *result = std::move(own);
  }));
}

bool LearnerState::lost(const std::string& why) {
  if (why.empty()) return false;
  lost_ = true;
  const std::string said = peers_ ? peers_->last_words() : "";
  if (plan_) end_stage("the update was stopped: " + why + (said.empty() ? "" : "; " + said));
  return true;
}

/// A batch of several minibatches may have been half trained when a rank was lost.
Weights LearnerState::last_whole() const {
  return lost_ && plan_->rollout && published_ ? published_ : snapshot();
}

Weights LearnerState::snapshot() const {
  const std::uint64_t elements = team_->own().elements();
  const auto values = std::shared_ptr<float[]>(new float[elements]);
  team_->own().copy_weights(values.get());
  return {version_, gpu::weights_digest(values.get(), elements), values, elements};
}

void LearnerState::begin_stage(const LearnerPlanPtr& plan) {
  *begun_ = true;
  plan_ = plan;
  update_ = refused_ = refused_in_a_row_ = empty_in_a_row_ = 0;
  stopping_ = false;
  report_ = {};
  stage_gap_ = {};
  recent_.clear();
  gate_share_.reset();
  last_ = {};
  if (!apart_.empty()) return end_stage(apart_);  // so that the run hears why
  const bool keep = plan_->supervised && plan_->supervised->keep_optimizer;
  if (!together(BeginTask{keep})) return;
  if (plan_->supervised) {
    recorded_update_ = 0;
    recorded_positions_ = 0;
    recorded_seconds_ = setup_.telemetry->seconds_since_start();
    self_->send(self_, step_atom::value);
    return;
  }
  publish([this] {
    // The KL penalty is taken against the weights at the start of the stage.
    reference_ = setup_.update.objective.kl_weight > 0 ? published_.values() : nullptr;
    reference_version_ = version_;
    ask_for_batch();
  });
}

void LearnerState::stop() {
  stopping_ = true;
}

void LearnerState::step() {
  if (plan_ && plan_->supervised) supervised_updates();
}

bool LearnerState::refused_too_often(bool refused, const std::string& reason) {
  refused_in_a_row_ = refused ? refused_in_a_row_ + 1 : 0;
  if (!refused) return false;
  ++refused_;
  setup_.telemetry->event("update_refused", "update " + std::to_string(update_) + ": " + reason);
  const std::int32_t limit = plan_->rollout ? plan_->rollout->refused_updates_limit : 3;
  return refused_in_a_row_ >= limit;
}

/// A batch without signal is normal late in training; one in which nothing could be graded is a
/// fault elsewhere.
bool LearnerState::nothing_too_often(const Batch& batch) {
  empty_in_a_row_ = batch.facts.rollouts == 0 ? empty_in_a_row_ + 1 : 0;
  if (empty_in_a_row_ == 0) return false;
  setup_.telemetry->event("warning",
                          "update " + std::to_string(update_) +
                              " has no graded rollout: all were lost, late or unverifiable");
  return empty_in_a_row_ >= plan_->rollout->refused_updates_limit;
}

// --- supervised stages ---

float LearnerState::supervised_rate() const {
  const SupervisedPlan& plan = *plan_->supervised;
  return plan.schedule.at(std::min(update_ + 1, plan.updates));
}

/// The gate is probed from the stage's last planned update on; while it is closed, training goes on
/// at the last rate.
bool LearnerState::gate_is_open() {
  const SupervisedPlan& plan = *plan_->supervised;
  if (!plan.gate) return true;
  const bool last = update_ >= plan.gate->limit;
  if ((update_ - plan.updates) % plan.gate->every != 0 && !last) return false;
  activity_->enter("probe", true);
  const auto engine = plan.gate->engine();
  engine->swap(snapshot().values());
  gate_share_ = probed_share(*engine, plan.gate->kinds);
  probed_now_ = gate_share_;
  activity_->enter("train", true);
  return *gate_share_ >= plan.gate->share;
}

/// False if a rank was lost.
bool LearnerState::supervised_update() {
  const SupervisedPlan& plan = *plan_->supervised;
  gpu::AdamW adamw = setup_.update.adamw;
  adamw.weight_decay = static_cast<float>(plan.weight_decay);
  SupervisedTask task{{}, adamw, setup_.update.max_gradient_norm, supervised_rate()};
  for (std::int32_t d = 0; d < plan.batch_documents; ++d)
    task.documents.push_back(plan.next_document());
  const auto result = std::make_shared<RankResult>();
  if (!together(std::move(task), result)) return false;
  last_ = result->supervised;
  return true;
}

void LearnerState::supervised_updates() {
  constexpr int kUpdatesPerStep = 20;
  constexpr double kSecondsPerStep =
      0.25;  // then messages are looked at: a stop must not wait long
  const double begin = setup_.telemetry->seconds_since_start();
  const SupervisedPlan& plan = *plan_->supervised;
  activity_->enter("train", true);
  bool done = false;
  std::string failure;
  for (int i = 0; i < kUpdatesPerStep && !done; ++i) {
    if (i > 0 && setup_.telemetry->seconds_since_start() - begin > kSecondsPerStep) break;
    if (!supervised_update()) return;
    ++update_;
    recorded_positions_ += last_.positions;
    if (refused_too_often(last_.refused, "a value is not finite"))
      failure =
          "updates were refused too often: a loss or gradient is not finite; lower the learning "
          "rate";
    done = !failure.empty() || (update_ >= plan.updates && gate_is_open());
    if (!done && plan.gate && update_ >= plan.gate->limit) {
      failure = "the gate was not passed within " + std::to_string(plan.gate->limit) +
                " updates: the model is too small or the learning rate wrong for this corpus";
      done = true;
    }
  }
  const double now = setup_.telemetry->seconds_since_start();
  SupervisedRecord record;
  record.stage = plan_->stage;
  record.update = update_;
  record.updates = std::max(plan.updates, update_);
  record.seconds_since_start = now;
  record.loss = last_.loss;
  record.learning_rate = static_cast<double>(supervised_rate());
  record.gradient_norm = last_.gradient_norm;
  record.positions_per_second =
      static_cast<double>(recorded_positions_) / std::max(1e-9, now - recorded_seconds_);
  record.gate_share = std::exchange(probed_now_, std::nullopt);
  if (plan.gate) {
    record.gate = plan.gate->share;
    record.gate_limit = plan.gate->limit;
  }
  recorded_positions_ = 0;
  recorded_seconds_ = now;
  setup_.telemetry->record(record);
  show_progress();
  if (done || stopping_) {
    ++version_;  // other weights than those of the version before, should that have been published
    return end_stage(failure);
  }
  self_->send(self_, step_atom::value);
}

// --- rl stages ---

void LearnerState::publish(std::function<void()> then) {
  activity_->enter("publish", true);
  const auto begin = Clock::now();
  published_ = snapshot();
  recent_[version_] = published_.values();
  const std::uint64_t bound = plan_->rollout->staleness_bound;
  std::erase_if(recent_, [&](const auto& entry) { return entry.first + bound < version_; });
  self_
      ->request(plan_->rollout->broadcaster, setup_.deadlines.request, publish_atom::value,
                published_)
      .then(timed_([this, begin, then = std::move(then)] {
              setup_.telemetry->metrics()
                  .histogram("troupe_broadcaster_publish_seconds")
                  .Observe(std::chrono::duration<double>(Clock::now() - begin).count());
              self_->send(conductor_, updated_atom::value, update_, published_);
              then();
            }),
            [this](const caf::error& error) {
              timed_out(*setup_.telemetry, error);
              end_stage("the broadcaster failed: " + describe(error));
            });
}

void LearnerState::ask_for_batch() {
  if (stopping_ || update_ >= plan_->rollout->updates) return end_stage({});
  TrainedReport report = std::exchange(report_, {});
  report.version = version_;
  if (!waiting_since_) waiting_since_ = setup_.telemetry->seconds_since_start();
  activity_->enter("wait for batch", false);
  waiting_for_batch_ = true;
  self_->request(plan_->rollout->buffer, setup_.deadlines.request, take_atom::value, report)
      .then(timed_([this](const BatchPtr& batch) {
              if (std::exchange(waiting_for_batch_, false)) train(batch);
            }),
            [this](const caf::error& error) {
              if (!std::exchange(waiting_for_batch_, false)) return;
              if (timed_out(*setup_.telemetry, error))
                return ask_for_batch();  // the buffer keeps what it answered
              end_stage("the replay buffer failed: " + describe(error));
            });
}

/// Of a rollout that went on under newer weights the part that one version sampled, from the start
/// on.
std::vector<GapPart> LearnerState::gap_parts(const std::vector<gpu::TrainingGroup>& groups) const {
  std::map<PolicyVersion, std::vector<gpu::TrainingRollout>> chosen;
  std::int32_t left = plan_->rollout->gap_rollouts;
  for (const gpu::TrainingGroup& group : groups) {
    for (const gpu::TrainingRollout& rollout : group) {
      if (left == 0) break;
      const gpu::VersionRun first = rollout.versions[0];
      if (!recent_.contains(first.version)) continue;
      gpu::TrainingRollout part = rollout;
      part.tokens.resize(static_cast<std::size_t>(part.prompt_length) + first.count);
      part.log_probs.resize(first.count);
      part.versions.resize(1);
      chosen[first.version].push_back(std::move(part));
      --left;
    }
  }
  std::vector<GapPart> parts;
  for (auto& [version, rollouts] : chosen)
    parts.push_back({version, recent_.at(version), std::move(rollouts)});
  return parts;
}

/// The update refuses such tokens with an exception, which ends the learner: the metric must tell
/// before.
void LearnerState::count_stale(const std::vector<gpu::TrainingGroup>& groups) {
  std::uint64_t stale = 0;
  for (const gpu::TrainingGroup& group : groups)
    for (const gpu::TrainingRollout& rollout : group)
      stale += gpu::tokens_beyond(rollout, version_, plan_->rollout->staleness_bound);
  if (stale == 0) return;
  setup_.telemetry->metrics()
      .counter("troupe_learner_stale_trained_total")
      .Increment(static_cast<double>(stale));
}

void LearnerState::train(const BatchPtr& batch) {
  if (!batch) return ask_for_batch();
  activity_->enter("train", true);
  const double begin = setup_.telemetry->seconds_since_start();
  wait_seconds_ = begin - std::exchange(waiting_since_, std::nullopt).value_or(begin);
  const RolloutPlan& plan = *plan_->rollout;
  PolicyTask task{
      training_groups(*batch), {},        setup_.update, plan.schedule.at(update_ + 1), version_,
      plan.staleness_bound,    reference_};
  count_stale(task.groups);
  task.gap_parts = gap_parts(task.groups);
  task.config.adamw.weight_decay = static_cast<float>(plan.weight_decay);
  if (reference_) task.reference_version = reference_version_;
  const auto result = std::make_shared<RankResult>();
  report_ = {version_, true, batch->id, "refused_update"};  // should a rank be lost
  if (!together(std::move(task), result)) return;
  PolicyResult& made = result->policy;
  measured_ = std::move(made.log_probs);
  trained(batch, made.stats, made.gap, setup_.telemetry->seconds_since_start() - begin);
}

void LearnerState::trained(const BatchPtr& batch, const gpu::UpdateStats& stats,
                           const gpu::LogProbGap& gap, double train_seconds) {
  stage_gap_.add(gap);
  ++update_;
  ++version_;
  report_ = {version_, true, batch->id, stats.refused && stats.steps == 0 ? "refused_update" : ""};
  std::string failure;
  if (refused_too_often(stats.refused, stats.refused_reason))
    failure = "updates were refused too often: " + stats.refused_reason;
  if (nothing_too_often(*batch))
    failure = "nothing to train on: no rollout of the last batches could be graded";
  publish([this, batch, stats, gap, train_seconds, failure] {
    record(*batch, stats, gap, train_seconds);
    if (!failure.empty()) return end_stage(failure);
    ask_for_batch();
  });
}

void LearnerState::record(const Batch& batch, const gpu::UpdateStats& stats,
                          const gpu::LogProbGap& gap, double train_seconds) {
  RolloutUpdateRecord record;
  record.stage = plan_->stage;
  record.update = update_;
  record.updates = plan_->rollout->updates;
  record.version = batch.version;
  record.seconds_since_start = setup_.telemetry->seconds_since_start();
  record.reward_mean = batch.facts.reward_mean;
  record.pass_rate = batch.facts.pass_rate;
  record.format_rate = batch.facts.format_rate;
  record.response_tokens_mean = batch.facts.response_tokens_mean;
  record.signal_share =
      batch.facts.groups == 0
          ? 0.0
          : static_cast<double>(batch.facts.groups_with_signal) / batch.facts.groups;
  record.objective = stats.objective;
  record.entropy = stats.entropy;
  record.kl_behaviour = stats.kl_behaviour;
  record.kl_reference = stats.kl_reference;
  record.clip_fraction_low = stats.clip_fraction_low;
  record.clip_fraction_high = stats.clip_fraction_high;
  record.clip_fraction_dual = stats.clip_fraction_dual;
  record.ratio_mean = stats.ratio_mean;
  record.ratio_min = stats.ratio_min;
  record.ratio_max = stats.ratio_max;
  record.effective_sample_size = stats.effective_sample_size;
  record.gradient_norm = stats.gradient_norm;
  record.learning_rate = stats.learning_rate;
  record.log_prob_gap_mean = gap.mean();
  record.log_prob_gap_max = gap.max;
  record.log_prob_gap_tokens = gap.tokens;
  record.trained_tokens = stats.refused ? 0 : stats.trained_tokens;
  record.trained_rollouts = stats.refused ? 0 : stats.trained_rollouts;
  record.trained_groups = stats.refused ? 0 : stats.trained_groups;
  record.lag_histogram = stats.lag_histogram;
  record.wait_seconds = wait_seconds_;
  record.train_seconds = train_seconds;
  record.refused = stats.refused;
  record.weights_digest = published_.digest();
  // Before the record, so that who has heard of an update elsewhere has been shown its rollouts.
  if (RolloutLog* rollouts = setup_.telemetry->rollouts())
    show_rollouts(*rollouts, batch, {plan_->stage, update_, !report_.refused.empty()}, measured_);
  setup_.telemetry->record(record);
  if (Lineage* lineage = setup_.telemetry->lineage())
    lineage->trained(lineage_of(batch, plan_->stage, update_, !report_.refused.empty()));
  show_progress();
}

void LearnerState::show_progress() {
  setup_.telemetry->progress(name);
  setup_.telemetry->metrics()
      .gauge("troupe_actor_mailbox_depth", name)
      .Set(static_cast<double>(self_->mailbox().size()));
}

void LearnerState::end_stage(const std::string& failure) {
  if (plan_->rollout && report_.had_batch) {  // the ledger learns what became of the last batch
    report_.version = version_;
    self_->send(plan_->rollout->buffer, settle_atom::value, std::exchange(report_, {}));
  }
  activity_->enter("wait for stage", false);
  LearnerOutcome outcome;
  outcome.weights = last_whole();
  outcome.updates = update_;
  outcome.gap = stage_gap_;
  outcome.loss = last_.loss;
  outcome.gate_share = gate_share_;
  outcome.refused_updates = refused_;
  outcome.failure = failure;
  outcome.stopped = stopping_;
  plan_.reset();
  self_->send(conductor_, ended_atom::value, std::move(outcome));
}

Learner::behavior_type learner(LearnerState::Self self, LearnerSetup setup, Conductor conductor) {
  auto& state = self->state;
  Telemetry* const telemetry = setup.telemetry;
  report_exceptions(self, *telemetry, state.name);
  state.begin(self, std::move(setup), std::move(conductor));
  const Timed timed(*telemetry, state.name);
  return {
      timed([&state](begin_atom, const LearnerPlanPtr& plan) { state.begin_stage(plan); }),
      timed([&state](stop_atom) { state.stop(); }),
      timed([&state](step_atom) { state.step(); }),
  };
}

}  // namespace troupe
