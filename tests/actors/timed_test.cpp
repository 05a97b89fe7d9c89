#include "actors/timed.hpp"

#include "tests/support/actor_fixture.hpp"

#include <doctest/doctest.h>

#include <stdexcept>

TEST_SUITE_BEGIN("actors");

namespace troupe {
namespace {

bool exposes(Telemetry& telemetry, const std::string& line) {
  return telemetry.scrape().find("troupe_actor_message_seconds_" + line + "\n") !=
         std::string::npos;
}

}  // namespace

TEST_CASE_FIXTURE(support::ActorFixture,
                  "each message and each answer an actor handles is measured once") {
  const auto doubler = keep(system.spawn([](caf::event_based_actor*) -> caf::behavior {
    return {[](int number) { return 2 * number; }};
  }));
  int seen = 0;
  const auto actor = keep(system.spawn([&](caf::event_based_actor* one) -> caf::behavior {
    const Timed timed(*telemetry(), "it");
    return {timed([&, one, timed](int number) {
              one->request(doubler, caf::infinite, number).then(timed([&](int doubled) {
                seen = doubled;
              }));
            }),
            timed([](const std::string& text) { return text + "!"; })};
  }));
  caf::anon_send(actor, 21);
  settle();
  CHECK(seen == 42);
  CHECK(exposes(*telemetry(), "count{actor=\"it\"} 2"));
  CHECK(*ask<std::string>(actor, std::string("yes")) == "yes!");
  CHECK(exposes(*telemetry(), "count{actor=\"it\"} 3"));
}

TEST_CASE("the pulse of an actor beats while it handles a message however that ends") {
  const support::TemporaryRun run;
  const Timed timed(*run.telemetry, "it");
  const Pulse& pulse = run.telemetry->pulse("it");
  CHECK_FALSE(pulse.since());
  const auto handler = timed([&](bool fail) {
    CHECK(pulse.since());
    CHECK(*pulse.since() <= Clock::now());
    if (fail) throw std::runtime_error("no");
  });
  handler(false);
  CHECK_FALSE(pulse.since());
  CHECK_THROWS(handler(true));
  CHECK_FALSE(pulse.since());
}

TEST_CASE("a measured handler takes its arguments as it did without") {
  Metrics unused;
  const support::TemporaryRun run;
  const Timed timed(*run.telemetry, "it");
  const auto same = timed([](const std::string& text, int& count) -> const std::string& {
    ++count;
    return text;
  });
  const std::string text = "text";
  int count = 0;
  CHECK(&same(text, count) == &text);
  CHECK(count == 1);
}

}  // namespace troupe
