#include "actors/telemetry/peer_series.hpp"

#include "actors/telemetry/metrics.hpp"

#include <doctest/doctest.h>

#include <stdexcept>

TEST_SUITE_BEGIN("actors/telemetry");

namespace troupe {

namespace {

struct Door {
  bool shows(const std::string& line) const {
    return metrics.expose().find(line) != std::string::npos;
  }
  std::size_t connected_series() const {
    const std::string text = metrics.expose();
    std::size_t count = 0;
    for (std::size_t at = 0;
         (at = text.find("troupe_link_peer_connected{", at)) != std::string::npos; ++at)
      ++count;
    return count;
  }
  Metrics metrics{{}};
  PeerSeries peers{metrics};
};

}  // namespace

TEST_CASE("a peer that is away is shown as away until it is back") {
  Door door;
  door.peers.there("gen-0");
  CHECK(door.shows("troupe_link_peer_connected{peer=\"gen-0\"} 1"));
  door.peers.away("gen-0");
  CHECK(door.shows("troupe_link_peer_connected{peer=\"gen-0\"} 0"));
  door.peers.there_again("gen-0");
  CHECK(door.shows("troupe_link_peer_connected{peer=\"gen-0\"} 1"));
  CHECK(door.shows("troupe_link_reconnects_total{peer=\"gen-0\"} 1"));
}

TEST_CASE("the series of a peer that left for good end") {
  Door door;
  door.peers.there("gen-7f9c");
  door.peers.there_again("gen-7f9c");
  door.peers.there("gen-8a00");
  door.peers.left("gen-7f9c");
  CHECK_FALSE(door.shows("gen-7f9c"));
  CHECK(door.shows("gen-8a00"));
}

TEST_CASE("of peers that are lost under ever new names the newest are shown") {
  Door door;
  door.peers.there("here");
  for (int i = 0; i < 1000; ++i) {
    door.peers.there("gen-" + std::to_string(i));
    door.peers.away("gen-" + std::to_string(i));
  }
  CHECK(door.connected_series() == PeerSeries::kMostAway + 1);
  CHECK(door.shows("peer=\"here\""));
  CHECK(door.shows("peer=\"gen-999\""));
  CHECK_FALSE(door.shows("peer=\"gen-0\""));
}

TEST_CASE("a peer that comes and goes takes one place among the lost") {
  Door door;
  door.peers.away("old");
  for (std::size_t i = 0; i < 2 * PeerSeries::kMostAway; ++i) {
    door.peers.there("gen-0");
    door.peers.away("gen-0");
  }
  CHECK(door.connected_series() == 2);
}

TEST_CASE("a series of no metric cannot end") {
  Metrics metrics;
  CHECK_THROWS_AS(metrics.end_series("troupe_no_such", "x"), std::logic_error);
}

}  // namespace troupe

TEST_SUITE_END();
