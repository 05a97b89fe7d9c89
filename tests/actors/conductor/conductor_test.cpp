// Stages on real threads, with a director that only listens.
#include "actors/conductor/conductor.hpp"

#include "actors/errors.hpp"
#include "actors/link/office.hpp"
#include "tests/support/actor_fixture.hpp"
#include "tests/support/small_run.hpp"

#include <doctest/doctest.h>

#include <caf/actor_system.hpp>
#include <caf/send.hpp>
#include <chrono>
#include <condition_variable>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

TEST_SUITE_BEGIN("actors/conductor");

namespace troupe {
namespace {

struct Performance {
  explicit Performance(Config chosen) : config(std::move(chosen)), materials(gather(config)) {
    if (config.network.learner_apart()) {
      OfficePlan open;
      open.listen = "127.0.0.1:0";
      open.learner_apart = true;
      open.telemetry = files.telemetry.get();
      office = std::make_unique<Office>(open);
      plan.office = office.get();
    }
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
  std::unique_ptr<Office> office;  // null: everything is in this process
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

bool eventually(const std::function<bool()>& done) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

/// A generator's process that takes every part and does nothing.
struct IdleSeat final : GeneratorSeat {
  void begin(const CallSheet& sheet, const caf::actor& on_behalf, const Broadcaster&,
             Answer<caf::unit_t> answer) override {
    answer.give(caf::unit_t{});
    const std::lock_guard lock(mutex);
    casts.push_back(sheet.cast);
    stand_in = on_behalf;
  }
  void take(std::uint32_t, const RolloutIds&, Answer<Rollouts>) override {}
  void end(Answer<SiteTotals> answer) override { answer.give(SiteTotals{}); }
  void release(std::uint64_t cast) override {
    const std::lock_guard lock(mutex);
    released.push_back(cast);
  }
  bool cast_times(std::size_t count) {
    return eventually([&] {
      const std::lock_guard lock(mutex);
      return casts.size() == count;
    });
  }
  /// The newest, which nobody here holds any longer.
  caf::actor take_stand_in() {
    const std::lock_guard lock(mutex);
    return std::exchange(stand_in, nullptr);
  }

  std::mutex mutex;  // guards all below
  std::vector<std::uint64_t> casts, released;
  caf::actor stand_in;
};

void enlist(Performance& performance, const std::string& name,
            const std::shared_ptr<IdleSeat>& seat) {
  const Enlistment enlistment{name, (7ULL << 32) | 1, seat, nullptr, nullptr, nullptr};
  caf::anon_send(caf::actor_cast<caf::actor>(performance.leader), enlisted_atom::value, enlistment);
}

/// A learner's process that takes its part and does nothing.
struct IdleStudy final : LearnerSeat {
  void begin(const CallSheet&, const caf::actor& on_behalf, const ReplayBuffer&,
             Answer<caf::unit_t> answer) override {
    answer.give(caf::unit_t{});
    const std::lock_guard lock(mutex);
    stand_in = on_behalf;
  }
  void stop(Answer<caf::unit_t> answer) override { answer.give(caf::unit_t{}); }
  void next_weights(std::uint64_t, Answer<Weights>) override {}
  void release(std::uint64_t) override {}
  caf::actor take_stand_in() {
    const std::lock_guard lock(mutex);
    return std::exchange(stand_in, nullptr);
  }

  std::mutex mutex;  // guards what is below
  caf::actor stand_in;
};

std::shared_ptr<IdleStudy> enlisted_learner(Performance& performance, std::uint64_t lease) {
  const auto seat = std::make_shared<IdleStudy>();
  const Enlistment enlistment{"learner", lease, nullptr, nullptr, nullptr, seat};
  caf::anon_send(caf::actor_cast<caf::actor>(performance.leader), enlisted_atom::value, enlistment);
  return seat;
}

Config endless_rollouts() {
  Config config = support::small_config();
  config.stages[1].updates = 100'000;
  return config;
}

/// Whether the run was told an event of that kind.
bool said(const Performance& performance, const std::string& kind) {
  std::ifstream file(performance.files.directory / "metrics.jsonl");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  return text.find("\"kind\":\"" + kind + "\"") != std::string::npos;
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

TEST_CASE("a role elsewhere whose stand-in dies is cast anew up to the restart limit") {
  Config config = endless_rollouts();
  config.director.restart_limit = 2;
  Performance performance(config);
  trains(performance);
  const auto seat = std::make_shared<IdleSeat>();
  enlist(performance, "far", seat);
  const caf::error reasons[] = {caf::exit_reason::unhandled_exception, make_error(Errc::link_busy),
                                make_error(Errc::actor_failed)};
  for (std::size_t life = 1; life <= 3; ++life) {
    REQUIRE(seat->cast_times(life));
    const caf::actor dying = seat->take_stand_in();
    caf::anon_send(dying, caf::exit_msg{dying.address(), reasons[life - 1]});
  }
  REQUIRE(eventually([&] { return said(performance, "restart_limit"); }));
  const auto other = std::make_shared<IdleSeat>();
  enlist(performance, "near", other);
  REQUIRE(other->cast_times(1));
  CHECK(seat->casts.size() == 3);
  CHECK(seat->released == seat->casts);
  CHECK(std::set(seat->casts.begin(), seat->casts.end()).size() == 3);
  caf::anon_send(performance.leader, stop_atom::value);
  CHECK(performance.end(2)->failure.empty());  // one process is not the run
}

TEST_CASE("a role elsewhere whose link is lost is not cast anew before it is back") {
  Performance performance(endless_rollouts());
  trains(performance);
  const auto seat = std::make_shared<IdleSeat>();
  enlist(performance, "far", seat);
  REQUIRE(seat->cast_times(1));
  caf::anon_send(seat->take_stand_in(), lost_atom::value, std::string("silent"));
  REQUIRE(eventually([&] { return said(performance, "lost"); }));
  const auto other = std::make_shared<IdleSeat>();
  enlist(performance, "near", other);
  REQUIRE(other->cast_times(1));
  CHECK(seat->casts.size() == 1);
  enlist(performance, "far", seat);
  REQUIRE(seat->cast_times(2));
}

TEST_CASE(
    "a learner elsewhere that joins anew takes the place of one that is gone until a stage "
    "begins") {
  Config config = support::small_config();
  config.network.learner = "apart";
  Performance performance(config);
  const auto gone = enlisted_learner(performance, 1), here = enlisted_learner(performance, 2);
  performance.begin(0);
  caf::actor stand_in;
  REQUIRE(eventually([&] { return (stand_in = here->take_stand_in()) != nullptr; }));
  CHECK(gone->take_stand_in() == nullptr);
  const auto late = enlisted_learner(performance, 3);
  caf::anon_send(stand_in, lost_atom::value, std::string("silent"));
  CHECK(performance.end(1)->failure.starts_with("the learner died: link_lost: silent"));
  CHECK(late->take_stand_in() == nullptr);
}

TEST_CASE("a stage does not look for who was lost in the one before") {
  Config config = support::small_config();
  config.stages.push_back(config.stages[1]);
  Performance performance(config);
  performance.begin(0);
  performance.end(1);
  performance.files.telemetry->pause(true);  // so that the stage waits for what follows
  performance.begin(1);
  const auto seat = std::make_shared<IdleSeat>();
  enlist(performance, "far", seat);
  REQUIRE(seat->cast_times(1));
  caf::anon_send(seat->take_stand_in(), lost_atom::value, std::string("silent"));
  REQUIRE(eventually([&] { return said(performance, "lost"); }));
  performance.files.telemetry->pause(false);
  CHECK(performance.end(2)->failure.empty());
  performance.begin(2);
  CHECK(performance.end(3)->failure.empty());
  CHECK(seat->casts.size() == 1);
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
