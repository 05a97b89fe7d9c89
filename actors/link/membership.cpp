#include "actors/link/membership.hpp"

#include "messages/wire/network.hpp"

#include <algorithm>
#include <kj/debug.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <random>
#include <unistd.h>
#include <utility>

namespace troupe {
namespace {

std::string host_text(const std::string& role) {
  return role == "director" ? "the director's process" : "the replay buffer's process";
}

}  // namespace

wire::Greeting greeting_of(const MemberPlan& plan) {
  constexpr std::size_t kLongest = 256;
  char host[kLongest] = {};
  gethostname(host, sizeof host - 1);
  wire::Greeting hello;
  hello.name = plan.name;
  hello.role = plan.role;
  hello.config_digest = plan.config_digest;
  hello.host = plan.host.empty() ? host : plan.host;
  hello.process_id = static_cast<std::uint64_t>(getpid());
  return hello;
}

Membership::Membership(wire::Loop& loop, const MemberPlan& plan, wire::TlsContext* tls,
                       Events events)
    : plan_(plan), timer_(loop.timer), events_(std::move(events)) {
  wire::Dial dial = tls != nullptr
                        ? wire::tls_dial(loop.io.getNetwork(), *tls, {plan_.gate_role},
                                         plan_.limits.silence_seconds)
                        : wire::insecure_dial(loop.io.getNetwork(), plan_.limits.silence_seconds);
  wire::Remote::Events seen;
  seen.joined = [this](wire::Welcome::Reader welcome, capnp::Capability::Client post) {
    joined(welcome, kj::mv(post));
  };
  seen.left = [this](const std::string& why) { left(why); };
  seen.missed = [this](const std::string& why) { plan_.telemetry->event("link_missed", why); };
  seen.refused = [this](const wire::JoinRefused& refusal) { return refused(refusal); };
  remote_ = kj::heap<wire::Remote>(timer_, plan_.addresses, kj::mv(dial), greeting_of(plan_),
                                   plan_.limits, kj::mv(seen), std::random_device()());
  show_link();
  tasks_.add(report());
  tasks_.add(watch_absence(absences_));
}

void Membership::joined(wire::Welcome::Reader welcome, capnp::Capability::Client post) {
  away_ = false;
  show_link();
  if (!run_id_.empty())
    plan_.telemetry->metrics().counter("troupe_link_reconnects_total", plan_.gate_role).Increment();
  run_id_ = welcome.getRunId();
  plan_.telemetry->joined_run(run_id_);
  plan_.telemetry->event("joined", host_text(plan_.gate_role) + " at " + remote_->status().address);
  events_.joined(kj::mv(post));
}

void Membership::left(const std::string& why) {
  if (!quiet_) plan_.telemetry->event("link_lost", why);
  away_ = true;
  show_link();
  tasks_.add(watch_absence(++absences_));
  events_.left();
}

void Membership::show_link() {
  plan_.telemetry->meets("link", !away_);
  plan_.telemetry->meets("link of " + plan_.role,
                         !away_);  // where each of several roles has its own
  plan_.telemetry->metrics()
      .gauge("troupe_link_peer_connected", plan_.gate_role)
      .Set(away_ ? 0.0 : 1.0);
}

bool Membership::refused(const wire::JoinRefused& refusal) {
  if (!wire::is_final(refusal.reason)) return true;
  events_.over({SiteEnd::Kind::refused, refusal.text});
  return false;
}

kj::Promise<void> Membership::watch_absence(std::uint64_t absence) {
  return timer_.afterDelay(wire::duration(plan_.away_deadline_seconds)).then([this, absence] {
    if (away_ && absence == absences_)
      events_.over(
          {SiteEnd::Kind::away_too_long,
           host_text(plan_.gate_role) + " could not be reached for " +
               std::to_string(static_cast<int>(plan_.away_deadline_seconds)) +
               " s (network.away-deadline-seconds); last: " + remote_->status().last_reason});
  });
}

kj::Promise<void> Membership::report() {
  return timer_.afterDelay(1 * kj::SECONDS).then([this]() -> kj::Promise<void> {
    if (away_) return report();
    SiteReport facts = plan_.report();
    facts.tokens_per_second =
        static_cast<double>(facts.tokens - std::min(facts.tokens, reported_tokens_));
    reported_tokens_ = facts.tokens;
    return timer_
        .timeoutAfter(wire::duration(plan_.limits.call_seconds), events_.report(post(), facts))
        .catch_([](kj::Exception&&) {})  // told next time
        .then([this] { return report(); });
  });
}

void Membership::taskFailed(kj::Exception&& exception) {
  plan_.telemetry->event("link_error", exception.getDescription().cStr());
}

}  // namespace troupe
