#include "actors/broadcaster/broadcaster.hpp"

#include "actors/errors.hpp"
#include "tests/support/actor_fixture.hpp"

#include <doctest/doctest.h>

TEST_SUITE_BEGIN("actors/broadcaster");

namespace troupe {
namespace {

using namespace std::chrono_literals;

Weights weights(std::uint64_t version) {
  return {version, std::string(32, '0'), std::shared_ptr<float[]>(new float[1]{0.5f}), 1};
}

struct BroadcasterFixture : support::ActorFixture {
  Broadcaster actor = keep(system.spawn(broadcaster, BroadcasterPlan{{}, telemetry()}));
  bool publish(std::uint64_t version) {
    bool accepted = false;
    self->request(actor, caf::infinite, publish_atom::value, weights(version));
    settle();
    const auto held = ask<Weights>(actor, take_atom::value, std::string("g"), version);
    accepted = held && held->version() == version;
    return accepted;
  }
};

}  // namespace

TEST_CASE_FIXTURE(BroadcasterFixture, "a generator gets the newest version if it is new to it") {
  REQUIRE(publish(3));
  CHECK(ask<Weights>(actor, take_atom::value, std::string("g"), std::uint64_t{0})->version() == 3);
  CHECK(ask<Weights>(actor, take_atom::value, std::string("g"), std::uint64_t{3})->version() == 3);
}

TEST_CASE_FIXTURE(BroadcasterFixture, "a generator that holds the newest waits for the next") {
  REQUIRE(publish(3));
  const auto next = ask_later<Weights>(actor, take_atom::value, std::string("g"), std::uint64_t{4});
  settle();
  CHECK_FALSE(next->answered());
  REQUIRE(publish(4));
  REQUIRE(next->answered());
  CHECK((*next->answer)->version() == 4);
}

TEST_CASE_FIXTURE(BroadcasterFixture,
                  "a version that is not newer is refused with version_not_newer") {
  REQUIRE(publish(3));
  Errc code = Errc::none;
  system.spawn([&code, this](caf::event_based_actor* asker) {
    asker->request(actor, caf::infinite, publish_atom::value, weights(3))
        .then([] {}, [&code](const caf::error& error) { code = code_of(error); });
  });
  settle();
  CHECK(code == Errc::version_not_newer);
}

TEST_CASE_FIXTURE(BroadcasterFixture, "who waits too long for a version is answered with none") {
  const auto next = ask_later<Weights>(actor, take_atom::value, std::string("g"), std::uint64_t{0});
  settle();
  for (int i = 0; i < 12; ++i) advance(1s);
  REQUIRE(next->answered());
  CHECK_FALSE(static_cast<bool>(**next->answer));
}

}  // namespace troupe
