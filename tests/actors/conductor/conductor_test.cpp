// Stages on real threads, with a director that only listens.
#include "actors/conductor/conductor.hpp"

#include "tests/support/actor_fixture.hpp"
#include "tests/support/small_run.hpp"

#include <doctest/doctest.h>

#include <caf/actor_system.hpp>
#include <caf/send.hpp>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <vector>

TEST_SUITE_BEGIN("actors/conductor");

namespace troupe {
namespace {

struct Performance {
  explicit Performance(Config chosen) : config(std::move(chosen)), materials(gather(config)) {
    plan.config = &config;
    plan.materials = &materials;
    plan.backends = support::bigram_backends();
    plan.telemetry = files.telemetry.get();
    listener = system.spawn([this](caf::event_based_actor*) -> caf::behavior {
      return {[this](updated_atom, std::int32_t, const Weights& weights) {
                note([&] { versions.push_back(weights.version()); });
              },
              [this](ended_atom, const StageEndPtr& end) { note([&] { ends.push_back(end); }); }};
    });
    leader = caf::actor_cast<Conductor>(system.spawn<caf::detached>(
        conductor, std::cref(plan), caf::actor_cast<Director>(listener)));
  }
  ~Performance() {
    close("the run is over");
    caf::anon_send_exit(listener, caf::exit_reason::user_shutdown);
  }
  void begin(std::uint32_t stage) { caf::anon_send(leader, begin_atom::value, stage); }
  void close(const std::string& reason) { caf::anon_send(leader, close_atom::value, reason); }
  void note(const std::function<void()>& what) {
    const std::lock_guard lock(mutex);
    what();
    changed.notify_all();
  }
  bool until(const std::function<bool()>& done) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, std::chrono::seconds(60), done);
  }
  /// The end that is told as the `count`-th.
  StageEndPtr end(std::size_t count) {
    REQUIRE(until([&] { return ends.size() >= count; }));
    const std::lock_guard lock(mutex);
    return ends[count - 1];
  }

  support::TemporaryRun files;
  Config config;
  Materials materials;
  ConductorPlan plan;
  std::mutex mutex;  // guards the two below
  std::vector<StageEndPtr> ends;
  std::vector<PolicyVersion> versions;
  std::condition_variable changed;
  caf::actor_system_config system_config;
  caf::actor_system system{system_config};
  caf::actor listener;
  Conductor leader;
};

/// Until an update of the second stage is published.
void trains(Performance& performance) {
  performance.begin(0);
  const PolicyVersion first = performance.end(1)->weights.version();
  performance.begin(1);
  REQUIRE(performance.until(
      [&] { return !performance.versions.empty() && performance.versions.back() > first; }));
}

Config endless_rollouts() {
  Config config = support::small_config();
  config.stages[1].updates = 100'000;
  return config;
}

}  // namespace

TEST_CASE("a stage that is asked for again is not run again and its end is told again") {
  Performance performance(support::small_config());
  performance.begin(0);
  const StageEndPtr first = performance.end(1);
  CHECK(first->failure.empty());
  CHECK(first->record.updates == 30);
  performance.begin(0);
  const StageEndPtr again = performance.end(2);
  CHECK(again->stage == 0);
  CHECK(again->record.updates == 30);
  CHECK(again->weights.digest() == first->weights.digest());
  performance.begin(1);
  const StageEndPtr rollouts = performance.end(3);
  CHECK(rollouts->stage == 1);
  CHECK(rollouts->weights.version() == first->weights.version() + 5);
}

TEST_CASE("a stage that is on is not begun twice") {
  Performance performance(support::small_config());
  performance.begin(0);
  performance.begin(0);
  const StageEndPtr end = performance.end(1);
  performance.begin(0);
  CHECK(performance.end(2)->weights.digest() == end->weights.digest());
  performance.begin(1);  // comes after whatever else would have been run
  CHECK(performance.end(3)->stage == 1);
}

TEST_CASE("a stop ends the stage after an update and is no failure") {
  Performance performance(endless_rollouts());
  trains(performance);
  caf::anon_send(performance.leader, stop_atom::value);
  const StageEndPtr end = performance.end(2);
  CHECK(end->failure.empty());
  CHECK(end->record.updates >= 1);
  CHECK(end->record.updates < 100'000);
  CHECK(end->record.ledger.imbalance_rollouts == 0);
  CHECK(end->record.ledger.imbalance_tokens == 0);
}

TEST_CASE("a stage that is closed accounts for what there was and names the reason") {
  Performance performance(endless_rollouts());
  trains(performance);
  performance.close("the evaluation hangs");
  const StageEndPtr end = performance.end(2);
  CHECK(end->failure == "the evaluation hangs");
  CHECK(end->record.updates >= 1);
  CHECK(end->record.ledger.generated_tokens > 0);
  CHECK(end->record.ledger.imbalance_rollouts == 0);
  CHECK(end->record.ledger.imbalance_tokens == 0);
}

}  // namespace troupe
