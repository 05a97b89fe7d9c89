#include "actors/link/generator_stand_in.hpp"

#include "actors/errors.hpp"

#include <algorithm>
#include <prometheus/counter.h>
#include <utility>

namespace troupe {

void GeneratorStandInState::begin(Self self, GeneratorStandInPlan plan, ReplayBuffer buffer,
                                  Broadcaster broadcaster) {
  self_ = self;
  plan_ = std::move(plan);
  lending_.count_in(*plan_.telemetry);
  buffer_ = std::move(buffer);
  plan_.seat->begin(plan_.sheet, self_, broadcaster,
                    {self_, [this](const caf::expected<caf::unit_t>& begun) {
                       if (begun) return attached();
                       const Errc code = code_of(begun.error());
                       if (code == Errc::link_busy) return self_->quit(begun.error());
                       if (code != Errc::link_lost) lost(describe(begun.error()));
                     }});
  self_->delayed_send(self_, plan_.deadlines.check_interval(), check_atom::value);
}

std::string GeneratorStandInState::holder() const {
  return plan_.name + "#" + std::to_string(plan_.sheet.cast);
}

void GeneratorStandInState::refuse(const char* what) {
  plan_.telemetry->metrics().counter("troupe_actor_dropped_messages_total", what).Increment();
}

/// One grant is under way at a time. Its asker may come again with the same sequence, after a lost link.
caf::result<Tickets> GeneratorStandInState::grant(std::uint64_t sequence, std::uint32_t count) {
  if (stopping_) return make_error(Errc::stage_over);
  if (sequence == sequence_ && answered_) return *answered_;
  if (sequence < sequence_) return make_error(Errc::link_failed, "a grant out of order");
  auto promise = self_->make_response_promise<Tickets>();
  asker_ = promise;
  sequence_ = sequence;
  answered_.reset();
  if (std::exchange(granting_, true)) return promise;
  self_
      ->request(buffer_, plan_.deadlines.request, grant_atom::value, holder(),
                std::min(count, plan_.tickets_at_once))
      .then(
          [this](const Tickets& tickets) {
            granting_ = false;
            granted_.add(tickets);
            answered_ = tickets;
            if (asker_) std::exchange(asker_, std::nullopt)->deliver(tickets);
          },
          [this](const caf::error& error) {
            granting_ = false;
            if (asker_) std::exchange(asker_, std::nullopt)->deliver(error);
          });
  return promise;
}

caf::result<bool> GeneratorStandInState::notice(const RolloutNotices& notices) {
  RolloutNotices own;
  for (const RolloutNotice& notice : notices) {
    if (!granted_.has(notice.ticket, notice.attempt)) {
      refuse("not_granted");
      continue;
    }
    own.push_back(notice);
    if (!notice.part) continue;
    ++handed_over_;
    handed_over_tokens_ += notice.tokens;
  }
  if (!own.empty()) self_->send(buffer_, notice_atom::value, std::move(own));
  return true;
}

void GeneratorStandInState::attached() {
  attached_ = true;
  pull();
}

caf::result<bool> GeneratorStandInState::leave() {
  plan_.telemetry->event("handed_over", plan_.name + " hands over " + std::to_string(handed_over_) +
                                            " unfinished rollouts, " +
                                            std::to_string(handed_over_tokens_) + " tokens");
  auto promise = self_->make_response_promise<bool>();
  leaver_ = promise;
  pull();
  return promise;
}

void GeneratorStandInState::lost(const std::string& reason) {
  attached_ = false;
  if (!emptied_) return self_->quit(make_error(Errc::link_lost, reason));
  end_when_empty();
}

void GeneratorStandInState::end_when_empty() {
  if (emptied_ && !attached_ && lending_.size() == 0) self_->quit(caf::exit_reason::normal);
}

/// One request is open at a time: the process answers when it has rollouts, or with none after a while.
void GeneratorStandInState::pull() {
  const bool room = lending_.size() < plan_.outbox_limit || leaver_;
  if (!attached_ || pulling_ || stopping_ || emptied_ || !room) return;
  pulling_ = true;
  RolloutIds sent = std::exchange(acknowledged_, {});
  plan_.seat->take(
      plan_.rollouts_at_once, sent,
      {self_, [this, sent](const caf::expected<Rollouts>& rollouts) { pulled(rollouts, sent); }});
}

void GeneratorStandInState::pulled(const caf::expected<Rollouts>& rollouts,
                                   const RolloutIds& sent) {
  pulling_ = false;
  if (!rollouts) {
    acknowledged_.insert(acknowledged_.end(), sent.begin(), sent.end());  // to be told again
    const Errc code = code_of(rollouts.error());
    if (stopping_) return;  // the stage ends, and so does who would have answered
    if (code == Errc::link_busy) return pull();
    if (code == Errc::link_lost) attached_ = false;  // until `attached`
    if (code != Errc::link_lost) lost(describe(rollouts.error()));
    return;
  }
  for (const Rollout& rollout : *rollouts) {
    const auto reader = rollout.read();
    acknowledged_.push_back(
        delivery_id(reader));  // at once: what is not acknowledged is sent again
    if (!granted_.has(reader.getTicket(), reader.getAttempt()))
      refuse("not_granted");
    else if (!lending_.holds(delivery_id(reader)))  // it came before: its acknowledgement was lost
      lending_.put(rollout);
  }
  if (!rollouts->empty()) plan_.telemetry->progress(plan_.name);
  lending_.serve();
  if (leaver_ && rollouts->empty()) {
    emptied_ = true;
    std::exchange(leaver_, std::nullopt)->deliver(true);
  }
  pull();
}

caf::result<Rollouts> GeneratorStandInState::take(std::uint32_t count,
                                                  const RolloutIds& acknowledged) {
  auto promise = lending_.take(self_, count, acknowledged);
  pull();
  end_when_empty();
  return promise;
}

caf::result<GeneratorTotals> GeneratorStandInState::stop() {
  stopping_ = true;
  auto promise = self_->make_response_promise<GeneratorTotals>();
  plan_.seat->end({self_, [this, promise](const caf::expected<SiteTotals>& totals) mutable {
                     if (totals) {
                       plan_.telemetry->peer_spent(plan_.name, totals->time);
                       promise.deliver(totals->generated);
                     } else {
                       promise.deliver(totals.error());
                     }
                   }});
  return promise;
}

void GeneratorStandInState::verifier_down(const caf::actor_addr& verifier) {
  const std::size_t back = lending_.lose(verifier);
  if (back > 0)
    plan_.telemetry->event("verifier_lost",
                           plan_.name + " lends " + std::to_string(back) + " rollouts again");
}

void GeneratorStandInState::check() {
  lending_.answer_impatient(self_->clock().now(), plan_.deadlines.patience());
  self_->delayed_send(self_, plan_.deadlines.check_interval(), check_atom::value);
}

caf::behavior generator_stand_in(GeneratorStandInState::Self self, GeneratorStandInPlan plan,
                                 ReplayBuffer buffer, Broadcaster broadcaster) {
  auto& state = self->state;
  self->attach_functor([seat = plan.seat, cast = plan.sheet.cast] { seat->release(cast); });
  self->set_down_handler([&state](const caf::down_msg& down) { state.verifier_down(down.source); });
  state.begin(self, std::move(plan), std::move(buffer), std::move(broadcaster));
  return {
      errand_handler(self),
      [&state](grant_atom, std::uint64_t sequence, std::uint32_t count) {
        return state.grant(sequence, count);
      },
      [&state](notice_atom, const RolloutNotices& notices) { return state.notice(notices); },
      [&state](take_atom, std::uint32_t count, const RolloutIds& acknowledged) {
        return state.take(count, acknowledged);
      },
      [&state](attached_atom) { state.attached(); },
      [&state](leave_atom) { return state.leave(); },
      [&state](lost_atom, const std::string& reason) { state.lost(reason); },
      [&state](stop_atom) { return state.stop(); },
      [&state](check_atom) { state.check(); },
  };
}

}  // namespace troupe
