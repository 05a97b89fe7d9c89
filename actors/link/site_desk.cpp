#include "actors/link/site_desk.hpp"

#include "actors/errors.hpp"
#include "actors/link/codec.hpp"
#include "actors/link/generator_proxies.hpp"
#include "actors/link/site_servers.hpp"
#include "actors/link/verifier_proxies.hpp"

#include <algorithm>
#include <caf/send.hpp>
#include <kj/debug.h>
#include <utility>

namespace troupe {
namespace {

/// Runs a call on the loop and answers an actor. `call(SiteDesk&)` gives the promise. What is called for a casting that
/// has ended is lost: a proxy may outlive it by a moment, and must not speak in the name of its successor.
template <class T, class Call>
void on_desk(const SiteDesk::Post& post, std::uint64_t cast, Answer<T> answer, Call call) {
  auto kept = std::make_shared<Answer<T>>(std::move(answer));  // std::function copies
  post([kept, cast, call](SiteDesk& desk) {
    if (!desk.cast_for(cast))
      return kept->give(make_error(Errc::link_lost, "this casting has ended"));
    desk.keep(deliver<T>(kj::evalNow([&] { return call(desk); }), Answer<T>(std::move(*kept))));
  });
}

kj::Promise<caf::unit_t> unit(kj::Promise<void> promise) {
  return promise.then([] { return caf::unit_t{}; });
}

class DeskTickets final : public TicketWay {
 public:
  DeskTickets(SiteDesk::Post post, std::uint64_t cast) : post_(std::move(post)), cast_(cast) {}
  void grant(std::uint64_t sequence, std::uint32_t count, Answer<Tickets> answer) override {
    on_desk<Tickets>(post_, cast_, std::move(answer),
                     [=](SiteDesk& desk) { return desk.grant(sequence, count); });
  }
  void notice(const RolloutNotices& notices, Answer<caf::unit_t> answer) override {
    on_desk<caf::unit_t>(post_, cast_, std::move(answer),
                         [=](SiteDesk& desk) { return unit(desk.notice(notices)); });
  }

 private:
  SiteDesk::Post post_;
  std::uint64_t cast_;
};

class DeskWeights final : public WeightWay {
 public:
  DeskWeights(SiteDesk::Post post, std::uint64_t cast) : post_(std::move(post)), cast_(cast) {}
  void next(std::uint64_t at_least, Answer<Weights> answer) override {
    on_desk<Weights>(post_, cast_, std::move(answer),
                     [=](SiteDesk& desk) { return desk.next_weights(at_least); });
  }

 private:
  SiteDesk::Post post_;
  std::uint64_t cast_;
};

class DeskVerdicts final : public VerdictWay {
 public:
  DeskVerdicts(SiteDesk::Post post, std::uint64_t cast) : post_(std::move(post)), cast_(cast) {}
  void append(const GradedRollouts& graded, Answer<RolloutIds> answer) override {
    on_desk<RolloutIds>(post_, cast_, std::move(answer),
                        [=](SiteDesk& desk) { return desk.append(graded); });
  }

 private:
  SiteDesk::Post post_;
  std::uint64_t cast_;
};

class DeskRollouts final : public RolloutWay {
 public:
  DeskRollouts(SiteDesk::Post post, std::uint64_t cast, std::uint64_t source)
      : post_(std::move(post)), cast_(cast), source_(source) {}
  void take(std::uint32_t count, const RolloutIds& acknowledged, Answer<Rollouts> answer) override {
    on_desk<Rollouts>(post_, cast_, std::move(answer), [=, source = source_](SiteDesk& desk) {
      return desk.take_from(source, count, acknowledged);
    });
  }

 private:
  SiteDesk::Post post_;
  std::uint64_t cast_;
  std::uint64_t source_;
};

}  // namespace

SiteDesk::SiteDesk(wire::Loop& loop, const SitePlan& plan, Post post, Finish finish)
    : plan_(plan), timer_(loop.timer), post_(std::move(post)), finish_(std::move(finish)) {
  porter_ = plan_.system->spawn([post = post_](caf::event_based_actor* self) -> caf::behavior {
    self->set_down_handler([post](const caf::down_msg& down) {
      post([reason = down.reason, who = down.source](SiteDesk& desk) {
        desk.actor_ended(who, reason);
      });
    });
    return {errand_handler(self)};
  });
  if (plan_.tls) tls_ = kj::heap<wire::TlsContext>(*plan_.tls, timer_);
  if (plan_.role == "generator") {
    intake_.emplace(loop, plan_.weights, plan_.limits.call_seconds, plan_.deadlines, *plan_.system,
                    *plan_.telemetry);
    link_.emplace(loop, plan_, "broadcaster", tls_.get(),
                  WeightLink::Events{[this] { return membership_->run_id(); },
                                     [this] { weights_attached(); }});
  }
  if (!plan_.relay_listen.empty()) open_gate(loop);
  Membership::Events events;
  events.joined = [this](capnp::Capability::Client granted) { joined(kj::mv(granted)); };
  events.left = [this] { left(); };
  events.report = [this](capnp::Capability::Client granted, const SiteReport& facts) {
    return report(kj::mv(granted), facts);
  };
  events.over = [this](const SiteEnd& end) { this->finish(end.kind, end.text); };
  membership_ = kj::heap<Membership>(loop, plan_, tls_.get(), std::move(events));
}

/// For other generators: what is fetched here and attested is handed on.
void SiteDesk::open_gate(wire::Loop& loop) {
  dispatch_.emplace(loop, plan_.weights, *plan_.telemetry);
  gate_ = kj::heap<WeightGate>(
      loop, plan_, WeightGatePlan{plan_.relay_listen, plan_.relay_listen, "generator"}, tls_.get(),
      *dispatch_, DeskTerms{porter_, plan_.deadlines.request},
      [this] { return caf::actor_cast<Broadcaster>(relayed_); }, membership_);
}

SiteDesk::~SiteDesk() noexcept(false) {
  stop_casting("the process ends");
  caf::anon_send_exit(porter_, caf::exit_reason::user_shutdown);
}

void SiteDesk::joined(capnp::Capability::Client post) {
  if (plan_.role == "generator") {
    auto request = post.castAs<wire::GeneratorPost>().enlistRequest();
    request.setSite(kj::heap<GeneratorSiteServer>(*this));
    if (gate_.get() != nullptr) request.setRelayPort(gate_->port());
    return keep(in_time(request.send().ignoreResult()));
  }
  auto request = post.castAs<wire::VerifierPost>().enlistRequest();
  request.setSite(kj::heap<VerifierSiteServer>(*this));
  keep(in_time(request.send().ignoreResult()));
}

/// What the process is cast for stays: the same cast may go on after a rejoin.
void SiteDesk::left() {
  tickets_ = nullptr;
  weights_ = nullptr;
  verdicts_ = nullptr;
  sources_.clear();
}

kj::Promise<void> SiteDesk::report(capnp::Capability::Client post, const SiteReport& facts) {
  if (plan_.role == "generator") {
    auto request = post.castAs<wire::GeneratorPost>().reportRequest();
    write(facts, request.initFacts());
    return request.send().ignoreResult();
  }
  auto request = post.castAs<wire::VerifierPost>().reportRequest();
  write(facts, request.initFacts());
  return request.send().ignoreResult();
}

kj::Promise<void> SiteDesk::begin_generator(const CallSheet& sheet,
                                            wire::TicketSource::Client tickets,
                                            kj::Maybe<wire::WeightSource::Client> weights,
                                            const WeightPlace& weights_at) {
  tickets_ = kj::mv(tickets);
  const bool given = weights != nullptr;
  if (given) weights_ = kj::mv(weights);
  this->weights_at(weights_at);
  if (sheet_ && sheet_->cast == sheet.cast) {
    caf::anon_send(buffer_, attached_atom::value);
    if (given) weights_attached();
    return kj::READY_NOW;
  }
  stop_casting("cast anew");
  sheet_ = sheet;
  if (gate_.get() != nullptr) relayed_ = caf::actor_cast<caf::actor>(plan_.cast_broadcaster());
  BufferProxyPlan proxy{std::make_shared<DeskTickets>(post_, sheet.cast), plan_.deadlines,
                        plan_.telemetry};
  proxy.notice_bytes = plan_.limits.frame_bytes / 2;
  buffer_ = plan_.system->spawn(buffer_proxy, proxy);
  broadcaster_ = plan_.system->spawn(
      broadcaster_proxy, std::make_shared<DeskWeights>(post_, sheet.cast), plan_.deadlines);
  generator_ = caf::actor_cast<caf::actor>(plan_.cast_generator(
      sheet, caf::actor_cast<ReplayBuffer>(buffer_), caf::actor_cast<Broadcaster>(broadcaster_)));
  run_in(porter_,
         [generator = generator_](caf::event_based_actor* self) { self->monitor(generator); });
  return kj::READY_NOW;
}

void SiteDesk::weights_attached() {
  if (broadcaster_) caf::anon_send(broadcaster_, attached_atom::value);
}

void SiteDesk::weights_at(const WeightPlace& place) {
  if (link_) link_->dial(place);
}

/// Whoever is cast goes. What it held is void: its lease has ended, or the stage.
void SiteDesk::stop_casting(const char* why) {
  if (sheet_) plan_.telemetry->event("dismissed", plan_.name + ": " + why);
  sheet_.reset();
  for (caf::actor* actor : {&generator_, &verifier_, &buffer_, &broadcaster_, &relayed_}) {
    if (*actor) caf::anon_send_exit(*actor, caf::exit_reason::user_shutdown);
    *actor = nullptr;
  }
  for (const auto& [source, actor] : source_actors_)
    caf::anon_send_exit(actor, caf::exit_reason::user_shutdown);
  source_actors_.clear();
  sources_.clear();
  if (intake_) intake_->forget();
}

/// A verifier that had verdicts under way ends with the link, and is cast anew when that is back; its rollouts are lent
/// again.
void SiteDesk::actor_ended(const caf::actor_addr& who, const caf::error& reason) {
  const bool verifier = verifier_ && verifier_.address() == who;
  if (verifier && code_of(reason) == Errc::link_lost) return stop_casting("the link was lost");
  if (verifier || (generator_ && generator_.address() == who))
    finish(SiteEnd::Kind::actor_died, "the " + plan_.role + " died: " + describe(reason));
}

kj::Promise<Rollouts> SiteDesk::take(std::uint32_t count, const RolloutIds& acknowledged) {
  KJ_REQUIRE(generator_ != nullptr, "nothing is cast here");
  const auto generator = caf::actor_cast<Generator>(generator_);
  const std::uint32_t most = std::min(count, plan_.rollouts_at_once);
  const auto taken = [this, generator, most, acknowledged] {
    return ask<Rollouts>(porter_, generator, plan_.deadlines.request, take_atom::value, most,
                         acknowledged);
  };
  if (!leaving_) return taken();
  // What waits for rollouts that will not come would hold up the leave.
  return ask<GeneratorTotals>(porter_, generator, plan_.deadlines.request, stop_atom::value)
      .then([taken](GeneratorTotals totals) -> kj::Promise<Rollouts> {
        if (totals.held == 0) return Rollouts{};
        return taken();
      });
}

kj::Promise<SiteTotals> SiteDesk::end_generator() {
  if (!generator_) return SiteTotals{};
  const caf::actor generator = generator_, buffer = buffer_;
  const std::uint64_t cast = sheet_->cast;
  return ask<GeneratorTotals>(porter_, caf::actor_cast<Generator>(generator),
                              plan_.deadlines.request, stop_atom::value)
      .then([this, buffer, cast](GeneratorTotals totals) {
        return ask<bool>(porter_, buffer, plan_.deadlines.request, flush_atom::value)
            .then([this, totals, cast](bool) {
              SiteTotals all{totals, plan_.telemetry->activity(plan_.name).totals_since_mark()};
              if (sheet_ && sheet_->cast == cast)
                stop_casting("the stage is over");  // not what came after it
              return all;
            });
      });
}

void SiteDesk::begin_verifier(const CallSheet& sheet, wire::VerdictSink::Client verdicts) {
  stop_casting("cast anew");
  sheet_ = sheet;
  verdicts_ = kj::mv(verdicts);
  buffer_ = plan_.system->spawn(verdict_proxy, std::make_shared<DeskVerdicts>(post_, sheet.cast));
  verifier_ = caf::actor_cast<caf::actor>(
      plan_.cast_verifier(sheet, caf::actor_cast<ReplayBuffer>(buffer_)));
  run_in(porter_,
         [verifier = verifier_](caf::event_based_actor* self) { self->monitor(verifier); });
}

void SiteDesk::join(const std::string& generator, wire::RolloutSource::Client source) {
  KJ_REQUIRE(verifier_ != nullptr, "nothing is cast here");
  const std::uint64_t id = ++last_source_;
  sources_.emplace(id, kj::mv(source));
  const caf::actor proxy =
      plan_.system->spawn(rollout_proxy, std::make_shared<DeskRollouts>(post_, sheet_->cast, id));
  source_actors_[id] = proxy;
  caf::anon_send(caf::actor_cast<Verifier>(verifier_), join_atom::value, generator,
                 caf::actor_cast<Generator>(proxy));
}

void SiteDesk::end_verifier() {
  stop_casting("the stage is over");
}

void SiteDesk::dismiss(const std::string& reason) {
  stop_casting("the run is over");
  finish(SiteEnd::Kind::dismissed, reason);
}

/// A generator hands over what is unfinished, and stays until what is finished has been taken.
kj::Promise<void> SiteDesk::hand_over() {
  leaving_ = true;
  return ask<GeneratorTotals>(porter_, caf::actor_cast<Generator>(generator_),
                              plan_.deadlines.request, hand_over_atom::value)
      .then([this](GeneratorTotals) {
        return ask<bool>(porter_, buffer_, plan_.deadlines.request, flush_atom::value);
      })
      .ignoreResult();
}

kj::Promise<void> SiteDesk::say_farewell() {
  if (plan_.role == "verifier")
    return membership_->post().castAs<wire::VerifierPost>().leaveRequest().send().ignoreResult();
  auto post = membership_->post().castAs<wire::GeneratorPost>();
  return (generator_ ? hand_over() : kj::Promise<void>(kj::READY_NOW)).then([post]() mutable {
    return post.leaveRequest().send().ignoreResult();
  });
}

void SiteDesk::leave(double seconds) {
  const auto gone = [this] { finish(SiteEnd::Kind::left, "asked to leave"); };
  if (membership_->away()) return gone();
  keep(timer_.timeoutAfter(wire::duration(seconds), kj::evalNow([this] { return say_farewell(); }))
           .then([gone] { gone(); },
                 [gone, this](kj::Exception&& exception) {
                   plan_.telemetry->event("link_error",
                                          kj::str("leaving: ", exception.getDescription()).cStr());
                   gone();
                 }));
}

kj::Promise<Tickets> SiteDesk::grant(std::uint64_t sequence, std::uint32_t count) {
  KJ_IF_MAYBE (tickets, tickets_) {
    auto request = tickets->grantRequest();
    request.setSequence(sequence);
    request.setCount(count);
    return in_time(
        request.send().then([](auto&& results) { return read_tickets(results.getTickets()); }));
  }
  return KJ_EXCEPTION(DISCONNECTED, "the link is away");
}

kj::Promise<void> SiteDesk::notice(const RolloutNotices& notices) {
  KJ_IF_MAYBE (tickets, tickets_) {
    auto request = tickets->noticeRequest();
    write(notices, request.initNotices(static_cast<unsigned>(notices.size())));
    return in_time(request.send().ignoreResult());
  }
  return KJ_EXCEPTION(DISCONNECTED, "the link is away");
}

kj::Promise<Weights> SiteDesk::next_weights(std::uint64_t at_least) {
  return link_->fetch(*intake_, std::max(at_least, sheet_ ? sheet_->first_version : 0), weights_)
      .then([this](Weights weights) {
        if (weights && relayed_) caf::anon_send(relayed_, publish_atom::value, weights);
        return weights;
      });
}

kj::Promise<RolloutIds> SiteDesk::append(const GradedRollouts& graded) {
  KJ_IF_MAYBE (verdicts, verdicts_) {
    auto request = verdicts->appendRequest();
    write(graded, request.initGraded(static_cast<unsigned>(graded.size())));
    return in_time(
        request.send().then([](auto&& results) { return read_ids(results.getAcknowledged()); }));
  }
  return KJ_EXCEPTION(DISCONNECTED, "the link is away");
}

kj::Promise<Rollouts> SiteDesk::take_from(std::uint64_t source, std::uint32_t count,
                                          const RolloutIds& acknowledged) {
  const auto found = sources_.find(source);
  if (found == sources_.end()) return KJ_EXCEPTION(DISCONNECTED, "the link is away");
  auto request = found->second.takeRequest();
  request.setCount(count);
  write(acknowledged, request.initAcknowledged(static_cast<unsigned>(acknowledged.size())));
  return in_time(request.send().then(
                     [](auto&& results) { return read_rollouts(results.getRollouts()); }))
      .catch_([this, source](kj::Exception&& exception) -> Rollouts {
        forget(source);
        kj::throwFatalException(kj::mv(exception));
      });
}

/// A verifier asks nobody again that failed it: its generator is gone.
void SiteDesk::forget(std::uint64_t source) {
  const auto actor = source_actors_.extract(source);
  if (!actor.empty()) caf::anon_send_exit(actor.mapped(), caf::exit_reason::user_shutdown);
  sources_.erase(source);
}

void SiteDesk::finish(SiteEnd::Kind kind, const std::string& text) {
  if (std::exchange(ended_, true)) return;
  membership_->quiet();
  finish_({kind, text});
}

void SiteDesk::taskFailed(kj::Exception&& exception) {
  plan_.telemetry->event("link_error", exception.getDescription().cStr());
}

}  // namespace troupe
