#include "actors/generator/generator.hpp"

#include "actors/errors.hpp"
#include "actors/report_exceptions.hpp"
#include "actors/telemetry/lineage.hpp"
#include "gpu/model/manifest.hpp"

#include <caf/sec.hpp>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <utility>

namespace troupe {

void GeneratorState::begin(Self self, GeneratorPlan plan, ReplayBuffer buffer,
                           Broadcaster broadcaster) {
  self_ = self;
  plan_ = std::move(plan);
  buffer_ = std::move(buffer);
  broadcaster_ = std::move(broadcaster);
  activity_ = &plan_.telemetry->activity(plan_.name);
  timed_ = Timed(*plan_.telemetry, plan_.name);
  lending_.count_in(*plan_.telemetry);
  activity_->enter("start", true);
  plan_.prepare_thread();
  engine_ = plan_.engine();
  batch_ = std::make_unique<gpu::ContinuousBatch>(*engine_, plan_.sampling, plan_.seed,
                                                  plan_.cache_after_swap);
  assignments_.emplace(plan_.name);
  const PreparerPlan preparing{plan_.name, engine_, plan_.elements, plan_.telemetry};
  preparer_ = self_->getf(caf::abstract_actor::is_detached_flag)
                  ? self_->spawn<caf::linked + caf::detached>(preparer, preparing)
                  : self_->spawn<caf::linked>(preparer, preparing);
  ask_for_weights();
  show_waiting();
  self_->delayed_send(self_, plan_.deadlines.check_interval(), check_atom::value);
}

/// A lost or unreachable buffer or broadcaster ends the generator; the director decides what then.
void GeneratorState::end_if_lost(const caf::error& error, const char* whom) {
  if (stopping_ || code_of(error) == Errc::stage_over) return;
  plan_.telemetry->event("generator_failed", plan_.name + ": " + whom + ": " + describe(error));
  self_->quit(error);
}

void GeneratorState::ask_for_weights() {
  const PolicyVersion at_least = has_weights_ ? batch_->version() + 1 : 0;
  self_
      ->request(broadcaster_, plan_.deadlines.request, take_atom::value, plan_.name,
                std::uint64_t{at_least})
      .then(timed_([this](const Weights& weights) { take_weights(weights); }),
            [this](const caf::error& error) {
              if (timed_out(*plan_.telemetry, error))
                return ask_for_weights();  // asking twice does no harm
              end_if_lost(error, "broadcaster");
            });
}

void GeneratorState::take_weights(const Weights& weights) {
  if (stopping_) return;
  if (!weights) return ask_for_weights();  // none yet
  constexpr int kPatience = 10;            // a version may be of many GB
  self_->request(preparer_, kPatience * plan_.deadlines.request, prepare_atom::value, weights)
      .then(timed_([this](const ReadyWeights& ready) { swap(ready); }),
            [this](const caf::error& error) {
              timed_out(*plan_.telemetry, error);
              end_if_lost(error, "weights");
            });
}

void GeneratorState::swap(const ReadyWeights& ready) {
  if (stopping_) return;
  const Weights& weights = ready.weights;
  if (!ready.prepared) {
    constexpr int kMismatchLimit = 3;
    plan_.telemetry->metrics().counter("troupe_broadcaster_checksum_mismatch_total").Increment();
    count_dropped(*plan_.telemetry, to_string(Errc::digest_mismatch));
    plan_.telemetry->event("digest_mismatch",
                           plan_.name + " refused version " + std::to_string(weights.version()));
    if (++mismatches_ >= kMismatchLimit) return self_->quit(make_error(Errc::digest_mismatch));
    return ask_for_weights();
  }
  mismatches_ = 0;
  activity_->enter("swap weights", true);
  const auto begin = Clock::now();
  batch_->swap(ready.prepared, weights.version());
  has_weights_ = true;
  behind_ = false;
  plan_.telemetry->meets("weights", true);
  if (Lineage* lineage = plan_.telemetry->lineage())
    lineage->held(plan_.name, weights.version(), weights.digest());
  Metrics& metrics = plan_.telemetry->metrics();
  metrics.gauge("troupe_generator_weights_version", plan_.name)
      .Set(static_cast<double>(weights.version()));
  metrics.histogram("troupe_generator_weights_swap_seconds")
      .Observe(std::chrono::duration<double>(Clock::now() - begin).count());
  ask_for_weights();
  ask_for_tickets();
  schedule_step();
  show_waiting();
}

void GeneratorState::ask_for_tickets() {
  if (asked_for_tickets_ || stopping_ || !has_weights_ || behind_ ||
      lending_.size() >= plan_.outbox_limit)
    return;
  const std::size_t busy = batch_->live() + batch_->waiting();
  const auto slots = static_cast<std::size_t>(engine_->slots());
  const bool room =
      busy == 0 || busy + plan_.group_size <= slots;  // a group may be larger than the slots
  if (!room) return;
  asked_for_tickets_ = true;
  const std::string holder = plan_.name + "#" + std::to_string(plan_.incarnation);
  self_->request(buffer_, plan_.deadlines.request, grant_atom::value, holder, plan_.tickets_at_once)
      .then(timed_([this](const Tickets& tickets) { take_tickets(tickets); }),
            [this](const caf::error& error) {
              timed_out(*plan_.telemetry, error);
              end_if_lost(error, "replay buffer");
            });
}

void GeneratorState::take_tickets(const Tickets& tickets) {
  asked_for_tickets_ = false;
  if (stopping_) return;
  auto& resumed = plan_.telemetry->metrics().counter("troupe_generator_partial_resumes_total");
  for (const Ticket& ticket : tickets)
    for (gpu::GenerationRequest& request : assignments_->accept(ticket)) {
      if (!request.begun.tokens.empty()) resumed.Increment();
      const std::size_t waiting = batch_->waiting();
      batch_->submit(std::move(request));
      if (batch_->waiting() > waiting) submitted_.push_back(Clock::now());
    }
  deliver(batch_->take_finished());  // what had ended already where it was begun
  ask_for_tickets();
  schedule_step();
}

void GeneratorState::schedule_step() {
  if (step_scheduled_ || stopping_ || !batch_->can_step()) return;
  step_scheduled_ = true;
  self_->send(self_, step_atom::value);
}

void GeneratorState::step() {
  step_scheduled_ = false;
  if (stopping_) return;
  activity_->enter("decode", true);
  plan_.telemetry->progress(plan_.name);
  const auto begin = Clock::now();
  const std::size_t waiting = batch_->waiting();
  const std::size_t sampled = batch_->step();
  observe_first_tokens(waiting - batch_->waiting());
  Metrics& metrics = plan_.telemetry->metrics();
  metrics.histogram("troupe_generator_decode_step_seconds")
      .Observe(std::chrono::duration<double>(Clock::now() - begin).count());
  metrics.counter("troupe_generator_generated_tokens_total")
      .Increment(static_cast<double>(sampled));
  metrics.counter("troupe_generator_prompt_tokens_total")
      .Increment(static_cast<double>(batch_->prompt_tokens() - counted_prompt_tokens_));
  counted_prompt_tokens_ = batch_->prompt_tokens();
  metrics.gauge("troupe_generator_kv_blocks_used_ratio", plan_.name)
      .Set(static_cast<double>(batch_->live()) / engine_->slots());
  metrics.gauge("troupe_generator_inflight", plan_.name).Set(static_cast<double>(batch_->live()));
  deliver(batch_->take_finished());
  ask_for_tickets();
  schedule_step();
  show_waiting();
}

/// Requests join in the order they came; each samples its first token in the step it joins.
void GeneratorState::observe_first_tokens(std::size_t joined) {
  auto& histogram =
      plan_.telemetry->metrics().histogram("troupe_generator_time_to_first_token_seconds");
  const auto now = Clock::now();
  for (; joined > 0; --joined) {
    histogram.Observe(std::chrono::duration<double>(now - submitted_.front()).count());
    submitted_.pop_front();
  }
}

void GeneratorState::deliver(const std::vector<gpu::Completion>& completions) {
  if (completions.empty()) return;
  RolloutNotices notices;
  auto& stopped = plan_.telemetry->metrics().counter("troupe_generator_rollouts_total", "stop");
  auto& truncated = plan_.telemetry->metrics().counter("troupe_generator_rollouts_total", "length");
  auto& mixed = plan_.telemetry->metrics().counter("troupe_generator_mixed_version_rollouts_total");
  for (const gpu::Completion& completion : completions) {
    auto rollout = assignments_->complete(completion);
    if (!rollout) continue;
    ++rollouts_;
    if (completion.versions.size() > 1) mixed.Increment();
    (completion.reason == gpu::FinishReason::length ? truncated : stopped).Increment();
    notices.push_back(Assignments::finished(*rollout));
    lending_.put(std::move(*rollout));
  }
  self_->send(buffer_, notice_atom::value, std::move(notices));
  lending_.serve();
}

caf::typed_response_promise<Rollouts> GeneratorState::take(std::uint32_t count,
                                                           const RolloutIds& acknowledged) {
  auto promise = lending_.take(self_, count, acknowledged);
  ask_for_tickets();  // acknowledged rollouts make room
  return promise;
}

void GeneratorState::verifier_down(const caf::actor_addr& verifier) {
  const std::size_t back = lending_.lose(verifier);
  if (back > 0)
    plan_.telemetry->event("verifier_lost",
                           plan_.name + " lends " + std::to_string(back) + " rollouts again");
}

void GeneratorState::check() {
  lending_.answer_impatient(self_->clock().now(), plan_.deadlines.patience());
  give_back_if_held_up();
  Metrics& metrics = plan_.telemetry->metrics();
  metrics.gauge("troupe_actor_mailbox_depth", plan_.name)
      .Set(static_cast<double>(self_->mailbox().size()));
  metrics.gauge("troupe_actor_credits_available", plan_.name)
      .Set(static_cast<double>(plan_.outbox_limit) - static_cast<double>(lending_.size()));
  self_->delayed_send(self_, plan_.deadlines.check_interval(), check_atom::value);
}

void GeneratorState::notify(const char* outcome, const std::vector<gpu::Completion>& unfinished,
                            NoticeOf notice_of) {
  RolloutNotices notices;
  for (const gpu::Completion& completion : unfinished)
    if (auto notice = ((*assignments_).*notice_of)(completion)) notices.push_back(*notice);
  if (notices.empty()) return;
  plan_.telemetry->metrics()
      .counter("troupe_generator_rollouts_total", outcome)
      .Increment(static_cast<double>(notices.size()));
  self_->send(buffer_, notice_atom::value, std::move(notices));
}

/// Batches go by the order of tickets: who is cut off from the weights, and from nothing else, would hold up everyone.
void GeneratorState::give_back_if_held_up() {
  if (stopping_ || !batch_->held_up()) return held_up_since_.reset();
  const auto now = self_->clock().now();
  if (!held_up_since_) held_up_since_ = now;
  if (now - *held_up_since_ < plan_.deadlines.patience()) return;
  held_up_since_.reset();
  behind_ = true;
  submitted_.clear();
  const std::vector<gpu::Completion> unbegun = batch_->give_back();
  plan_.telemetry->event("gave_back",
                         plan_.name + " gives " + std::to_string(unbegun.size()) +
                             " rollouts back: it waits for newer weights than version " +
                             (has_weights_ ? std::to_string(batch_->version()) : "(none)"));
  notify("given_back", unbegun, &Assignments::hand_over);
}

GeneratorTotals GeneratorState::stop() {
  return end("abandoned", &Assignments::abandon);
}

GeneratorTotals GeneratorState::hand_over() {
  return end("handed_over", &Assignments::hand_over);
}

/// Samples no more. `notice_of` tells the ledger what becomes of a rollout that is not finished.
GeneratorTotals GeneratorState::end(const char* outcome, NoticeOf notice_of) {
  stopping_ = true;
  notify(outcome, batch_->abandon(), notice_of);
  activity_->enter("stopped", false);
  lending_.answer_impatient(self_->clock().now(),
                            {});  // nothing will come; whoever asks again waits
  return {batch_->sampled_tokens(), batch_->prompt_tokens(), rollouts_, lending_.ready()};
}

void GeneratorState::show_waiting() {
  if (step_scheduled_ || stopping_) return;
  activity_->enter(
      asked_for_tickets_ && batch_->waiting() == 0 ? "wait for tickets" : "wait for weights",
      false);
}

Generator::behavior_type generator(GeneratorState::Self self, GeneratorPlan plan,
                                   ReplayBuffer buffer, Broadcaster broadcaster) {
  auto& state = self->state;
  report_exceptions(self, *plan.telemetry, plan.name);
  self->set_down_handler([&state](const caf::down_msg& down) { state.verifier_down(down.source); });
  const Timed timed(*plan.telemetry, plan.name);
  state.begin(self, std::move(plan), std::move(buffer), std::move(broadcaster));
  return {
      timed([&state](take_atom, std::uint32_t count, const RolloutIds& acknowledged) {
        return state.take(count, acknowledged);
      }),
      timed([&state](stop_atom) -> caf::result<GeneratorTotals> { return state.stop(); }),
      timed([&state](hand_over_atom) -> caf::result<GeneratorTotals> { return state.hand_over(); }),
      timed([&state](step_atom) { state.step(); }),
      timed([&state](check_atom) { state.check(); }),
  };
}

}  // namespace troupe
