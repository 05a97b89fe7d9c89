#include "actors/telemetry/peer_series.hpp"

#include "actors/telemetry/metrics.hpp"

#include <algorithm>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>

namespace troupe {

namespace {

constexpr const char *kConnected = "troupe_link_peer_connected",
                     *kReconnects = "troupe_link_reconnects_total";

}  // namespace

void PeerSeries::forget(const std::string& name) {
  away_.erase(std::remove(away_.begin(), away_.end(), name), away_.end());
}

void PeerSeries::there(const std::string& name) {
  forget(name);
  metrics_.gauge(kConnected, name).Set(1);
}

void PeerSeries::there_again(const std::string& name) {
  metrics_.counter(kReconnects, name).Increment();
  there(name);
}

void PeerSeries::away(const std::string& name) {
  forget(name);
  metrics_.gauge(kConnected, name).Set(0);
  away_.push_back(name);
  if (away_.size() > kMostAway) left(std::string(away_.front()));
}

void PeerSeries::left(const std::string& name) {
  forget(name);
  metrics_.end_series(kConnected, name);
  metrics_.end_series(kReconnects, name);
}

}  // namespace troupe
