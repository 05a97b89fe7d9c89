#include "actors/broadcaster/broadcaster.hpp"

#include "actors/errors.hpp"
#include "actors/report_exceptions.hpp"
#include "actors/telemetry/lineage.hpp"
#include "actors/timed.hpp"

#include <deque>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <utility>

namespace troupe {

/// Hands the newest version to everyone who waits for it or an older one.
void BroadcasterState::serve() {
  if (!newest) return;
  std::deque<bool> answered(generators.size(), false);
  for (std::size_t i = 0; i < generators.size(); ++i) {
    if (generators[i].wish > newest.version()) continue;
    answered[i] = true;
    generators[i].promise.deliver(newest);
    plan.telemetry->metrics()
        .counter("troupe_broadcaster_bytes_total", "pointer")
        .Increment(static_cast<double>(newest.elements() * sizeof(float)));
    plan.telemetry->metrics().counter("troupe_broadcaster_handed_total").Increment();
  }
  generators.erase_answered(answered);
}

Broadcaster::behavior_type broadcaster(Broadcaster::stateful_pointer<BroadcasterState> self,
                                       BroadcasterPlan plan) {
  auto& state = self->state;
  report_exceptions(self, *plan.telemetry, state.name);
  state.plan = plan;
  state.activity = &plan.telemetry->activity(state.name);
  self->delayed_send(self, plan.deadlines.check_interval(), check_atom::value);
  // Who waits would hear nothing of the end: CAF 0.17 leaves what is not answered to its deadline.
  self->set_exit_handler([self, &state](const caf::exit_msg& exit) {
    state.generators.refuse_all(make_error(Errc::link_lost, "the broadcaster has ended"));
    self->quit(exit.reason);
  });
  const Timed timed(*plan.telemetry, state.name);
  return {
      timed([&state](publish_atom, const Weights& weights) -> caf::result<void> {
        if (state.newest && weights.version() <= state.newest.version())
          return refused(*state.plan.telemetry, Errc::version_not_newer,
                         std::to_string(weights.version()));
        state.activity->enter("publish", true);
        state.newest = weights;
        state.plan.telemetry->metrics()
            .gauge("troupe_broadcaster_version")
            .Set(static_cast<double>(weights.version()));
        Lineage* const lineage = state.plan.telemetry->lineage();
        if (lineage != nullptr && state.plan.for_generators)
          lineage->published(weights.version(), weights.digest());
        state.serve();
        state.plan.telemetry->progress(state.name);
        state.activity->enter("wait", false);
        return caf::unit;
      }),
      timed([self, &state](take_atom, const std::string& who,
                           PolicyVersion at_least) -> caf::result<Weights> {
        const PolicyVersion newest = state.newest ? state.newest.version() + 1 : 0;
        state.plan.telemetry->set("troupe_broadcaster_subscriber_lag_versions", who,
                                  newest > at_least ? static_cast<double>(newest - at_least) : 0.0);
        auto promise = self->make_response_promise<Weights>();
        state.generators.add(promise, at_least, self->clock().now());
        state.serve();
        return promise;
      }),
      timed([self, &state](check_atom) {
        state.plan.telemetry->metrics()
            .gauge("troupe_actor_mailbox_depth", state.name)
            .Set(static_cast<double>(self->mailbox().size()));
        state.generators.answer_impatient(self->clock().now(), state.plan.deadlines.patience());
        self->delayed_send(self, state.plan.deadlines.check_interval(), check_atom::value);
      }),
  };
}

}  // namespace troupe
