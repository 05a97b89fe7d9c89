#include "actors/link/weight_gate.hpp"

#include "messages/wire/gate.hpp"
#include "messages/wire/network.hpp"

#include <kj/debug.h>
#include <utility>

namespace troupe {

WeightGate::WeightGate(wire::Loop& loop, const MemberPlan& member, WeightGatePlan plan,
                       wire::TlsContext* tls, WeightDispatch& dispatch, DeskTerms terms,
                       WeightDispatch::Origin origin, const kj::Own<Membership>& membership)
    : member_(member),
      plan_(std::move(plan)),
      dispatch_(dispatch),
      terms_(std::move(terms)),
      origin_(std::move(origin)),
      membership_(membership),
      peers_(*member_.telemetry) {
  Telemetry* const telemetry = member_.telemetry;
  Door::Events guests;
  guests.grant = [this](const wire::Visitor& visitor) { return gate_for(visitor); };
  guests.ended = [this, telemetry](const wire::Visitor& visitor, const wire::End& end) {
    const auto guest = guests_.extract(visitor.session);
    if (guest.empty()) return;
    peers_.away(guest.mapped());
    telemetry->event("link_lost",
                     guest.mapped() + " is away: " + std::string(wire::to_string(end.reason)));
  };
  door_ = kj::heap<Door>(loop, DoorPlan{plan_.listen, member_.limits, telemetry}, tls, guests);
  const wire::Address told = wire::parse_address(plan_.address);
  if (told.port == 0) plan_.address = told.host + ":" + std::to_string(door_->port());
  telemetry->event("listening", plan_.address);
}

wire::Gate::Client WeightGate::gate_for(const wire::Visitor& visitor) {
  const std::string run = membership_.get() == nullptr ? std::string() : membership_->run_id();
  if (run.empty())
    kj::throwRecoverableException(
        KJ_EXCEPTION(DISCONNECTED, "this process has not joined the run yet; dial again"));
  return wire::make_gate(
      {run, member_.config_digest, 1}, visitor.identity,
      [this, session = visitor.session](const wire::PeerIdentity& identity, wire::Hello::Reader) {
        if (identity.role != plan_.role)
          wire::refuse_join(
              wire::JoinRefusal::role_mismatch,
              "the weights here are for a " + plan_.role + ", not for a " + identity.role);
        Telemetry* const telemetry = member_.telemetry;
        guests_[session] = identity.name;
        peers_.there(identity.name);
        telemetry->event("joined", identity.name + " takes weights from here");
        return kj::Promise<wire::Granted>(
            wire::Granted{++leases_, dispatch_.source(terms_, origin_, identity.name)});
      });
}

}  // namespace troupe
