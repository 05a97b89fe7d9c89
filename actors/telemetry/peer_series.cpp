#include "actors/telemetry/peer_series.hpp"

#include "actors/telemetry/telemetry.hpp"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>

namespace troupe {

namespace {

constexpr const char *kConnected = "troupe_link_peer_connected",
                     *kReconnects = "troupe_link_reconnects_total";

}  // namespace

void PeerSeries::there(const std::string& name) {
  away_.forget(name);
  telemetry_.metrics().gauge(kConnected, name).Set(1);
  telemetry_.peer(name, false);
}

std::uint64_t PeerSeries::joined(const std::string& name) {
  const std::uint64_t joins = ++joins_[name];
  if (joins > 1) telemetry_.metrics().counter(kReconnects, name).Increment();
  there(name);
  return joins;
}

void PeerSeries::away(const std::string& name) {
  telemetry_.metrics().gauge(kConnected, name).Set(0);
  telemetry_.peer(name, true);
  away_.add(name);
  if (away_.too_many()) left(std::string(away_.oldest()));
}

void PeerSeries::left(const std::string& name) {
  away_.forget(name);
  joins_.erase(name);
  telemetry_.metrics().end_series(kConnected, name);
  telemetry_.metrics().end_series(kReconnects, name);
  telemetry_.peer_left(name);
}

}  // namespace troupe
