#pragma once
// A gate at which the processes of one role take weights. Nothing else is to be had there.
#include "actors/link/door.hpp"
#include "actors/link/weight_dispatch.hpp"
#include "actors/telemetry/peer_series.hpp"

#include <cstdint>
#include <functional>
#include <kj/memory.h>
#include <map>
#include <string>

namespace troupe {

struct WeightGatePlan {
  DoorPlan door;
  std::string address;  // "host:port" as others are told; its port 0 stands for the bound one
  std::string role;     // who may come
  std::string config_digest;
};

/// Lives on the loop.
class WeightGate {
 public:
  /// Guests come with the run's id. While `run_id` gives none, nobody is let in, and may dial again.
  /// `tls`: null: plain. It and `dispatch` must outlive this. Errors: throws kj::Exception naming address and remedy.
  WeightGate(wire::Loop& loop, WeightGatePlan plan, wire::TlsContext* tls, WeightDispatch& dispatch,
             DeskTerms terms, WeightDispatch::Origin origin, std::function<std::string()> run_id);

  const std::string& address() const { return plan_.address; }
  std::uint16_t port() const { return static_cast<std::uint16_t>(door_->port()); }

 private:
  wire::Gate::Client gate_for(const wire::Visitor& visitor);

  WeightGatePlan plan_;
  WeightDispatch& dispatch_;
  const DeskTerms terms_;
  const WeightDispatch::Origin origin_;
  const std::function<std::string()> run_id_;
  PeerSeries peers_;
  std::uint64_t leases_ = 0;
  std::map<std::uint64_t, std::string> guests_;  // names of those who are here, by session
  kj::Own<Door> door_;                           // last: its callbacks use all above
};

}  // namespace troupe
