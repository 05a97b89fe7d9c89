#include "actors/replay_buffer/replay_buffer.hpp"

#include "actors/errors.hpp"
#include "actors/report_exceptions.hpp"
#include "actors/telemetry/lineage.hpp"
#include "actors/timed.hpp"

#include <caf/send.hpp>
#include <caf/typed_response_promise.hpp>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <utility>

namespace troupe {

void ReplayBufferState::begin(ReplayBufferPlan taken) {
  plan = std::move(taken);
  std::function<void(const DroppedRollout&)> on_dropped;
  if (Lineage* lineage = plan.telemetry->lineage()) {
    const LedgerConfig& rules = plan.ledger;
    lineage->rules(
        {rules.staleness_bound, rules.first_version, rules.batch, rules.group_size, rules.updates});
    on_dropped = [lineage](const DroppedRollout& rollout) { lineage->dropped(rollout); };
  }
  ledger = Ledger(plan.ledger, on_dropped);
  Metrics& metrics = plan.telemetry->metrics();
  appended = &metrics.counter("troupe_replay_appended_total");
  consumed = &metrics.counter("troupe_replay_consumed_total");
  duplicates = &metrics.counter("troupe_replay_duplicate_appends_total");
  metrics.gauge("troupe_ledger_staleness_bound_versions")
      .Set(static_cast<double>(plan.ledger.staleness_bound));
  activity = &plan.telemetry->activity("replay-buffer");
}

double ReplayBufferState::seconds(caf::actor_clock::time_point now) const {
  return std::chrono::duration<double>(now - started).count();
}

void ReplayBufferState::settle(const TrainedReport& report) {
  const bool told_before = !leased || leased->id != report.batch;
  if (!report.had_batch || told_before) return;
  leased = nullptr;
  const LedgerRecord before = ledger.record();
  if (report.refused.empty())
    ledger.trained(report.batch);
  else
    ledger.refused(report.batch, report.refused);
  consumed->Increment(
      static_cast<double>(ledger.record().trained_rollouts - before.trained_rollouts));
}

void ReplayBufferState::serve(caf::actor_clock::time_point now) {
  if (plan.telemetry->paused()) return;  // who waits asks again; the next check looks again
  serve_learner();
  serve_generators(seconds(now));
}

void ReplayBufferState::serve_learner() {
  while (!learner.empty()) {
    auto batch = ledger.take(learner.front().wish);
    if (!batch) return;
    leased = std::make_shared<const Batch>(std::move(*batch));
    learner.front().promise.deliver(leased);
    learner.pop_front();
    report();
  }
}

/// Deals tickets one by one around those who wait, so that no generator gets all of a narrow
/// window.
void ReplayBufferState::serve_generators(double now) {
  if (generators.empty()) return;
  std::deque<Tickets> dealt(generators.size());
  bool open = true, any = false;
  while (open) {
    bool wanted = false;
    for (std::size_t i = 0; i < generators.size() && open; ++i) {
      const TicketWish& wish = generators[i].wish;
      if (dealt[i].size() >= wish.count || !ledger.grants_to(wish.holder)) continue;
      auto ticket = ledger.grant(wish.holder, now, plan.next_prompt);
      open = ticket.has_value();
      if (!open) break;
      dealt[i].push_back(std::move(*ticket));
      wanted = any = true;
    }
    open = open && wanted;
  }
  if (!any) return;
  std::deque<bool> answered(generators.size(), false);
  for (std::size_t i = 0; i < dealt.size(); ++i) {
    if (dealt[i].empty()) continue;
    answered[i] = true;
    generators[i].promise.deliver(std::move(dealt[i]));
  }
  generators.erase_answered(answered);
}

/// Who ends normally has delivered all it had finished.
void ReplayBufferState::end(const std::string& holder, bool left) {
  generators.forget_if([&](const TicketWish& wish) { return wish.holder == holder; });
  if (left) return ledger.leave(holder);
  plan.telemetry->event("generator_lost", holder + " is gone: its tickets are issued again");
  ledger.lose(holder);
}

void ReplayBufferState::report() {
  const LedgerRecord record = ledger.record();
  Metrics& metrics = plan.telemetry->metrics();
  metrics.gauge("troupe_replay_leased").Set(static_cast<double>(ledger.leased_rollouts()));
  const auto count = [&](const char* label, const char* reason, std::uint64_t& exported) {
    const auto dropped = record.dropped_rollouts.find(reason);
    if (dropped == record.dropped_rollouts.end()) return;
    metrics.counter("troupe_replay_expired_total", label)
        .Increment(static_cast<double>(dropped->second - exported));
    exported = dropped->second;
  };
  count("stale", "stale", expired_stale);
  count("ttl", "deadline", expired_deadline);
  plan.telemetry->record(record);
  const std::uint64_t now_moved =
      record.generated_rollouts + record.trained_rollouts + record.tickets_granted;
  if (std::exchange(moved, now_moved) != now_moved) plan.telemetry->progress(name);
}

ReplayBuffer::behavior_type replay_buffer(ReplayBuffer::stateful_pointer<ReplayBufferState> self,
                                          ReplayBufferPlan plan) {
  auto& state = self->state;
  report_exceptions(self, *plan.telemetry, state.name);
  state.begin(std::move(plan));
  state.started = self->clock().now();
  self->delayed_send(self, state.plan.deadlines.check_interval(), check_atom::value);
  self->set_down_handler([self, &state](const caf::down_msg& down) {
    const auto holder = state.holders.find(down.source);
    if (holder == state.holders.end() || state.closed) return;
    state.end(holder->second, down.reason == caf::exit_reason::normal);
    state.holders.erase(holder);
    state.serve(self->clock().now());
  });
  const Timed timed(*state.plan.telemetry, state.name);
  return {
      timed([self, &state](grant_atom, const std::string& holder,
                           std::uint32_t count) -> caf::result<Tickets> {
        if (state.closed) return refused(*state.plan.telemetry, Errc::stage_over);
        const auto sender = caf::actor_cast<caf::actor_addr>(self->current_sender());
        if (state.holders.emplace(sender, holder).second) self->monitor(sender);
        auto promise = self->make_response_promise<Tickets>();
        state.ledger.asks(holder);
        state.generators.add(promise, {holder, count}, self->clock().now());
        state.serve(self->clock().now());
        return promise;
      }),
      timed([self, &state](notice_atom, const RolloutNotices& notices) {
        for (const RolloutNotice& notice : notices) state.ledger.notice(notice);
        state.serve(self->clock().now());
      }),
      timed([self, &state](append_atom, const GradedRollouts& rollouts) -> caf::result<RolloutIds> {
        state.activity->enter("append", true);
        RolloutIds acknowledged;
        const std::uint64_t before = state.ledger.record().duplicate_rollouts;
        for (const GradedRollout& graded : rollouts) {
          acknowledged.push_back(delivery_id(graded.rollout.read()));
          state.ledger.append(graded);
        }
        state.appended->Increment(static_cast<double>(rollouts.size()));
        state.duplicates->Increment(
            static_cast<double>(state.ledger.record().duplicate_rollouts - before));
        state.serve(self->clock().now());
        state.activity->enter("wait", false);
        return acknowledged;
      }),
      timed([self, &state](take_atom, const TrainedReport& report) -> caf::result<BatchPtr> {
        state.settle(report);
        state.report();
        if (state.closed) return refused(*state.plan.telemetry, Errc::stage_over);
        if (!state.learner.empty()) return refused(*state.plan.telemetry, Errc::already_waiting);
        if (state.leased) return state.leased;  // the answer before never arrived
        auto promise = self->make_response_promise<BatchPtr>();
        state.learner.add(promise, report.version, self->clock().now());
        state.serve(self->clock().now());
        return promise;
      }),
      timed([&state](settle_atom, const TrainedReport& report) {
        state.settle(report);
        state.report();
      }),
      timed([&state](ledger_atom) -> caf::result<LedgerRecord> { return state.ledger.record(); }),
      timed([&state](close_atom, const std::string& reason) -> caf::result<LedgerRecord> {
        state.closed = true;
        for (std::size_t i = state.generators.size() + state.learner.size(); i > 0; --i)
          count_dropped(*state.plan.telemetry, to_string(Errc::stage_over));
        state.generators.refuse_all(make_error(Errc::stage_over));
        state.learner.refuse_all(make_error(Errc::stage_over));
        state.ledger.close(reason);
        state.report();
        return state.ledger.record();
      }),
      timed([self, &state](check_atom) {
        const auto now = self->clock().now();
        state.plan.telemetry->metrics()
            .gauge("troupe_actor_mailbox_depth", state.name)
            .Set(static_cast<double>(self->mailbox().size()));
        state.ledger.expire(state.seconds(now));
        state.serve(now);
        state.generators.answer_impatient(now, state.plan.deadlines.patience());
        state.learner.answer_impatient(now, state.plan.deadlines.patience());
        self->delayed_send(self, state.plan.deadlines.check_interval(), check_atom::value);
      }),
  };
}

}  // namespace troupe
