#pragma once
// The metrics that have a series for each peer: pods come with new names for ever, and nobody wants a series of each.
#include <cstddef>
#include <deque>
#include <string>

namespace troupe {

class Metrics;  // actors/telemetry/metrics.hpp

/// troupe_link_peer_connected and troupe_link_reconnects_total of the peers that one door has seen. Those of theirs
/// are set here alone. Used by one thread at a time.
class PeerSeries {
 public:
  static constexpr std::size_t kMostAway =
      256;  // peers; the series of who is away for longer than all those end

  explicit PeerSeries(Metrics& metrics) : metrics_(metrics) {}
  void there(const std::string& name);
  void there_again(const std::string& name);  // likewise, and counted
  void away(const std::string& name);
  void left(const std::string& name);  // for good: its series end

 private:
  void forget(const std::string& name);

  Metrics& metrics_;
  std::deque<std::string> away_;  // the longest first
};

}  // namespace troupe
