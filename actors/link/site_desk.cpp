#include "actors/link/site_desk.hpp"

#include "actors/errors.hpp"
#include "actors/link/codec.hpp"
#include "actors/link/generator_proxies.hpp"
#include "actors/link/site_servers.hpp"
#include "actors/link/verifier_proxies.hpp"
#include "messages/wire/network.hpp"

#include <algorithm>
#include <caf/send.hpp>
#include <kj/debug.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <random>
#include <unistd.h>
#include <utility>

namespace troupe {
namespace {

/// Runs a call on the loop and answers an actor. `call(SiteDesk&)` gives the promise.
template <class T, class Call>
void on_desk(const SiteDesk::Post& post, Answer<T> answer, Call call) {
  auto kept = std::make_shared<Answer<T>>(std::move(answer));  // std::function copies
  post([kept, call](SiteDesk& desk) {
    desk.keep(deliver<T>(kj::evalNow([&] { return call(desk); }), Answer<T>(std::move(*kept))));
  });
}

kj::Promise<caf::unit_t> unit(kj::Promise<void> promise) {
  return promise.then([] { return caf::unit_t{}; });
}

class DeskTickets final : public TicketWay {
 public:
  explicit DeskTickets(SiteDesk::Post post) : post_(std::move(post)) {}
  void grant(std::uint64_t sequence, std::uint32_t count, Answer<Tickets> answer) override {
    on_desk<Tickets>(post_, std::move(answer),
                     [=](SiteDesk& desk) { return desk.grant(sequence, count); });
  }
  void notice(const RolloutNotices& notices, Answer<caf::unit_t> answer) override {
    on_desk<caf::unit_t>(post_, std::move(answer),
                         [=](SiteDesk& desk) { return unit(desk.notice(notices)); });
  }

 private:
  SiteDesk::Post post_;
};

class DeskWeights final : public WeightWay {
 public:
  explicit DeskWeights(SiteDesk::Post post) : post_(std::move(post)) {}
  void next(std::uint64_t at_least, Answer<Weights> answer) override {
    on_desk<Weights>(post_, std::move(answer),
                     [=](SiteDesk& desk) { return desk.next_weights(at_least); });
  }

 private:
  SiteDesk::Post post_;
};

class DeskVerdicts final : public VerdictWay {
 public:
  explicit DeskVerdicts(SiteDesk::Post post) : post_(std::move(post)) {}
  void append(const GradedRollouts& graded, Answer<RolloutIds> answer) override {
    on_desk<RolloutIds>(post_, std::move(answer),
                        [=](SiteDesk& desk) { return desk.append(graded); });
  }

 private:
  SiteDesk::Post post_;
};

class DeskRollouts final : public RolloutWay {
 public:
  DeskRollouts(SiteDesk::Post post, std::uint64_t source)
      : post_(std::move(post)), source_(source) {}
  void take(std::uint32_t count, const RolloutIds& acknowledged, Answer<Rollouts> answer) override {
    on_desk<Rollouts>(post_, std::move(answer), [=, source = source_](SiteDesk& desk) {
      return desk.take_from(source, count, acknowledged);
    });
  }

 private:
  SiteDesk::Post post_;
  std::uint64_t source_;
};

wire::Greeting greeting(const SitePlan& plan) {
  constexpr std::size_t kLongest = 256;
  char host[kLongest] = {};
  gethostname(host, sizeof host - 1);
  wire::Greeting hello;
  hello.name = plan.name;
  hello.role = plan.role;
  hello.config_digest = plan.config_digest;
  hello.host = host;
  hello.process_id = static_cast<std::uint64_t>(getpid());
  return hello;
}

}  // namespace

SiteDesk::SiteDesk(wire::Loop& loop, const SitePlan& plan, Post post, Finish finish)
    : plan_(plan), timer_(loop.timer), post_(std::move(post)), finish_(std::move(finish)) {
  porter_ = plan_.system->spawn([post = post_](caf::event_based_actor* self) -> caf::behavior {
    self->set_down_handler([post](const caf::down_msg& down) {
      post([why = describe(down.reason), who = down.source](SiteDesk& desk) {
        const bool ours = (desk.generator_ && desk.generator_.address() == who) ||
                          (desk.verifier_ && desk.verifier_.address() == who);
        if (ours)
          desk.finish(SiteEnd::Kind::actor_died, "the " + desk.plan_.role + " died: " + why);
      });
    });
    return {errand_handler(self)};
  });
  if (plan_.role == "generator")
    intake_.emplace(loop, plan_.weights, plan_.limits.call_seconds, plan_.deadlines, *plan_.system,
                    *plan_.telemetry);
  if (plan_.tls) tls_ = kj::heap<wire::TlsContext>(*plan_.tls, timer_);
  wire::Dial dial =
      plan_.tls
          ? wire::tls_dial(loop.io.getNetwork(), *tls_, {"director"}, plan_.limits.silence_seconds)
          : wire::insecure_dial(loop.io.getNetwork(), plan_.limits.silence_seconds);
  wire::Remote::Events events;
  events.joined = [this](wire::Welcome::Reader, capnp::Capability::Client role) {
    joined(kj::mv(role));
  };
  events.left = [this](const std::string& why) { left(why); };
  events.missed = [this](const std::string& why) { plan_.telemetry->event("link_missed", why); };
  events.refused = [this](const wire::JoinRefused& refusal) { return refused(refusal); };
  remote_ = kj::heap<wire::Remote>(timer_, plan_.addresses, kj::mv(dial), greeting(plan_),
                                   plan_.limits, kj::mv(events), std::random_device()());
  keep(report());
  keep(watch_absence(absences_));
}

SiteDesk::~SiteDesk() noexcept(false) {
  stop_casting("the process ends");
  caf::anon_send_exit(porter_, caf::exit_reason::user_shutdown);
}

void SiteDesk::joined(capnp::Capability::Client role) {
  away_ = false;
  plan_.telemetry->event(
      "joined", "the director's process at " + KJ_ASSERT_NONNULL(remote_)->status().address);
  if (plan_.role == "generator") {
    auto request = role.castAs<wire::GeneratorPost>().enlistRequest();
    request.setSite(kj::heap<GeneratorSiteServer>(*this));
    return keep(in_time(request.send().ignoreResult()));
  }
  auto request = role.castAs<wire::VerifierPost>().enlistRequest();
  request.setSite(kj::heap<VerifierSiteServer>(*this));
  keep(in_time(request.send().ignoreResult()));
}

/// What the process is cast for stays: the same cast may go on after a rejoin.
void SiteDesk::left(const std::string& why) {
  if (!ended_) plan_.telemetry->event("link_lost", why);
  tickets_ = nullptr;
  weights_ = nullptr;
  verdicts_ = nullptr;
  sources_.clear();
  away_ = true;
  keep(watch_absence(++absences_));
}

bool SiteDesk::refused(const wire::JoinRefused& refusal) {
  if (!wire::is_final(refusal.reason)) return true;
  finish(SiteEnd::Kind::refused, refusal.text);
  return false;
}

kj::Promise<void> SiteDesk::watch_absence(std::uint64_t absence) {
  return timer_.afterDelay(wire::duration(plan_.away_deadline_seconds)).then([this, absence] {
    if (away_ && absence == absences_)
      finish(SiteEnd::Kind::away_too_long,
             "the director's process could not be reached for " +
                 std::to_string(static_cast<int>(plan_.away_deadline_seconds)) +
                 " s (network.away-deadline-seconds); last: " +
                 KJ_ASSERT_NONNULL(remote_)->status().last_reason);
  });
}

kj::Promise<void> SiteDesk::report() {
  return timer_.afterDelay(1 * kj::SECONDS).then([this]() -> kj::Promise<void> {
    if (away_) return report();
    SiteReport facts = plan_.report();
    facts.tokens_per_second =
        static_cast<double>(facts.tokens - std::min(facts.tokens, reported_tokens_));
    reported_tokens_ = facts.tokens;
    kj::Promise<void> sent = kj::READY_NOW;
    auto role = KJ_ASSERT_NONNULL(remote_)->role();
    if (plan_.role == "generator") {
      auto request = role.castAs<wire::GeneratorPost>().reportRequest();
      write(facts, request.initFacts());
      sent = request.send().ignoreResult();
    } else {
      auto request = role.castAs<wire::VerifierPost>().reportRequest();
      write(facts, request.initFacts());
      sent = request.send().ignoreResult();
    }
    return in_time(kj::mv(sent)).catch_([](kj::Exception&&) {}).then([this] {
      return report();
    });  // told next time
  });
}

kj::Promise<void> SiteDesk::begin_generator(const CallSheet& sheet,
                                            wire::TicketSource::Client tickets,
                                            wire::WeightSource::Client weights) {
  tickets_ = kj::mv(tickets);
  weights_ = kj::mv(weights);
  if (sheet_ && sheet_->cast == sheet.cast) {
    caf::anon_send(buffer_, attached_atom::value);
    caf::anon_send(broadcaster_, attached_atom::value);
    return kj::READY_NOW;
  }
  stop_casting("cast anew");
  sheet_ = sheet;
  buffer_ =
      plan_.system->spawn(buffer_proxy, std::make_shared<DeskTickets>(post_), plan_.deadlines);
  broadcaster_ =
      plan_.system->spawn(broadcaster_proxy, std::make_shared<DeskWeights>(post_), plan_.deadlines);
  generator_ = caf::actor_cast<caf::actor>(plan_.cast_generator(
      sheet, caf::actor_cast<ReplayBuffer>(buffer_), caf::actor_cast<Broadcaster>(broadcaster_)));
  run_in(porter_,
         [generator = generator_](caf::event_based_actor* self) { self->monitor(generator); });
  return kj::READY_NOW;
}

/// Whoever is cast goes. What it held is void: its lease has ended, or the stage.
void SiteDesk::stop_casting(const char* why) {
  if (sheet_) plan_.telemetry->event("dismissed", plan_.name + ": " + why);
  sheet_.reset();
  for (caf::actor* actor : {&generator_, &verifier_, &buffer_, &broadcaster_}) {
    if (*actor) caf::anon_send_exit(*actor, caf::exit_reason::user_shutdown);
    *actor = nullptr;
  }
  for (const auto& [source, actor] : source_actors_)
    caf::anon_send_exit(actor, caf::exit_reason::user_shutdown);
  source_actors_.clear();
  sources_.clear();
  if (intake_) intake_->forget();
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
  buffer_ = plan_.system->spawn(verdict_proxy, std::make_shared<DeskVerdicts>(post_));
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
      plan_.system->spawn(rollout_proxy, std::make_shared<DeskRollouts>(post_, id));
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

/// A generator gives up what is unfinished, and stays until what is finished has been taken.
void SiteDesk::leave(double seconds) {
  const auto gone = [this] { finish(SiteEnd::Kind::left, "asked to leave"); };
  if (!generator_ || away_) return gone();
  auto post = KJ_ASSERT_NONNULL(remote_)->role().castAs<wire::GeneratorPost>();
  leaving_ = true;
  auto stopped =
      ask<GeneratorTotals>(porter_, caf::actor_cast<Generator>(generator_), plan_.deadlines.request,
                           stop_atom::value)
          .then([this](GeneratorTotals) {
            return ask<bool>(porter_, buffer_, plan_.deadlines.request, flush_atom::value);
          })
          .then([post](bool) mutable { return post.leaveRequest().send().ignoreResult(); });
  keep(timer_.timeoutAfter(wire::duration(seconds), kj::mv(stopped))
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
  KJ_IF_MAYBE (weights, weights_) {
    return intake_->fetch(*weights, at_least);
  }
  return KJ_EXCEPTION(DISCONNECTED, "the link is away");
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
  return in_time(
      request.send().then([](auto&& results) { return read_rollouts(results.getRollouts()); }));
}

void SiteDesk::finish(SiteEnd::Kind kind, const std::string& text) {
  if (std::exchange(ended_, true)) return;
  finish_({kind, text});
}

void SiteDesk::taskFailed(kj::Exception&& exception) {
  plan_.telemetry->event("link_error", exception.getDescription().cStr());
}

}  // namespace troupe
