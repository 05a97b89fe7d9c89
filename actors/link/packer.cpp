#include "actors/link/packer.hpp"

#include <caf/event_based_actor.hpp>
#include <chrono>

namespace troupe {

caf::behavior packer(caf::stateful_actor<PackerState>* self, Broadcaster from, WeightTerms terms,
                     Telemetry* telemetry) {
  auto& state = self->state;
  state.packing.emplace(std::move(terms));
  state.self = caf::actor_cast<caf::actor>(self);
  self->monitor(from);
  const auto end = [self, &state](const caf::error& reason) {
    state.self = nullptr;
    self->quit(reason);
  };
  self->set_down_handler([end](const caf::down_msg& down) { end(down.reason); });
  self->set_exit_handler([end](const caf::exit_msg& exit) { end(exit.reason); });
  return {
      [self, &state, telemetry, from](pack_atom, const PackingOrder& order,
                                      caf::actor_clock::duration_type deadline) {
        auto promise = self->make_response_promise<Shipment>();
        self->request(from, deadline, take_atom::value, order.who, order.at_least)
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
