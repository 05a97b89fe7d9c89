#include "actors/link/weight_link.hpp"

#include "messages/wire/network.hpp"

#include <kj/debug.h>
#include <prometheus/counter.h>
#include <random>
#include <utility>
#include <vector>

namespace troupe {
namespace {

constexpr kj::Duration kPassedOver = 30 * kj::SECONDS, kForGood = 365 * kj::DAYS;

}  // namespace

WeightLink::WeightLink(wire::Loop& loop, const MemberPlan& plan, std::string role,
                       wire::TlsContext* tls, Events events)
    : network_(loop.io.getNetwork()),
      timer_(loop.timer),
      plan_(plan),
      role_(std::move(role)),
      tls_(tls),
      events_(std::move(events)) {}

void WeightLink::say(const char* what, const std::string& why) {
  plan_.telemetry->event(what, (place_.generator.empty() ? "the " + role_ : place_.generator) +
                                   " at " + place_.address + ": " + why);
}

bool WeightLink::waits_for_link() const {
  return !place_.address.empty() && source_ == nullptr &&
         timer_.now() - away_since_ < wire::duration(plan_.limits.silence_seconds);
}

/// Label of troupe_broadcaster_fetched_total.
std::string WeightLink::source_name() const {
  return place_.generator.empty() ? role_ : "generator";
}

wire::Dial WeightLink::way() const {
  const double silence = plan_.limits.silence_seconds;
  if (tls_ == nullptr) return wire::insecure_dial(network_, silence);
  if (place_.generator.empty()) return wire::tls_dial(network_, *tls_, {role_}, silence);
  return wire::tls_dial_peer(network_, *tls_, "generator", place_.generator, silence);
}

kj::Promise<Weights> WeightLink::fetch(WeightIntake& intake, std::uint64_t at_least,
                                       kj::Maybe<wire::WeightSource::Client>& fallback) {
  const bool from_gate = source_ == nullptr || timer_.now() < passed_over_until_;
  auto& source = from_gate ? fallback : source_;
  if (!waits_for_link()) {
    KJ_IF_MAYBE (weights, source) {
      const std::string from = from_gate ? "gate" : source_name();
      if (from_gate && !place_.address.empty() && !std::exchange(bypassed_, true))
        say("link_bypassed", "weights come from the " + plan_.gate_role + "'s process meanwhile");
      const WeightPlace place = from_gate ? WeightPlace{} : place_;
      return intake.fetch(*weights, at_least)
          .catch_([this, place, began = timer_.now()](kj::Exception&& exception) -> Weights {
            if (timer_.now() - began >= wire::duration(plan_.limits.call_seconds))
              pass_over(place, kPassedOver);
            kj::throwFatalException(kj::mv(exception));
          })
          .then([this, place, &intake, &fallback](Weights got) -> kj::Promise<Weights> {
            if (!got || place.generator.empty()) return got;
            return vouched(place, intake, got, fallback);
          })
          .then([telemetry = plan_.telemetry, from](Weights got) {
            if (got)
              telemetry->metrics().counter("troupe_broadcaster_fetched_total", from).Increment();
            return got;
          });
    }
  }
  return KJ_EXCEPTION(DISCONNECTED, "the link is away");
}

/// The values hash to what the header says; that the run published them under that number is for others to say.
kj::Promise<Weights> WeightLink::vouched(const WeightPlace& place, WeightIntake& intake,
                                         Weights got,
                                         kj::Maybe<wire::WeightSource::Client>& witness) {
  KJ_IF_MAYBE (source, witness) {
    auto request = source->digestRequest();
    request.setVersion(got.version());
    return timer_.timeoutAfter(wire::duration(plan_.limits.call_seconds), request.send())
        .then([this, place, &intake, got](auto&& results) -> Weights {
          const auto digest = results.getSha256();
          if (digest == got.header().getSha256()) return got;
          intake.forget();
          if (digest.size() > 0) return forged(place, got.version());
          pass_over(place, kPassedOver);
          kj::throwFatalException(
              KJ_EXCEPTION(OVERLOADED, "nobody vouches for a version", place.generator.c_str()));
        });
  }
  intake.forget();
  return KJ_EXCEPTION(DISCONNECTED, "the link is away, so nobody vouches for weights");
}

/// Whoever did that once is not asked again.
Weights WeightLink::forged(const WeightPlace& place, std::uint64_t version) {
  const std::string what = place.generator + " gave values that were never published as version " +
                           std::to_string(version);
  plan_.telemetry->metrics().counter("troupe_broadcaster_checksum_mismatch_total").Increment();
  plan_.telemetry->event("weights_forged", what);
  pass_over(place, kForGood);
  kj::throwFatalException(KJ_EXCEPTION(FAILED, "digest_mismatch: a version is forged", what));
}

/// Weights come from the fallback meanwhile, unless they come from another place by now.
void WeightLink::pass_over(const WeightPlace& place, kj::Duration period) {
  if (place.address.empty() || !(place == place_)) return;
  passed_over_until_ = timer_.now() + period;
}

void WeightLink::dial(const WeightPlace& place) {
  if (place == place_) return;
  remote_ = nullptr;
  source_ = nullptr;
  place_ = place;
  passed_over_until_ = kj::origin<kj::TimePoint>();
  away_since_ = timer_.now();
  bypassed_ = false;
  if (place.address.empty()) return;
  wire::Dial dial = way();
  wire::Remote::Events events;
  events.joined = [this](wire::Welcome::Reader, capnp::Capability::Client source) {
    say("joined", "weights come from there");
    source_ = source.castAs<wire::WeightSource>();
    bypassed_ = false;
    events_.attached();
  };
  events.left = [this](const std::string& why) {
    source_ = nullptr;
    away_since_ = timer_.now();
    say("link_lost", why);
  };
  events.missed = [this](const std::string& why) { say("link_missed", why); };
  events.refused = [this](const wire::JoinRefused& refusal) {
    say("link_refused", refusal.text);
    return true;
  };
  wire::Greeting greeting = greeting_of(plan_);
  greeting.run_id = events_.run_id();
  remote_ = kj::heap<wire::Remote>(timer_, std::vector<std::string>{place.address}, kj::mv(dial),
                                   greeting, plan_.limits, kj::mv(events), std::random_device()());
}

}  // namespace troupe
