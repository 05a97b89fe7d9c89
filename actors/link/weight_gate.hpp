#pragma once
// A gate at which the processes of one role take weights. Nothing else is to be had there.
#include "actors/link/door.hpp"
#include "actors/link/membership.hpp"
#include "actors/link/weight_dispatch.hpp"
#include "actors/telemetry/peer_series.hpp"

#include <cstdint>
#include <kj/memory.h>
#include <map>
#include <string>

namespace troupe {

struct WeightGatePlan {
  std::string listen;   // "host:port"; port 0 takes a free one
  std::string address;  // "host:port" as others are told; its port 0 stands for the bound one
  std::string role;     // who may come
};

/// Lives on the loop.
class WeightGate {
 public:
  /// Of a process that is a `member` of a run. Guests come with the run's id; as long as the process has not joined, nobody
  /// is let in, and may dial again. `tls`: null: plain. `membership`: null until it is made. All references must outlive
  /// this. Errors: throws kj::Exception naming address and remedy.
  WeightGate(wire::Loop& loop, const MemberPlan& member, WeightGatePlan plan, wire::TlsContext* tls,
             WeightDispatch& dispatch, DeskTerms terms, WeightDispatch::Origin origin,
             const kj::Own<Membership>& membership);

  const std::string& address() const { return plan_.address; }
  std::uint16_t port() const { return static_cast<std::uint16_t>(door_->port()); }

 private:
  wire::Gate::Client gate_for(const wire::Visitor& visitor);

  const MemberPlan& member_;
  WeightGatePlan plan_;
  WeightDispatch& dispatch_;
  const DeskTerms terms_;
  const WeightDispatch::Origin origin_;
  const kj::Own<Membership>& membership_;
  PeerSeries peers_;
  std::uint64_t leases_ = 0;
  std::map<std::uint64_t, std::string> guests_;  // names of those who are here, by session
  kj::Own<Door> door_;                           // last: its callbacks use all above
};

}  // namespace troupe
