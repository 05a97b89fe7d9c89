#include "actors/link/bridge.hpp"

#include "tests/support/actor_fixture.hpp"

#include <doctest/doctest.h>

#include <caf/exit_reason.hpp>
#include <chrono>
#include <functional>
#include <kj/async-io.h>
#include <optional>

TEST_SUITE_BEGIN("actors/link");

namespace troupe {
namespace {

struct BridgeFixture : support::ActorFixture {
  /// What becomes of a question in the porter's name. `meanwhile`: once it is asked.
  std::optional<caf::error> outcome(const std::function<void()>& meanwhile) {
    std::optional<caf::error> problem;
    auto asked = troupe::ask<bool>(porter, silent, std::chrono::hours(1), attached_atom::value)
                     .then([](bool) {}, [&](kj::Exception&& e) { problem = to_error(e); })
                     .eagerlyEvaluate(nullptr);
    meanwhile();
    settle();
    io.waitScope.poll();
    return problem;
  }
  void end(const caf::actor& actor) {
    caf::anon_send_exit(actor, caf::exit_reason::kill);
    settle();
  }

  kj::AsyncIoContext io = kj::setupAsyncIo();
  caf::actor porter = keep(system.spawn(
      [](caf::event_based_actor* one) -> caf::behavior { return {errand_handler(one)}; }));
  caf::actor silent = keep(system.spawn([](caf::event_based_actor* one) -> caf::behavior {
    return {[one](attached_atom) { return one->make_response_promise<bool>(); }};
  }));
};

}  // namespace

TEST_CASE_FIXTURE(BridgeFixture, "a question in the name of who is gone fails as a lost link") {
  const auto lost = outcome([&] {
    settle();
    end(porter);  // it had asked
  });
  REQUIRE(lost);
  CHECK(code_of(*lost) == Errc::link_lost);
  const auto later = outcome([] {});
  REQUIRE(later);
  CHECK(code_of(*later) == Errc::link_lost);
}

TEST_CASE_FIXTURE(BridgeFixture, "a question to who is gone fails as a lost link") {
  end(silent);
  const auto lost = outcome([] {});
  REQUIRE(lost);
  CHECK(code_of(*lost) == Errc::link_lost);
}

}  // namespace troupe
