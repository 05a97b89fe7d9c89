#include "actors/link/forwarder.hpp"

#include "actors/errors.hpp"

namespace troupe {

void ForwarderState::ask() {
  self->request(from, deadlines.request, take_atom::value, std::string(name), at_least)
      .then(
          [this](const Weights& weights) {
            if (weights) {
              at_least = weights.version() + 1;
              self->send(to, publish_atom::value, weights);
            }
            ask();
          },
          // Whatever it was, the next answer may be better; not at once, lest this turns into a busy loop.
          [this](const caf::error&) {
            self->delayed_send(self, deadlines.check_interval(), check_atom::value);
          });
}

caf::behavior forwarder(caf::stateful_actor<ForwarderState>* self, const Broadcaster& from,
                        const Broadcaster& to, PolicyVersion first, Deadlines deadlines) {
  auto& state = self->state;
  state.self = self;
  state.from = from;
  state.to = to;
  state.deadlines = deadlines;
  state.at_least = first;
  state.ask();
  return {[&state](check_atom) { state.ask(); }};
}

}  // namespace troupe
