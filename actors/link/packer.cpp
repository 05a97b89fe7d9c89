#include "actors/link/packer.hpp"

#include <caf/event_based_actor.hpp>
#include <chrono>

namespace troupe {

caf::behavior packer(caf::stateful_actor<PackerState>* self, WeightTerms terms,
                     Telemetry* telemetry) {
  auto& state = self->state;
  state.packing.emplace(std::move(terms));
  return {
      [self, &state, telemetry](pack_atom, const PackingOrder& order,
                                caf::actor_clock::duration_type deadline) {
        auto promise = self->make_response_promise<Shipment>();
        self->request(order.from, deadline, take_atom::value, order.who, order.at_least)
            .then(
                [&state, telemetry, promise, wish = order.wish](const Weights& weights) mutable {
                  Shipment shipment;
                  if (weights) shipment = state.packing->pack(weights, wish);
                  if (wish.memory && weights && !shipment.memory &&
                      !state.packing->trouble().empty())
                    telemetry->event("carrier", "memfd: " + state.packing->trouble());
                  promise.deliver(shipment);
                },
                [promise](const caf::error& error) mutable { promise.deliver(error); });
        return promise;
      },
      [&state](forget_atom) { state.packing->forget(); },
  };
}

}  // namespace troupe
