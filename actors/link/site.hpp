#pragma once
// The process of a generator or verifier: joins the director's process, is cast by it, leaves.
#include "actors/interfaces.hpp"
#include "actors/link/seats.hpp"
#include "actors/link/site_report.hpp"
#include "actors/link/weight_terms.hpp"
#include "actors/telemetry/telemetry.hpp"
#include "actors/waiting_line.hpp"
#include "messages/wire/limits.hpp"
#include "messages/wire/tls.hpp"

#include <caf/actor_system.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

struct SitePlan {
  std::string name, role;              // "generator" or "verifier"
  std::vector<std::string> addresses;  // of the director's process, tried in turn
  std::optional<wire::TlsFiles> tls;   // none: plain TCP, loopback only
  wire::LinkLimits limits;
  std::string config_digest;
  double away_deadline_seconds = 600;  // without the director; then the process ends
  std::uint32_t rollouts_at_once = 64;
  WeightTerms weights;  // of a generator
  Deadlines deadlines;
  Telemetry* telemetry = nullptr;
  caf::actor_system* system = nullptr;
  /// One of the two, by role. Called on the loop with each casting.
  std::function<Generator(const CallSheet&, const ReplayBuffer&, const Broadcaster&)>
      cast_generator;
  std::function<Verifier(const CallSheet&, const ReplayBuffer&)> cast_verifier;
  /// Asked about once a second, on the loop; tokens per second are filled in.
  std::function<SiteReport()> report;
};

/// Why the process has nothing left to do.
struct SiteEnd {
  enum class Kind { dismissed, left, refused, away_too_long, actor_died } kind = Kind::dismissed;
  std::string text;
};

/// Safe from any thread. Owns the loop's thread.
class Site {
 public:
  /// Errors: throws kj::Exception naming file and remedy.
  explicit Site(SitePlan plan);
  ~Site();

  /// Waits until there is nothing left to do.
  SiteEnd wait();
  /// Leaves: what is unfinished is given up and said so, what is finished goes out first; within `seconds`.
  void leave(double seconds);

 private:
  struct State;
  std::shared_ptr<State> state_;  // shared with actors that may outlive the site
};

}  // namespace troupe
