#include "actors/telemetry/peer_series.hpp"

#include "actors/telemetry/telemetry.hpp"
#include "tests/actors/telemetry/temporary_folder.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <stdexcept>

TEST_SUITE_BEGIN("actors/telemetry");

namespace troupe {

namespace {

struct Door {
  static TelemetryOptions options_in(const TemporaryFolder& folder) {
    TelemetryOptions options;
    options.run_directory = folder.path;
    options.quiet = true;
    options.roles = {};
    return options;
  }
  bool shows(const std::string& text) { return telemetry.scrape().find(text) != std::string::npos; }
  /// All that is said of a peer by those who work with it.
  void work_with(const std::string& name) {
    telemetry.set("troupe_broadcaster_subscriber_lag_versions", name, 3);
    telemetry.increment("troupe_actor_restarts_total", name);
    telemetry.progress(name);
    telemetry.peer_says({name, "decode", {1, 1}, 7});
    telemetry.peer_spent(name, {2, 2});
  }
  bool knows(const std::string& name) const {
    const auto actors = telemetry.actors();
    return std::any_of(actors.begin(), actors.end(),
                       [&](const ActorView& actor) { return actor.name == name; });
  }
  std::size_t series(const std::string& metric) {
    const std::string text = telemetry.scrape();
    std::size_t count = 0;
    for (std::size_t at = 0; (at = text.find(metric + "{", at)) != std::string::npos; ++at) ++count;
    return count;
  }
  TemporaryFolder folder;
  Telemetry telemetry{options_in(folder)};
  PeerSeries peers{telemetry};
};

}  // namespace

TEST_CASE("a peer that is away is shown as away until it is back") {
  Door door;
  CHECK(door.peers.joined("gen-0") == 1);
  CHECK(door.shows("troupe_link_peer_connected{peer=\"gen-0\"} 1"));
  CHECK(door.telemetry.actors().front().away == false);
  door.peers.away("gen-0");
  CHECK(door.shows("troupe_link_peer_connected{peer=\"gen-0\"} 0"));
  CHECK(door.telemetry.actors().front().away == true);
  CHECK(door.peers.joined("gen-0") == 2);
  CHECK(door.shows("troupe_link_peer_connected{peer=\"gen-0\"} 1"));
  CHECK(door.shows("troupe_link_reconnects_total{peer=\"gen-0\"} 1"));
  CHECK(door.telemetry.actors().front().away == false);
}

TEST_CASE("the series of a peer that left for good end and nothing of it is kept") {
  Door door;
  for (const char* name : {"gen-7f9c", "gen-8a00"}) {
    door.peers.joined(name);
    door.peers.joined(name);
    door.work_with(name);
  }
  for (const char* metric :
       {"troupe_link_peer_connected", "troupe_link_reconnects_total", "troupe_actor_idle_ratio",
        "troupe_broadcaster_subscriber_lag_versions", "troupe_actor_restarts_total",
        "troupe_actor_last_progress_timestamp_seconds"}) {
    CAPTURE(metric);
    CHECK(door.series(metric) == 2);
  }
  door.peers.left("gen-7f9c");
  CHECK_FALSE(door.shows("gen-7f9c"));
  CHECK_FALSE(door.knows("gen-7f9c"));
  CHECK(door.shows("gen-8a00"));
  CHECK(door.knows("gen-8a00"));
}

TEST_CASE("a late word of a peer that left is not heard until it joins again") {
  Door door;
  door.peers.joined("gen-0");
  door.peers.left("gen-0");
  door.work_with("gen-0");
  CHECK_FALSE(door.shows("gen-0"));
  CHECK_FALSE(door.knows("gen-0"));
  CHECK(door.peers.joined("gen-0") == 1);
  door.work_with("gen-0");
  CHECK(door.shows("troupe_broadcaster_subscriber_lag_versions{actor=\"gen-0\"} 3"));
  CHECK(door.shows("troupe_actor_idle_ratio{actor=\"gen-0\"} 0.5"));
}

TEST_CASE("a peer that is called like an actor of this process ends nothing of that") {
  Door door;
  ActivityLog& log = door.telemetry.activity("gen-0");
  log.enter("decode", true);
  door.work_with("gen-0");
  door.peers.joined("gen-0");
  door.peers.away("gen-0");
  CHECK(door.telemetry.actors().front().away == true);
  door.peers.left("gen-0");
  CHECK_FALSE(door.telemetry.actors().front().away);
  log.enter("wait", false);
  CHECK(door.knows("gen-0"));
  CHECK(door.telemetry.actors().front().phase == "wait");
  CHECK(door.shows("troupe_broadcaster_subscriber_lag_versions{actor=\"gen-0\"} 3"));
}

TEST_CASE("of peers that are lost under ever new names the newest are shown") {
  Door door;
  door.peers.joined("here");
  door.work_with("here");
  for (int i = 0; i < 1000; ++i) {
    const std::string name = "gen-" + std::to_string(i);
    door.peers.joined(name);
    door.work_with(name);
    door.peers.away(name);
  }
  for (const char* metric : {"troupe_link_peer_connected", "troupe_actor_idle_ratio",
                             "troupe_broadcaster_subscriber_lag_versions"})
    CHECK(door.series(metric) == RecentNames::kMost + 1);
  CHECK(door.telemetry.actors().size() == RecentNames::kMost + 1);
  CHECK(door.shows("peer=\"here\""));
  CHECK(door.shows("peer=\"gen-999\""));
  CHECK_FALSE(door.shows("peer=\"gen-0\""));
}

TEST_CASE("a peer that comes and goes takes one place among the lost") {
  Door door;
  door.peers.away("old");
  for (std::size_t i = 0; i < 2 * RecentNames::kMost; ++i) {
    door.peers.there("gen-0");
    door.peers.away("gen-0");
  }
  CHECK(door.series("troupe_link_peer_connected") == 2);
}

TEST_CASE("a series of no metric cannot end") {
  Metrics metrics;
  CHECK_THROWS_AS(metrics.end_series("troupe_no_such", "x"), std::logic_error);
}

}  // namespace troupe

TEST_SUITE_END();
