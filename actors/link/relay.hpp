#pragma once
// The process of a broadcaster: takes each version from the director's process once, and hands it to generators at a gate
// of its own, so that the learner's link does not carry it once per generator.
#include "actors/interfaces.hpp"
#include "actors/link/desk_host.hpp"
#include "actors/link/membership.hpp"
#include "actors/link/weight_terms.hpp"
#include "actors/waiting_line.hpp"

#include <caf/actor_system.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace troupe {

class RelayDesk;

struct RelayPlan : MemberPlan {  // role: "broadcaster"
  std::string listen;            // "host:port" of the gate; port 0 takes a free one
  std::string address;           // that generators dial; its port 0 stands for the bound one
  WeightTerms weights;           // of the model's weights
  Deadlines deadlines;
  caf::actor_system* system = nullptr;
  std::function<Broadcaster()> cast_broadcaster;  // called on the loop with each casting
};

/// Safe from any thread. Owns the loop's thread.
class Relay {
 public:
  /// Errors: throws kj::Exception naming file, address and remedy.
  explicit Relay(RelayPlan plan);
  ~Relay();

  /// Of the gate, as generators dial it.
  const std::string& address() const { return address_; }
  /// Waits until there is nothing left to do.
  SiteEnd wait();
  /// Nothing here would be lost: generators wait until another takes this place.
  void leave();

 private:
  std::shared_ptr<DeskHost<RelayDesk, SiteEnd>> host_;
  std::string address_;
};

}  // namespace troupe
