#pragma once
// The process of a generator or verifier: joins the director's process, is cast by it, leaves.
#include "actors/interfaces.hpp"
#include "actors/link/call_sheet.hpp"
#include "actors/link/desk_host.hpp"
#include "actors/link/membership.hpp"
#include "actors/link/weight_terms.hpp"
#include "actors/waiting_line.hpp"

#include <caf/actor_system.hpp>
#include <cstdint>
#include <functional>
#include <memory>

namespace troupe {

class SiteDesk;

struct SitePlan : MemberPlan {  // role: "generator" or "verifier"
  std::uint32_t rollouts_at_once = 64;
  WeightTerms weights;  // of a generator
  std::string
      relay_listen;  // "host:port" of a gate at which other generators take what it holds; empty: none
  Deadlines deadlines;
  caf::actor_system* system = nullptr;
  /// One of the two, by role. Called on the loop with each casting.
  std::function<Generator(const CallSheet&, const ReplayBuffer&, const Broadcaster&)>
      cast_generator;
  std::function<Verifier(const CallSheet&, const ReplayBuffer&)> cast_verifier;
  /// Of a generator with such a gate, called likewise.
  std::function<Broadcaster()> cast_broadcaster;
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
  std::shared_ptr<DeskHost<SiteDesk, SiteEnd>> host_;
};

}  // namespace troupe
