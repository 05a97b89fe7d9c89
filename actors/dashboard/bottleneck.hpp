#pragma once
// Which role holds the others up, as one sentence, from how they spend their time.
#include "actors/telemetry/records.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace troupe {

/// Shares of time waited, 0 - 1; nothing where nobody plays the role or nothing is known yet.
struct RoleShares {
  std::optional<double> learner, generators, verifiers;  // of several: the mean
  std::int32_t generator_count = 0, verifier_count = 0;
};

/// "generator-0", "gen-a" -> "generator"; "verifier-0", "ver-1" -> "verifier"; "learner...", "broadcaster", ...;
/// "other" if it is none of the cast's.
std::string role_of(const std::string& actor);

RoleShares role_shares(const std::map<std::string, ActorTime>& times);

struct Bottleneck {
  std::string
      role;  // the limit: "generator", "verifier", "learner", "bound", "none"; "" if it cannot be said yet
  std::string sentence;  // for people
};

/// A role is the limit if others wait for it while it works itself.
Bottleneck bottleneck(const RoleShares& shares);

}  // namespace troupe
