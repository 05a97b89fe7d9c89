#include "actors/link/learner_stand_in.hpp"

#include "tests/actors/link/showing_run.hpp"
#include "tests/support/actor_fixture.hpp"
#include "tests/support/shown_rollouts.hpp"

#include <doctest/doctest.h>

#include <caf/send.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

TEST_SUITE_BEGIN("actors/link");

namespace troupe {
namespace {

/// Its link is away.
struct AwaySeat final : LearnerSeat {
  void begin(const CallSheet&, const caf::actor&, const ReplayBuffer&,
             Answer<caf::unit_t>) override {}
  void stop(Answer<caf::unit_t>) override {}
  void next_weights(std::uint64_t, Answer<Weights>) override {}
  void release(std::uint64_t) override {}
};

struct StandInFixture : support::ActorFixture {
  void begin_stage() {
    LearnerPlan stage;
    stage.rollout.emplace();
    caf::anon_send(stand_in, begin_atom::value, std::make_shared<const LearnerPlan>(stage));
    settle();
  }
  void show(std::uint64_t number, std::uint64_t id) {
    CHECK(ask<bool>(stand_in, show_atom::value, number, support::shown({.id = id})).value());
  }
  std::vector<std::string> shown() const {
    std::vector<std::string> ids;
    for (const RolloutView& view : files.shown()) ids.push_back(view.id.substr(14));
    return ids;
  }

  linked::ShowingRun files{true};
  Conductor nobody = caf::actor_cast<Conductor>(
      keep(system.spawn([](caf::event_based_actor*) -> caf::behavior { return {[](int) {}}; })));
  caf::actor stand_in = keep(system.spawn(
      learner_stand_in,
      LearnerStandInPlan{"learner", 1, std::make_shared<AwaySeat>(), {}, files.telemetry.get()},
      nobody));
};

}  // namespace

TEST_CASE_FIXTURE(StandInFixture, "a rollout that is told again is shown once and gaps are none") {
  using Ids = std::vector<std::string>;
  show(0, 1);  // before any stage
  CHECK(shown().empty());
  begin_stage();
  show(0, 1);
  show(0, 1);
  show(3, 2);
  show(2, 3);  // late: it was left out
  show(3, 2);
  CHECK(shown() == Ids{"01", "02"});
  begin_stage();  // numbers begin anew
  show(0, 4);
  CHECK(shown() == Ids{"01", "02", "04"});
}

}  // namespace troupe

TEST_SUITE_END();
