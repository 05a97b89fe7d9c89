#include "actors/report_exceptions.hpp"

#include "tests/support/actor_fixture.hpp"

#include <doctest/doctest.h>

#include <caf/event_based_actor.hpp>
#include <stdexcept>

TEST_SUITE_BEGIN("actors");

namespace troupe {

TEST_CASE_FIXTURE(support::ActorFixture,
                  "what an actor died of is told to those who watch it and in the metrics") {
  caf::error seen;
  const caf::actor dying = system.spawn([this](caf::event_based_actor* one) -> caf::behavior {
    report_exceptions(one, *telemetry(), "dying");
    return {[](int) { throw std::runtime_error("no disk"); }};
  });
  keep(system.spawn([&seen, dying](caf::event_based_actor* watcher) -> caf::behavior {
    watcher->monitor(dying);
    watcher->set_down_handler([&seen](const caf::down_msg& down) { seen = down.reason; });
    return {[](float) {}};
  }));
  settle();
  caf::anon_send(dying, 1);
  settle();
  CHECK(code_of(seen) == Errc::actor_failed);
  CHECK(describe(seen) == "actor_failed: no disk");
  CHECK(telemetry()->metrics().expose().find("troupe_run_events_total{kind=\"actor_failed\"} 1") !=
        std::string::npos);
}

}  // namespace troupe
