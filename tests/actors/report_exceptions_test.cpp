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

TEST_CASE_FIXTURE(support::ActorFixture,
                  "messages that are not understood or refused are counted by reason") {
  const caf::actor one = keep(system.spawn([this](caf::event_based_actor* actor) -> caf::behavior {
    report_exceptions(actor, *telemetry(), "one");
    return {[this](int) -> caf::result<int> {
      return refused(*telemetry(), Errc::version_not_newer, "3");
    }};
  }));
  CHECK(ask<int>(one, std::string("what?")).error() == caf::sec::unexpected_message);
  CHECK(describe(ask<int>(one, 3).error()) == "version_not_newer: 3");
  CHECK(timed_out(*telemetry(), caf::make_error(caf::sec::request_timeout)));
  CHECK_FALSE(timed_out(*telemetry(), make_error(Errc::stage_over)));
  const std::string metrics = telemetry()->metrics().expose();
  const std::string name = "troupe_actor_dropped_messages_total";
  for (const char* line : {"{reason=\"unexpected\"} 1\n", "{reason=\"version_not_newer\"} 1\n",
                           "{reason=\"timeout\"} 1\n", "{reason=\"stage_over\"} 0\n"}) {
    CAPTURE(line);
    CHECK(metrics.find(name + line) != std::string::npos);
  }
}

}  // namespace troupe
