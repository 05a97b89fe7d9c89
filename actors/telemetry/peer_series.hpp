#pragma once
// The metrics that have a series for each peer: pods come with new names for ever, and nobody wants a series of each.
#include "actors/telemetry/recent_names.hpp"

#include <cstdint>
#include <map>
#include <string>

namespace troupe {

class Telemetry;  // actors/telemetry/telemetry.hpp

/// The peers that one door has seen: who is there, who is away and may come back, who has left. Of the newest
/// RecentNames::kMost that are away something is shown; who is away for longer than all those counts as one that has left.
/// Used by one thread at a time.
class PeerSeries {
 public:
  explicit PeerSeries(Telemetry& telemetry) : telemetry_(telemetry) {}
  void there(const std::string& name);
  /// Likewise, and counted; returns how often it has joined.
  std::uint64_t joined(const std::string& name);
  void away(const std::string& name);
  void left(const std::string& name);  // for good: its series end

 private:
  Telemetry& telemetry_;
  RecentNames away_;
  std::map<std::string, std::uint64_t> joins_;
};

}  // namespace troupe
