// A broadcaster in a process of its own, over real sockets.
#include "actors/broadcaster/broadcaster.hpp"
#include "tests/actors/link/linked_run.hpp"

#include <doctest/doctest.h>

#include <optional>
#include <thread>

TEST_SUITE_BEGIN("actors/link");

namespace troupe {

using namespace linked;

namespace {

/// Certificates of one run.
struct Papers {
  TemporaryDirectory directory;
  pki::Authority authority = pki::Authority::create(directory.path() / "pki");
  wire::TlsFiles of(pki::Role role, const std::string& name) {
    std::vector<std::string> hosts;
    if (pki::serves(role)) hosts = {"127.0.0.1"};
    return files(authority.issue({role, name, hosts, {}}));
  }
};

struct RelayProcess {
  RelayProcess(const Chief& chief, std::string address, std::optional<wire::TlsFiles> tls,
               const std::string& told = "127.0.0.1:0") {
    RelayPlan plan;
    plan.name = "broadcaster";
    plan.role = "broadcaster";
    plan.addresses = {std::move(address)};
    plan.tls = std::move(tls);
    plan.limits = patient_limits();
    plan.config_digest = "digest";
    plan.telemetry = run.telemetry.get();
    plan.report = [] { return SiteReport{}; };
    plan.listen = "127.0.0.1:0";
    plan.address = told;
    plan.weights.manifest = manifest_of(chief.parts);
    plan.deadlines = quick();
    plan.system = &system;
    plan.cast_broadcaster = [this] {
      ++casts;
      return system.spawn(broadcaster, BroadcasterPlan{quick(), run.telemetry.get()});
    };
    relay = std::make_unique<Relay>(plan);
  }
  double handed() {
    return run.telemetry->metrics().counter("troupe_broadcaster_handed_total").Value();
  }
  std::string address() const { return relay->address(); }

  support::TemporaryRun run;
  std::atomic<int> casts = 0;
  caf::actor_system_config config;
  caf::actor_system system{config};
  std::unique_ptr<Relay> relay;
};

}  // namespace

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
  CHECK(chief.run.telemetry->metrics()
            .gauge("troupe_broadcaster_subscriber_lag_versions", "gen-0")
            .Value() == 0);
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

TEST_CASE("the gate of a broadcaster has weights for generators of its run only") {
  Chief chief({}, {}, 60, true);
  RelayProcess relay(chief, chief.office->address(), std::nullopt);
  REQUIRE(until([&] { return relay.casts == 1; }));
  Role verifier(chief, "ver-0", "verifier", relay.address());
  const auto role = verifier.end();
  REQUIRE(role);
  CHECK(role->kind == SiteEnd::Kind::refused);
  CHECK(role->text.find("weights for generators") != std::string::npos);
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

}  // namespace troupe
