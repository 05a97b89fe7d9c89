#include "actors/link/door.hpp"

#include "messages/wire/network.hpp"

#include <prometheus/counter.h>
#include <utility>

namespace troupe {

Door::Door(wire::Loop& loop, const DoorPlan& plan, wire::TlsContext* tls, const Events& events) {
  auto port = wire::listen(loop.io.getNetwork(), plan.listen);
  port_ = port->getPort();
  wire::Gatekeeper::Events heard{
      [grant = events.grant](const wire::Visitor& visitor) { return grant(visitor); },
      [ended = events.ended](const wire::Visitor& visitor, const wire::End& end) {
        ended(visitor, end);
      },
      [telemetry = plan.telemetry](const std::string& address, wire::Refusal refusal,
                                   const std::string& text) {
        const std::string reason(wire::to_string(refusal));
        telemetry->metrics().counter("troupe_link_refused_total", reason).Increment();
        telemetry->event("link_refused", address + ": " + reason + ": " + text);
      }};
  keeper_ = tls != nullptr ? kj::heap<wire::Gatekeeper>(kj::mv(port), *tls, loop.timer, plan.limits,
                                                        kj::mv(heard))
                           : kj::heap<wire::Gatekeeper>(wire::Gatekeeper::Insecure{}, kj::mv(port),
                                                        loop.timer, plan.limits, kj::mv(heard));
}

}  // namespace troupe
