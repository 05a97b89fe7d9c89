#include "actors/link/learner_stand_in.hpp"

#include "actors/errors.hpp"
#include "actors/telemetry/rollout_log.hpp"

#include <utility>

namespace troupe {

void LearnerStandInState::begin(Self self, LearnerStandInPlan plan, Conductor conductor) {
  self_ = self;
  plan_ = std::move(plan);
  conductor_ = std::move(conductor);
  self_->delayed_send(self_, plan_.deadlines.check_interval(), check_atom::value);
}

void LearnerStandInState::begin_stage(const LearnerPlanPtr& stage) {
  stage_ = stage;
  stopping_ = false;
  outcome_.reset();
  heard_ = shown_below_ = 0;
  // A supervised stage ends in a version that is new; an rl stage begins by publishing the newest once more.
  at_least_ = !newest_ ? 0 : newest_.version() + (stage_->rollout ? 0 : 1);
  constexpr std::uint64_t kStages = 4096;  // in a run: a cast is never the same twice
  sheet_ = {plan_.lease * kStages + ++stages_, static_cast<std::uint32_t>(stage_->stage),
            newest_ ? newest_.version() : 0};
  self_->attach_functor([seat = plan_.seat, cast = sheet_.cast] { seat->release(cast); });
  cast();
}

void LearnerStandInState::cast() {
  plan_.seat->begin(sheet_, self_, stage_->rollout ? stage_->rollout->buffer : ReplayBuffer(),
                    {self_, [this](const caf::expected<caf::unit_t>& begun) {
                       if (begun) return attached();
                       if (code_of(begun.error()) != Errc::link_lost) lost(describe(begun.error()));
                     }});
}

/// Told again with each attachment: a stop that is heard twice is one.
void LearnerStandInState::stop() {
  stopping_ = true;
  if (stage_) plan_.seat->stop({self_, [](const caf::expected<caf::unit_t>&) {}});
}

caf::result<BatchPtr> LearnerStandInState::take(const TrainedReport& report) {
  if (!stage_ || !stage_->rollout) return make_error(Errc::stage_over);
  auto promise = self_->make_response_promise<BatchPtr>();
  asker_ = promise;
  if (std::exchange(taking_, true)) return promise;
  self_->request(stage_->rollout->buffer, plan_.deadlines.request, take_atom::value, report)
      .then(
          [this](const BatchPtr& batch) {
            taking_ = false;
            if (asker_) std::exchange(asker_, std::nullopt)->deliver(batch);
          },
          [this](const caf::error& error) {
            taking_ = false;
            if (asker_) std::exchange(asker_, std::nullopt)->deliver(error);
          });
  return promise;
}

caf::result<bool> LearnerStandInState::settle(const TrainedReport& report) {
  if (!stage_ || !stage_->rollout) return true;  // of a stage that is over
  self_->send(stage_->rollout->buffer, settle_atom::value, report);
  auto promise = self_->make_response_promise<bool>();
  // The answer that comes after it shows that it has been settled.
  self_->request(stage_->rollout->buffer, plan_.deadlines.request, ledger_atom::value)
      .then([promise](const LedgerRecord&) mutable { promise.deliver(true); },
            [promise](const caf::error& error) mutable { promise.deliver(error); });
  return promise;
}

bool LearnerStandInState::record(std::uint64_t sequence, const LearnerNews& news) {
  if (!stage_ || sequence != heard_ + 1) return true;
  heard_ = sequence;
  plan_.telemetry->progress(plan_.name);
  std::visit(
      [this](auto record) {
        record.seconds_since_start = plan_.telemetry->seconds_since_start();
        plan_.telemetry->record(record, Telemetry::Origin::elsewhere);
      },
      news);
  return true;
}

bool LearnerStandInState::show(std::uint64_t number, const ShownRollout& rollout) {
  if (!stage_ || number < shown_below_) return true;
  shown_below_ = number + 1;
  if (RolloutLog* const rollouts = plan_.telemetry->rollouts()) rollouts->show(rollout);
  return true;
}

bool LearnerStandInState::ended(std::uint64_t cast, const RemoteOutcome& outcome) {
  if (!stage_ || cast != sheet_.cast) return true;
  outcome_ = outcome;
  plan_.telemetry->peer_spent(plan_.name, outcome.time);
  end_stage();
  return true;
}

/// The conductor hears of the end once, with the weights.
void LearnerStandInState::end_stage() {
  if (!stage_ || !outcome_ || !newest_ || newest_.version() < outcome_->version) return;
  stage_ = nullptr;
  LearnerOutcome outcome = std::exchange(outcome_, std::nullopt)->outcome;
  outcome.weights = newest_;
  self_->send(conductor_, ended_atom::value, std::move(outcome));
}

void LearnerStandInState::attached() {
  if (stopping_) stop();
  pull();
}

void LearnerStandInState::lost(const std::string& reason) {
  self_->quit(make_error(Errc::link_lost, reason));
}

/// Each version as it comes; in a supervised stage only the one it ends with.
void LearnerStandInState::pull() {
  if (!stage_ || pulling_) return;
  pulling_ = true;
  plan_.seat->next_weights(
      at_least_, {self_, [this, cast = sheet_.cast](const caf::expected<Weights>& weights) {
                    pulling_ = false;
                    return cast == sheet_.cast ? came(weights) : pull();
                  }});
}

void LearnerStandInState::came(const caf::expected<Weights>& weights) {
  if (!stage_) return;
  if (!weights) {
    const Errc code = code_of(weights.error());
    const bool passes = code == Errc::link_lost || code == Errc::link_busy ||
                        code == Errc::digest_mismatch;  // tried again with the next check
    return passes ? void() : lost(describe(weights.error()));
  }
  if (*weights) {
    newest_ = *weights;
    at_least_ = newest_.version() + 1;
    if (stage_->rollout) {
      self_->send(stage_->rollout->broadcaster, publish_atom::value, newest_);
      self_->send(conductor_, updated_atom::value,
                  static_cast<std::int32_t>(newest_.version() - sheet_.first_version), newest_);
    }
    end_stage();
  }
  pull();
}

void LearnerStandInState::check() {
  pull();
  self_->delayed_send(self_, plan_.deadlines.check_interval(), check_atom::value);
}

caf::behavior learner_stand_in(LearnerStandInState::Self self, LearnerStandInPlan plan,
                               const Conductor& conductor) {
  auto& state = self->state;
  state.begin(self, std::move(plan), conductor);
  return {
      errand_handler(self),
      [&state](begin_atom, const LearnerPlanPtr& stage) { state.begin_stage(stage); },
      [&state](stop_atom) { state.stop(); },
      [&state](take_atom, const TrainedReport& report) { return state.take(report); },
      [&state](settle_atom, const TrainedReport& report) { return state.settle(report); },
      [&state](record_atom, std::uint64_t sequence, const LearnerNews& news) {
        return state.record(sequence, news);
      },
      [&state](show_atom, std::uint64_t number, const ShownRollout& rollout) {
        return state.show(number, rollout);
      },
      [&state](ended_atom, std::uint64_t cast, const RemoteOutcome& outcome) {
        return state.ended(cast, outcome);
      },
      [&state](attached_atom) { state.attached(); },
      [&state](lost_atom, const std::string& reason) { state.lost(reason); },
      [&state](check_atom) { state.check(); },
  };
}

}  // namespace troupe
