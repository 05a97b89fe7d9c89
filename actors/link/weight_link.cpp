#include "actors/link/weight_link.hpp"

#include "actors/errors.hpp"
#include "actors/link/bridge.hpp"
#include "actors/link/digest_book.hpp"
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
  const bool from_gate = source_ == nullptr || timer_.now() < passed_over_until_ || skipped_;
  auto& source = from_gate ? fallback : source_;
  const WeightPlace place = from_gate ? WeightPlace{} : place_;
  const bool handed_on = !place.generator.empty();
  // Without a witness what is handed on is of no use.
  if (source == nullptr || waits_for_link() || (handed_on && fallback == nullptr))
    return KJ_EXCEPTION(DISCONNECTED, "the link is away");
  const std::string from = from_gate ? "gate" : source_name();
  if (from_gate && !place_.address.empty() && !std::exchange(bypassed_, true))
    say("link_bypassed", "weights come from the " + plan_.gate_role + "'s process meanwhile");
  skipped_ = false;
  return intake.fetch(KJ_ASSERT_NONNULL(source), at_least)
      .catch_([this, place, handed_on, began = timer_.now()](kj::Exception&& exception) -> Weights {
        const bool late = timer_.now() - began >= wire::duration(plan_.limits.call_seconds);
        if (late || (handed_on && code_of(to_error(exception)) == Errc::digest_mismatch))
          pass_over(place, kPassedOver);
        kj::throwFatalException(kj::mv(exception));
      })
      .then([this, place, handed_on, at_least, &intake,
             &fallback](Weights got) -> kj::Promise<Weights> {
        if (!handed_on) return got;
        return asked_of(fallback, got ? got.version() : 0)
            .then(
                [this, place, at_least, &intake, got](auto&& known) -> Weights {
                  if (!got) return behind(place, known.getNewest() >= at_least);
                  return vouched(place, intake, got, at_least, known);
                },
                [this, place, &intake, got](kj::Exception&& exception) -> Weights {
                  // The witness is there, and does not know it for too long, or not at all.
                  intake.forget();
                  if (got && exception.getType() != kj::Exception::Type::DISCONNECTED)
                    doubt(place, got.version(), "nobody vouches for it");
                  kj::throwFatalException(kj::mv(exception));
                });
      })
      .then([telemetry = plan_.telemetry, from](Weights got) {
        if (got) telemetry->metrics().counter("troupe_broadcaster_fetched_total", from).Increment();
        return got;
      });
}

WeightLink::Known WeightLink::asked_of(kj::Maybe<wire::WeightSource::Client>& witness,
                                       std::uint64_t version) {
  KJ_IF_MAYBE (source, witness) {
    auto request = source->digestRequest();
    request.setVersion(version);
    return timer_.timeoutAfter(wire::duration(plan_.limits.call_seconds), Known(request.send()));
  }
  return KJ_EXCEPTION(DISCONNECTED, "the link is away, so nobody vouches for weights");
}

/// Who has nothing newer for long, though there is, is passed over.
Weights WeightLink::behind(const WeightPlace& place, bool there_is) {
  if (!there_is) behind_since_ = nullptr;
  KJ_IF_MAYBE (since, behind_since_) {
    if (timer_.now() - *since >= wire::duration(plan_.limits.call_seconds))
      pass_over(place, kPassedOver);
  } else if (there_is) {
    behind_since_ = timer_.now();
  }
  return {};
}

/// The values hash to what the header says; that the run published them like that is for the witness to say.
Weights WeightLink::vouched(const WeightPlace& place, WeightIntake& intake, const Weights& got,
                            std::uint64_t at_least,
                            wire::WeightSource::DigestResults::Reader known) {
  const auto sha256 = known.getSha256().asChars();
  const Digests witness{{sha256.begin(), sha256.size()}, known.getDigest()};
  const Vouched found = vouch(got.header(), at_least, witness, known.getNewest());
  behind_since_ = nullptr;
  if (found == Vouched::good) return got;
  intake.forget();
  const std::string what = place.generator + " gave version " + std::to_string(got.version());
  if (found == Vouched::skipped) {
    skipped_ = place == place_;
    kj::throwFatalException(KJ_EXCEPTION(OVERLOADED, "the witness skipped it", what));
  }
  if (found != Vouched::forged) {
    const char* const why = found == Vouched::older ? "it is an old one" : "nobody vouches for it";
    doubt(place, got.version(), why);
    kj::throwFatalException(KJ_EXCEPTION(OVERLOADED, why, what));
  }
  pass_over(place, kForGood);  // whoever forged once is not asked again
  plan_.telemetry->metrics().counter("troupe_broadcaster_checksum_mismatch_total").Increment();
  plan_.telemetry->event("weights_forged", what + ", which was never published like that");
  kj::throwFatalException(KJ_EXCEPTION(FAILED, "digest_mismatch: a version is forged", what));
}

void WeightLink::doubt(const WeightPlace& place, std::uint64_t version, const char* why) {
  plan_.telemetry->event("weights_doubted",
                         place.generator + " gave version " + std::to_string(version) + ": " + why);
  pass_over(place, kPassedOver);
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
  behind_since_ = nullptr;
  skipped_ = false;
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
