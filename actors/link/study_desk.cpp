#include "actors/link/study_desk.hpp"

#include "actors/errors.hpp"
#include "actors/link/batch_desk.hpp"
#include "actors/link/batch_proxy.hpp"
#include "actors/link/generator_proxies.hpp"  // flush_atom
#include "actors/telemetry/rollout_log.hpp"

#include <caf/send.hpp>
#include <kj/debug.h>
#include <utility>

namespace troupe {
namespace {

constexpr std::size_t kWaitingBytes = std::size_t{8} << 20;  // of rollouts to be shown

class LearnerSiteServer final : public wire::LearnerSite::Server {
 public:
  explicit LearnerSiteServer(StudyDesk& desk) : desk_(desk) {}
  kj::Promise<void> begin(BeginContext context) override {
    const auto params = context.getParams();
    kj::Maybe<wire::BatchSource::Client> batches;
    if (params.hasBatches()) batches = params.getBatches();
    desk_.begin(read_sheet(params.getSheet()), kj::mv(batches));
    return kj::READY_NOW;
  }
  kj::Promise<void> stop(StopContext) override {
    desk_.stop();
    return kj::READY_NOW;
  }
  kj::Promise<void> dismiss(DismissContext context) override {
    desk_.finish({SiteEnd::Kind::dismissed, context.getParams().getReason()});
    return kj::READY_NOW;
  }

 private:
  StudyDesk& desk_;
};

class StudyBatches final : public BatchWay {
 public:
  StudyBatches(StudyDesk::Post post, std::uint64_t cast) : post_(std::move(post)), cast_(cast) {}
  void take(const TrainedReport& report, Answer<BatchPtr> answer) override {
    call<BatchPtr>(std::move(answer), [report](StudyDesk& desk) { return desk.take(report); });
  }
  void settle(const TrainedReport& report, Answer<caf::unit_t> answer) override {
    call<caf::unit_t>(std::move(answer), [report](StudyDesk& desk) {
      return desk.settle(report).then([] { return caf::unit_t{}; });
    });
  }

 private:
  template <class T, class Call>
  void call(Answer<T> answer, Call call) {
    auto kept = std::make_shared<Answer<T>>(std::move(answer));  // std::function copies
    post_([kept, cast = cast_, call](StudyDesk& desk) {
      if (!desk.cast_for(cast))
        return kept->give(make_error(Errc::link_lost, "this casting has ended"));
      desk.keep(deliver<T>(kj::evalNow([&] { return call(desk); }), Answer<T>(std::move(*kept))));
    });
  }

  StudyDesk::Post post_;
  std::uint64_t cast_;
};

}  // namespace

StudyDesk::StudyDesk(wire::Loop& loop, const StudyPlan& plan, Post post, Finish finish)
    : plan_(plan),
      timer_(loop.timer),
      post_(std::move(post)),
      finish_(std::move(finish)),
      shown_(nothing_shown()),
      dispatch_(loop, plan_.weights, *plan_.telemetry) {
  spawn_porter();
  reporter_ = plan_.system->spawn([post = post_](caf::event_based_actor*) -> caf::behavior {
    return {[post](updated_atom, std::int32_t, const Weights& weights) {
              post([version = weights.version()](StudyDesk& desk) { desk.published(version); });
            },
            [post](ended_atom, const LearnerOutcome& outcome) {
              post([outcome](StudyDesk& desk) { desk.ended(outcome); });
            }};
  });
  learner_ = plan_.cast_learner(caf::actor_cast<Conductor>(reporter_));
  run_in(porter_, [learner = learner_](caf::event_based_actor* self) { self->monitor(learner); });
  const auto tell = [post = post_](const LearnerNews& news) {
    post([news](StudyDesk& desk) { desk.record(news); });
  };
  plan_.telemetry->listen({tell, tell});
  if (RolloutLog* const rollouts = plan_.telemetry->rollouts())
    rollouts->hand_on([post = post_](const ShownRollout& rollout) {
      post([rollout](StudyDesk& desk) { desk.show(rollout); });
    });
  if (plan_.tls) tls_ = kj::heap<wire::TlsContext>(*plan_.tls, timer_);
  if (!plan_.listen.empty())
    gate_ = kj::heap<WeightGate>(
        loop, plan_, WeightGatePlan{plan_.listen, plan_.address, "broadcaster"}, tls_.get(),
        dispatch_, DeskTerms{porter_, plan_.deadlines.request}, [this] { return broadcaster_; },
        membership_);
  Membership::Events events;
  events.joined = [this](capnp::Capability::Client granted) { joined(kj::mv(granted)); };
  events.left = [this] { batches_ = nullptr; };
  events.report = [](capnp::Capability::Client granted, const SiteReport& facts) {
    auto request = granted.castAs<wire::LearnerPost>().reportRequest();
    write(facts, request.initFacts());
    return request.send().ignoreResult();
  };
  events.over = [this](const SiteEnd& end) { this->finish(end); };
  membership_ = kj::heap<Membership>(loop, plan_, tls_.get(), std::move(events));
}

StudyDesk::~StudyDesk() noexcept(false) {
  end_casting("the process ends");
  for (const caf::actor& actor : {caf::actor_cast<caf::actor>(learner_), reporter_, porter_})
    caf::anon_send_exit(actor, caf::exit_reason::user_shutdown);
}

/// Asks local actors on the loop's behalf, and watches the learner.
void StudyDesk::spawn_porter() {
  porter_ = plan_.system->spawn([post = post_](caf::event_based_actor* self) -> caf::behavior {
    self->set_down_handler([post](const caf::down_msg& down) {
      post([why = describe(down.reason)](StudyDesk& desk) {
        desk.finish({SiteEnd::Kind::actor_died, "the learner died: " + why});
      });
    });
    return {errand_handler(self)};
  });
}

void StudyDesk::joined(capnp::Capability::Client post) {
  auto request = post.castAs<wire::LearnerPost>().enlistRequest();
  request.setSite(kj::heap<LearnerSiteServer>(*this));
  request.setWeights(dispatch_.source(
      {porter_, plan_.deadlines.request}, [this] { return broadcaster_; }, plan_.gate_role));
  if (gate_.get() != nullptr) request.setAddress(gate_->address());
  keep(timer_.timeoutAfter(wire::duration(plan_.limits.call_seconds), request.send().ignoreResult())
           .then([this] { send_news(); }));
}

/// After a lost link the same cast goes on with the new way to batches.
void StudyDesk::begin(const CallSheet& sheet, kj::Maybe<wire::BatchSource::Client> batches) {
  const bool learns_from_batches = batches != nullptr;
  batches_ = kj::mv(batches);
  if (sheet_ && sheet_->cast == sheet.cast) {
    if (buffer_) caf::anon_send(buffer_, attached_atom::value);
    return send_news();
  }
  end_casting("cast anew");
  sheet_ = sheet;
  published_.reset();
  news_.clear();
  sequence_ = 1;
  shown_ = nothing_shown();
  broadcaster_ = plan_.cast_broadcaster(learns_from_batches);
  if (learns_from_batches)
    buffer_ = plan_.system->spawn(batch_proxy, std::make_shared<StudyBatches>(post_, sheet.cast),
                                  plan_.deadlines);
  caf::anon_send(learner_, begin_atom::value,
                 plan_.stage_plan(sheet, caf::actor_cast<ReplayBuffer>(buffer_), broadcaster_));
}

void StudyDesk::stop() {
  caf::anon_send(learner_, stop_atom::value);
}

void StudyDesk::end_casting(const char* why) {
  if (sheet_) plan_.telemetry->event("dismissed", plan_.name + ": " + why);
  sheet_.reset();
  if (buffer_) caf::anon_send_exit(buffer_, caf::exit_reason::user_shutdown);
  if (broadcaster_) caf::anon_send_exit(broadcaster_, caf::exit_reason::user_shutdown);
  buffer_ = nullptr;
  broadcaster_ = nullptr;
}

void StudyDesk::record(const LearnerNews& news) {
  std::visit([this](const auto& record) { news_.emplace_back(record); }, news);
  send_news();
}

ShownQueue StudyDesk::nothing_shown() const {
  return ShownQueue({kWaitingBytes, shown_bytes(plan_.limits.frame_bytes)});
}

void StudyDesk::show(const ShownRollout& rollout) {
  if (!sheet_) return;
  const ShownQueue::LeftOut left_out = shown_.add(rollout);
  not_shown(plan_.telemetry->metrics(), "too_large", left_out.too_large);
  not_shown(plan_.telemetry->metrics(), "backlog", left_out.backlog);
  send_news();
}

void StudyDesk::published(PolicyVersion version) {
  published_ = version;
}

/// A supervised stage publishes nothing but what it ends with.
void StudyDesk::ended(const LearnerOutcome& outcome) {
  if (!sheet_) return;
  if (!published_ || *published_ < outcome.weights.version())
    caf::anon_send(broadcaster_, publish_atom::value, outcome.weights);
  keep(end_stage(sheet_->cast, {outcome, outcome.weights.version(),
                                plan_.telemetry->activity("learner").totals_since_mark()}));
}

/// First what became of the last batch, then the end, so that the ledger is closed with all of it.
kj::Promise<void> StudyDesk::end_stage(std::uint64_t cast, RemoteOutcome outcome) {
  kj::Promise<bool> settled = true;
  if (buffer_) settled = ask<bool>(porter_, buffer_, plan_.deadlines.request, flush_atom::value);
  return settled.then(
      [this, cast, outcome](bool) {
        if (!sheet_ || sheet_->cast != cast) return kj::Promise<void>(kj::READY_NOW);
        news_.emplace_back(outcome);
        send_news();
        return kj::Promise<void>(kj::READY_NOW);
      },
      [this, cast,
       outcome](kj::Exception&&) {  // the link is away for long: for as long as it takes
        if (!sheet_ || sheet_->cast != cast) return kj::Promise<void>(kj::READY_NOW);
        return end_stage(cast, outcome);
      });
}

/// One at a time, so that they arrive in order; what is not known to have arrived is sent again after the rejoin, or soon.
void StudyDesk::send_news() {
  if (sending_ || membership_->away()) return;
  if (!shown_.empty()) return send_shown();
  if (news_.empty()) return;
  sending_ = true;
  const std::uint64_t cast = sheet_->cast;
  keep(kj::evalNow(
           [&] { return sent(membership_->post().castAs<wire::LearnerPost>(), news_.front()); })
           .then(
               [this, cast] {
                 sending_ = false;
                 if (!sheet_ || sheet_->cast != cast) return send_news();
                 news_.pop_front();
                 ++sequence_;
                 send_news();
               },
               [this](kj::Exception&& exception) {
                 sending_ = false;
                 if (exception.getType() == kj::Exception::Type::DISCONNECTED) return;
                 keep(timer_.afterDelay(1 * kj::SECONDS).then([this] { send_news(); }));
               }));
}

/// What is shown of an update comes before its record, and holds it up for one call at most.
void StudyDesk::send_shown() {
  sending_ = true;
  const std::uint64_t cast = sheet_->cast, number = shown_.front().number;
  keep(kj::evalNow([&] {
         auto request = membership_->post().castAs<wire::LearnerPost>().showRequest();
         request.setSequence(number);
         request.setRollout(shown_.front().rollout.read());
         return timer_.timeoutAfter(wire::duration(plan_.limits.call_seconds),
                                    request.send().ignoreResult());
       })
           .then(
               [this, cast, number] {
                 sending_ = false;
                 if (sheet_ && sheet_->cast == cast) shown_.forget_below(number + 1);
                 send_news();
               },
               [this, cast, number](kj::Exception&& exception) {
                 sending_ = false;
                 if (exception.getType() == kj::Exception::Type::DISCONNECTED) return;
                 if (sheet_ && sheet_->cast == cast) not_taken(number, exception);
                 send_news();
               }));
}

/// A rollout that is refused is left out, and where the other side has no time for them, or knows of none, all that wait.
void StudyDesk::not_taken(std::uint64_t number, const kj::Exception& exception) {
  const bool all = exception.getType() != kj::Exception::Type::FAILED;
  not_shown(plan_.telemetry->metrics(), "refused",
            shown_.forget_below(all ? shown_.end() : number + 1));
}

kj::Promise<void> StudyDesk::sent(wire::LearnerPost::Client post, const News& news) {
  const auto in_time = [this](auto request) {
    return timer_.timeoutAfter(wire::duration(plan_.limits.call_seconds),
                               request.send().ignoreResult());
  };
  if (const auto* record = std::get_if<RolloutUpdateRecord>(&news)) {
    auto request = post.trainedRequest();
    request.setSequence(sequence_);
    write(*record, request.initRecord());
    return in_time(kj::mv(request));
  }
  if (const auto* record = std::get_if<SupervisedRecord>(&news)) {
    auto request = post.supervisedRequest();
    request.setSequence(sequence_);
    write(*record, request.initRecord());
    return in_time(kj::mv(request));
  }
  auto request = post.endedRequest();
  request.setCast(sheet_->cast);
  write(std::get<RemoteOutcome>(news), request.initOutcome());
  return in_time(kj::mv(request));
}

kj::Promise<BatchPtr> StudyDesk::take(const TrainedReport& report) {
  KJ_IF_MAYBE (batches, batches_)
    return fetch_batch(*batches, report, plan_.limits.call_seconds, timer_);
  return KJ_EXCEPTION(DISCONNECTED, "the link is away");
}

kj::Promise<void> StudyDesk::settle(const TrainedReport& report) {
  KJ_IF_MAYBE (batches, batches_) {
    auto request = batches->settleRequest();
    write(report, request.initReport());
    return timer_.timeoutAfter(wire::duration(plan_.limits.call_seconds),
                               request.send().ignoreResult());
  }
  return KJ_EXCEPTION(DISCONNECTED, "the link is away");
}

void StudyDesk::finish(const SiteEnd& end) {
  if (std::exchange(ended_, true)) return;
  end_casting("the run is over");
  membership_->quiet();
  finish_(end);
}

void StudyDesk::taskFailed(kj::Exception&& exception) {
  plan_.telemetry->event("link_error", exception.getDescription().cStr());
}

}  // namespace troupe
