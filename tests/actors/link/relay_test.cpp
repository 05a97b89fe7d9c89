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
       double silence_seconds = patient_limits().silence_seconds,
       double call_seconds = patient_limits().call_seconds)
      : role(chief, name, "generator", chief.office->address(), [&](SitePlan& plan) {
          plan.host = "host-of-" + name;
          plan.tls = tls;
          plan.limits.silence_seconds = silence_seconds;
          plan.limits.call_seconds = call_seconds;
          plan.relay_listen = "127.0.0.1:0";
        }) {
    const int before = chief.enlisted;
    REQUIRE(until([&] { return chief.enlisted > before || !chief.actors().empty(); }));
    REQUIRE(until([&] { return chief.actors().contains(name); }));
  }
  Role role;
};

enum class Lie {
  values,   // other ones, with a header to match
  digest,   // another one in the header
  version,  // the first one again and again
  future,   // numbers that nobody has reached
  none,     // that there is nothing new
};

/// Hands on what it was not given. `inner` takes versions for it.
Broadcaster::behavior_type liar(Broadcaster::pointer self, Lie lie, const Broadcaster& inner) {
  self->link_to(inner);  // it ends with this one
  auto first = std::make_shared<Weights>();
  return {
      [=](publish_atom, const Weights& given) {
        const std::uint64_t elements = given.elements();
        const auto values = std::shared_ptr<float[]>(new float[elements]);
        std::copy_n(given.values().get(), elements, values.get());
        if (lie == Lie::values) values[elements / 2] += 1;
        const std::string digest = lie == Lie::digest ? std::string(32, 'f') : given.digest();
        const std::uint64_t version = given.version() + (lie == Lie::future ? 1000 : 0);
        const Weights made(version, digest, values, elements);
        if (!*first) *first = made;
        caf::anon_send(inner, publish_atom::value, made);
      },
      [=](take_atom, const std::string& who, std::uint64_t at_least) -> caf::result<Weights> {
        if (lie == Lie::none) return Weights{};
        if (lie == Lie::version && *first) return *first;
        return self->delegate(inner, take_atom::value, who, at_least);
      },
      [](check_atom) {},
  };
}

/// A chain of three whose first lies.
struct LiarAbove {
  explicit LiarAbove(Lie lie, double call_seconds = patient_limits().call_seconds)
      : chief(options(), {}, 60, false, false, 1),
        first(chief, "gen-0", "generator", chief.office->address(), [&](SitePlan& plan) {
          plan.host = "host-of-gen-0";
          plan.relay_listen = "127.0.0.1:0";
          plan.cast_broadcaster = [this, lie, honest = plan.cast_broadcaster] {
            return first.system.spawn(liar, lie, honest());
          };
        }) {
    REQUIRE(until([&] { return chief.actors().contains("gen-0"); }));
    second.emplace(chief, "gen-1", std::nullopt, patient_limits().silence_seconds, call_seconds);
    third.emplace(chief, "gen-2");
    chief.begin();
  }
  /// Nothing is trained before.
  void grade() {
    grading.emplace(chief, "ver-0", "verifier", chief.office->address());
    check_stage(chief);
  }
  static SmallStageOptions options() {
    SmallStageOptions options;
    options.updates = 40;
    return options;
  }
  double mismatches() {
    return second->role.run.telemetry->metrics()
        .counter("troupe_broadcaster_checksum_mismatch_total")
        .Value();
  }

  Chief chief;
  Role first;
  std::optional<Link> second, third;
  std::optional<Role> grading;
};

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
  for (const Lie lie : {Lie::values, Lie::digest}) {
    LiarAbove run(lie);
    CHECK(until([&] { return run.second->role.fetched("gate") > 0; }));
    // gen-1 is honest.
    CHECK(until([&] { return run.third->role.fetched("generator") > 0; }));
    run.grade();
    CHECK(run.first.handed() > 0);
    CHECK(run.second->role.fetched("generator") == 0);
    CHECK(run.mismatches() == 1);
  }
}

TEST_CASE("a generator that hands on old versions only is passed over") {
  LiarAbove run(Lie::version);
  run.grade();
  CHECK(run.second->role.fetched("generator") <= 1);
  CHECK(run.second->role.fetched("gate") > 0);
  CHECK(run.mismatches() == 0);
}

TEST_CASE("a generator that hands on versions that nobody vouches for is passed over") {
  for (const double call_seconds : {1.0, 60.0}) {  // the witness answers after two
    LiarAbove run(Lie::future, call_seconds);
    CHECK(until([&] { return run.second->role.fetched("gate") > 0; }));
    run.grade();
    CHECK(run.second->role.fetched("generator") == 0);
    CHECK(run.mismatches() == 0);
  }
}

TEST_CASE("a generator that has nothing though there is something is passed over after a while") {
  LiarAbove run(Lie::none, 2);
  CHECK(until([&] { return run.second->role.fetched("gate") > 0; }));
  run.grade();
  CHECK(run.second->role.fetched("generator") == 0);
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
  constexpr double kCallSeconds = 2;
  Role second(chief, "gen-1", "generator", chief.office->address(), [&](SitePlan& plan) {
    plan.host = "host-of-gen-1";
    plan.relay_listen = "127.0.0.1:0";
    plan.limits.call_seconds = kCallSeconds;
  });
  chief.begin();
  REQUIRE(until([&] { return second.fetched("gate") > 0; }));
  Role grading(chief, "ver-0", "verifier", chief.office->address());
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
