// A broadcaster in a process of its own, over real sockets.
#include "tests/actors/link/linked_roles.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>
#include <caf/typed_response_promise.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

TEST_SUITE_BEGIN("actors/link");

namespace troupe {

using namespace linked;

TEST_CASE("a stage whose weights go through a broadcaster elsewhere ends with the same weights") {
  Papers papers;
  Chief chief({}, papers.of(pki::Role::director, "main"), 60, true);
  const auto gen = papers.of(pki::Role::generator, "gen-0");
  const auto ver = papers.of(pki::Role::verifier, "ver-0");
  Role generating(chief, "gen-0", "generator", chief.office->address(),
                  [&](SitePlan& plan) { plan.tls = gen; });
  Role grading(chief, "ver-0", "verifier", chief.office->address(),
               [&](SitePlan& plan) { plan.tls = ver; });
  RelayProcess relay(chief, chief.office->address(),
                     papers.of(pki::Role::broadcaster, "broadcaster"));
  chief.begin();
  check_stage(chief);
  // The generator had every version from there, and none from here.
  CHECK(relay.handed() > chief.parts.options.updates / 2);
  // Nobody needs the version of the last update.
  CHECK(chief.run.telemetry->metrics()
            .gauge("troupe_broadcaster_subscriber_lag_versions", "gen-0")
            .Value() <= 1);
  chief.office->dismiss("the run is over");
  CHECK(relay.relay->wait().kind == SiteEnd::Kind::dismissed);
}

TEST_CASE("a broadcaster that dies is replaced at another address and the stage goes on") {
  SmallStageOptions options;
  options.updates = 40;
  Chief chief(options, {}, 60, true);
  Role generating(chief, "gen-0", "generator", chief.office->address());
  Role grading(chief, "ver-0", "verifier", chief.office->address());
  auto first = std::make_unique<RelayProcess>(chief, chief.office->address(), std::nullopt);
  chief.begin();
  REQUIRE(chief.reaches(5));
  const std::string before = first->address();
  first.reset();
  RelayProcess second(chief, chief.office->address(), std::nullopt);
  CHECK(second.address() != before);
  check_stage(chief);
  CHECK(second.handed() > 0);
  CHECK(generating.casts == 1);  // it waited, and lost nothing
}

TEST_CASE("generators take weights from the director's process while a broadcaster is gone") {
  SmallStageOptions options;
  options.updates = 40;
  Chief chief(options, {}, 60, true);
  Role generating(chief, "gen-0", "generator", chief.office->address(),
                  [](SitePlan& plan) { plan.limits.silence_seconds = kBriefSilence; });
  Role grading(chief, "ver-0", "verifier", chief.office->address());
  auto relay = std::make_unique<RelayProcess>(chief, chief.office->address(), std::nullopt);
  chief.begin();
  REQUIRE(chief.reaches(5));
  relay.reset();
  check_stage(chief);
  CHECK(generating.fetched("broadcaster") > 0);
  CHECK(generating.fetched("gate") > 0);
}

TEST_CASE("the gate of a broadcaster has weights for generators of its run only") {
  Chief chief({}, {}, 60, true);
  RelayProcess relay(chief, chief.office->address(), std::nullopt);
  REQUIRE(until([&] { return relay.casts == 1; }));
  Role verifier(chief, "ver-0", "verifier", relay.address());
  const auto role = verifier.end();
  REQUIRE(role);
  CHECK(role->kind == SiteEnd::Kind::refused);
  CHECK(role->text.find("weights here are for a generator") != std::string::npos);
  Role other(chief, "gen-0", "generator", relay.address(),
             [](SitePlan& plan) { plan.config_digest = "other"; });
  const auto config = other.end();
  REQUIRE(config);
  CHECK(config->kind == SiteEnd::Kind::refused);
  CHECK(config->text.find("config file") != std::string::npos);
}

TEST_CASE("a broadcaster is refused where the config has it in the process of the director") {
  Chief chief({});
  RelayProcess relay(chief, chief.office->address(), std::nullopt);
  const SiteEnd end = relay.relay->wait();
  CHECK(end.kind == SiteEnd::Kind::refused);
  CHECK(end.text.find("network.broadcaster") != std::string::npos);
}

namespace {

/// A generator on a host of its own that hands on what it holds.
struct Link {
  Link(Chief& chief, const std::string& name, const std::optional<wire::TlsFiles>& tls = {},
       double silence_seconds = patient_limits().silence_seconds)
      : role(chief, name, "generator", chief.office->address(), [&](SitePlan& plan) {
          plan.host = "host-of-" + name;
          plan.tls = tls;
          plan.limits.silence_seconds = silence_seconds;
          plan.relay_listen = "127.0.0.1:0";
        }) {
    const int before = chief.enlisted;
    REQUIRE(until([&] { return chief.enlisted > before || !chief.actors().empty(); }));
    REQUIRE(until([&] { return chief.actors().contains(name); }));
  }
  Role role;
};

/// Hands on other values than it was given, with a header to match.
Broadcaster::behavior_type forger(Broadcaster::pointer self, const Broadcaster& inner) {
  self->link_to(inner);  // it ends with this one
  return {
      [inner](publish_atom, const Weights& given) {
        const std::uint64_t elements = given.elements();
        const auto values = std::shared_ptr<float[]>(new float[elements]);
        std::copy_n(given.values().get(), elements, values.get());
        values[elements / 2] += 1;
        caf::anon_send(inner, publish_atom::value,
                       Weights(given.version(), given.digest(), values, elements));
      },
      [self, inner](take_atom, const std::string& who, std::uint64_t at_least) {
        return self->delegate(inner, take_atom::value, who, at_least);
      },
      [](check_atom) {},
  };
}

/// Takes what is published, and answers nobody.
caf::behavior mute_broadcaster(caf::event_based_actor* self, std::atomic<int>* asked) {
  const auto kept = std::make_shared<std::vector<caf::typed_response_promise<Weights>>>();
  return {[](publish_atom, const Weights&) {},
          [self, asked, kept](take_atom, const std::string&, PolicyVersion) {
            ++*asked;
            return kept->emplace_back(self->make_response_promise<Weights>());
          }};
}

}  // namespace

TEST_CASE("generators hand versions on along a chain and the publisher sends each once") {
  Papers papers;
  SmallStageOptions options;
  options.updates = 40;
  Chief chief(options, papers.of(pki::Role::director, "main"), 60, false, false, 1);
  const auto ver = papers.of(pki::Role::verifier, "ver-0");
  const auto pool = papers.of(pki::Role::generator, "gen-*");
  Link first(chief, "gen-0", pool);
  Link second(chief, "gen-1", pool);
  Link third(chief, "gen-2", pool);
  Role grading(chief, "ver-0", "verifier", chief.office->address(),
               [&](SitePlan& plan) { plan.tls = ver; });
  chief.begin();
  check_stage(chief);
  CHECK(first.role.fetched("gate") > 0);
  CHECK(first.role.fetched("generator") == 0);
  CHECK(second.role.fetched("generator") > 0);
  CHECK(third.role.fetched("generator") > 0);
  CHECK(second.role.fetched("gate") + third.role.fetched("gate") == 0);
  CHECK(first.role.handed() > 0);
  CHECK(second.role.handed() > 0);
  CHECK(third.role.handed() == 0);
}

TEST_CASE("who took weights from a generator that is lost takes them from the one before it") {
  SmallStageOptions options;
  options.updates = 60;
  Chief chief(options, {}, 0.2, false, false, 1);
  Link first(chief, "gen-0");
  auto second = std::make_unique<Link>(chief, "gen-1");
  Link third(chief, "gen-2");
  Role grading(chief, "ver-0", "verifier", chief.office->address());
  chief.begin();
  REQUIRE(chief.reaches(10));
  REQUIRE(until([&] { return third.role.fetched("generator") > 0; }));
  second.reset();
  const double before = third.role.fetched("generator");
  const double handed = first.role.handed();
  check_stage(chief);
  CHECK(third.role.fetched("generator") > before);
  CHECK(first.role.handed() > handed);
}

TEST_CASE("what a generator forged is refused by those below it and asked of it once only") {
  SmallStageOptions options;
  options.updates = 40;
  Chief chief(options, {}, 60, false, false, 1);
  Role* liar = nullptr;
  Role first(chief, "gen-0", "generator", chief.office->address(), [&](SitePlan& plan) {
    plan.host = "host-of-gen-0";
    plan.relay_listen = "127.0.0.1:0";
    plan.cast_broadcaster = [&liar, honest = plan.cast_broadcaster] {
      return liar->system.spawn(forger, honest());
    };
  });
  liar = &first;
  REQUIRE(until([&] { return chief.actors().contains("gen-0"); }));
  Link second(chief, "gen-1");
  Link third(chief, "gen-2");
  Role grading(chief, "ver-0", "verifier", chief.office->address());
  chief.begin();
  check_stage(chief);
  CHECK(first.handed() > 0);
  CHECK(second.role.fetched("generator") == 0);
  CHECK(second.role.fetched("gate") > 0);
  CHECK(second.role.run.telemetry->metrics()
            .counter("troupe_broadcaster_checksum_mismatch_total")
            .Value() == 1);
  CHECK(third.role.fetched("generator") > 0);  // from gen-1, which is honest
}

TEST_CASE("who is sent to a generator that is there and mute takes weights where all join") {
  SmallStageOptions options;
  options.updates = 20;
  Chief chief(options, {}, 60, false, false, 1);
  std::atomic<int> asked = 0;
  Role first(chief, "gen-0", "generator", chief.office->address(), [&](SitePlan& plan) {
    plan.host = "host-of-gen-0";
    plan.relay_listen = "127.0.0.1:0";
    plan.cast_broadcaster = [&asked, system = plan.system] {
      return caf::actor_cast<Broadcaster>(system->spawn(mute_broadcaster, &asked));
    };
  });
  REQUIRE(until([&] { return chief.actors().contains("gen-0"); }));
  constexpr double kCallSeconds = 0.5;
  Role second(chief, "gen-1", "generator", chief.office->address(), [&](SitePlan& plan) {
    plan.host = "host-of-gen-1";
    plan.relay_listen = "127.0.0.1:0";
    plan.limits.call_seconds = kCallSeconds;
  });
  Role grading(chief, "ver-0", "verifier", chief.office->address());
  chief.begin();
  REQUIRE(until([&] { return second.fetched("gate") > 0; }));
  check_stage(chief);
  CHECK(asked > 0);
  CHECK(second.fetched("generator") == 0);
}

TEST_CASE("who cannot reach the generator that it is sent to takes weights where all join") {
  Papers papers;
  SmallStageOptions options;
  options.updates = 100;
  Chief chief(options, papers.of(pki::Role::director, "main"), 60, false, false, 1);
  const auto ver = papers.of(pki::Role::verifier, "ver-0");
  // Its certificate is revoked once it has joined: it stays, but whoever dials it is warned.
  Role first(chief, "gen-0", "generator", chief.office->address(), [&](SitePlan& plan) {
    plan.host = "host-of-gen-0";
    plan.tls = papers.of(pki::Role::generator, "gen-0");
    plan.relay_listen = "127.0.0.1:0";
  });
  REQUIRE(until([&] { return chief.actors().contains("gen-0"); }));
  papers.authority.revoke("gen-0");
  Link second(chief, "gen-1", papers.of(pki::Role::generator, "gen-1"), kBriefSilence);
  Role grading(chief, "ver-0", "verifier", chief.office->address(),
               [&](SitePlan& plan) { plan.tls = ver; });
  chief.begin();
  REQUIRE(until([&] { return second.role.fetched("gate") > 0; }));
  check_stage(chief);
  CHECK(second.role.fetched("generator") == 0);
}

}  // namespace troupe
