// Ranks of a learner that are processes, here each with loops of its own, beside ranks that are threads.
#include "actors/link/rank_circle.hpp"

#include "actors/link/rank_codec.hpp"
#include "gpu/error.hpp"
#include "tests/actors/link/circle_rig.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <capnp/message.h>
#include <chrono>
#include <future>
#include <stdexcept>
#include <thread>

TEST_SUITE_BEGIN("actors/link");

namespace troupe {

using namespace circle;

namespace {

/// Why a rank that meets rank 0 of two is not let in.
std::string refusal(const std::function<void(RankCirclePlan&)>& spoil, bool with_tls = false) {
  const Ranks ranks(2, with_tls);
  const RankCirclePlan zero = ranks.plan(0);
  RankCirclePlan one = ranks.plan(1);
  spoil(one);
  std::promise<void> met;
  auto there = std::async(std::launch::async, [&] {
    const RankCircle circle(zero);
    met.get_future().wait();
  });
  std::string why;
  try {
    const RankCircle circle(one);
  } catch (const std::runtime_error& error) {
    why = error.what();
  }
  const RankCircle good(ranks.plan(1));  // whoever was refused did no harm
  met.set_value();
  CHECK_NOTHROW(there.get());
  return why;
}

}  // namespace

TEST_CASE("ranks that are processes train the bits of ranks that are threads") {
  for (const int count : {2, 3})
    for (const bool sharded : {false, true}) {
      CAPTURE(count);
      CAPTURE(sharded);
      Ranks ranks(count, count == 2);
      const LearnerSetup setup = setup_for(*ranks.run.telemetry, count, sharded);
      const Trained by_threads = train(setup, nullptr);
      std::vector<std::future<std::string>> others;
      for (int rank = 1; rank < count; ++rank)
        others.push_back(std::async(std::launch::async, [&, rank] {
          RankService service(ranks.plan(rank), setup, "learner-" + std::to_string(rank));
          return service.run();
        }));
      auto peers = circle_peers(ranks.plan(0));
      const Trained by_processes = train(setup, peers.get());
      peers.reset();
      for (auto& other : others) CHECK(other.get() == "");
      CHECK(by_processes == by_threads);
      CHECK(by_processes.weights != first_weights());
    }
}

TEST_CASE("a rank that leaves is lost to the others and named") {
  Ranks ranks(2);
  const LearnerSetup setup = setup_for(*ranks.run.telemetry, 2, false);
  std::promise<std::shared_ptr<RankService>> met;
  auto other = std::async(std::launch::async, [&] {
    const auto service = std::make_shared<RankService>(ranks.plan(1), setup, "learner-1");
    met.set_value(service);
    return service->run();
  });
  const auto peers = circle_peers(ranks.plan(0));
  gpu::RankTeamSetup here = setup.ranks;
  here.meet = [&] { return peers->communicator(); };
  gpu::RankTeam team(here);
  const std::shared_ptr<RankService> leaving = met.get_future().get();
  leaving->leave();
  CHECK(other.get() == "");
  std::string lost;
  for (const RankTask& task : tasks(setup)) {
    lost = peers->tell(task);
    if (lost.empty())
      lost = team.run([task](int, gpu::TrainingEngine& engine) { perform(engine, task); });
    if (!lost.empty()) break;
  }
  CHECK(has(lost, "rank 1"));
}

TEST_CASE("who watches hears of a rank that is gone and of none that goes when the run is over") {
  const Ranks ranks(3);
  std::vector<std::future<std::unique_ptr<RankCircle>>> others;
  for (const int rank : {1, 2})
    others.push_back(std::async(std::launch::async, [plan = ranks.plan(rank)] {
      return std::make_unique<RankCircle>(plan);
    }));
  RankCircle zero(ranks.plan(0));
  auto one = others[0].get(), two = others[1].get();
  std::promise<int> heard, later;
  const auto first_of = [](std::promise<int>& told) {
    auto rank = told.get_future();
    REQUIRE(rank.wait_for(std::chrono::seconds(60)) == std::future_status::ready);
    return rank.get();
  };
  zero.watch([&](int rank) { heard.set_value(rank); });  // of a second rank it would throw
  two.reset();
  CHECK(first_of(heard) == 2);
  zero.watch([&](int rank) { later.set_value(rank); });
  CHECK(first_of(later) == 2);
  zero.at_peace();
  one.reset();
}

TEST_CASE(
    "a rank with another config or model or number or certificate is refused with the reason") {
  CHECK(has(refusal([](RankCirclePlan& plan) { plan.config_digest = "another"; }),
            "refused: its config is another one"));
  CHECK(has(refusal([](RankCirclePlan& plan) { plan.weights_digest = "others"; }),
            "refused: it begins with other weights"));
  CHECK(has(refusal([](RankCirclePlan& plan) {
              plan.rank = 2;
              plan.addresses.push_back(free_address());
            }),
            "refused: it knows of 3 ranks"));
  CHECK(has(refusal(
                [](RankCirclePlan& plan) {
                  plan.rank = 1;
                  plan.tls->certificate.replace(plan.tls->certificate.rfind("-2"), 2, "-1");
                  plan.tls->key.replace(plan.tls->key.rfind("-2"), 2, "-1");
                },
                true),
            "refused: its certificate is that of learner-0"));
}

TEST_CASE("rank 0 hears why another failed") {
  Ranks ranks(2);
  const LearnerSetup setup = setup_for(*ranks.run.telemetry, 2, false);
  LearnerSetup broken = setup;
  broken.ranks.engine = []() -> std::unique_ptr<gpu::TrainingEngine> {
    throw gpu::Error("no memory for an engine");
  };
  auto other = std::async(std::launch::async, [&] {
    RankService service(ranks.plan(1), broken, "learner-1");
    return service.run();
  });
  auto peers = circle_peers(ranks.plan(0));
  gpu::RankTeamSetup here = setup.ranks;
  here.meet = [&] { return peers->communicator(); };
  {
    gpu::RankTeam team(here);
    CHECK(team.run([](int, gpu::TrainingEngine& engine) { engine.gather({1.0}); }) != "");
    CHECK(peers->last_words() == "learner-1: no memory for an engine");
  }
  peers.reset();
  CHECK(other.get() == "no memory for an engine");
}

TEST_CASE("a rank that does not come is named with its address") {
  const Ranks ranks(2);
  RankCirclePlan plan = ranks.plan(0);
  plan.join_seconds = 0.05;
  std::string why;
  try {
    const RankCircle circle(plan);
  } catch (const std::runtime_error& error) {
    why = error.what();
  }
  CHECK(has(why, ("rank 1 at " + ranks.addresses[1] +
                  " has not come within 0 s (network.join-deadline-seconds)")
                     .c_str()));
}

TEST_CASE("a rank that waits for rank 0 to have met all leaves when asked to") {
  const Ranks ranks(3);
  std::vector<std::future<void>> waiting;
  std::vector<std::shared_ptr<std::atomic<bool>>> leaving;
  for (int rank = 0; rank < 3; ++rank) {
    leaving.push_back(std::make_shared<std::atomic<bool>>(false));
    RankCirclePlan plan = ranks.plan(rank);
    plan.given_up = leaving.back();
    if (rank == 2) plan.addresses[0] = free_address();  // it never gets there
    waiting.push_back(std::async(std::launch::async, [plan] { const RankCircle circle(plan); }));
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(300));  // rank 1 has met its neighbours
  *leaving[1] = true;
  CHECK_THROWS_WITH_AS(waiting[1].get(), doctest::Contains("the process was asked to leave"),
                       std::runtime_error);
  for (const std::size_t rank : {0, 2}) {
    *leaving[rank] = true;
    CHECK_THROWS_AS(waiting[rank].get(), std::runtime_error);
  }
}

TEST_CASE("the rank is the number at the end of a name") {
  CHECK(rank_of_name("learner") == 0);
  CHECK(rank_of_name("learner-0") == 0);
  CHECK(rank_of_name("learner-12") == 12);
  CHECK(rank_of_name("learner-x7") == 0);
  CHECK(rank_of_name("learner-99999999999") == 0);
}

TEST_CASE("a task that breaks its schema is not read") {
  const auto read = [](const std::function<void(wire::RankTask::Builder)>& fill) {
    capnp::MallocMessageBuilder message;
    auto task = message.initRoot<wire::RankTask>();
    fill(task);
    return read_task(task.asReader(), gpu::UpdateConfig{});
  };
  const auto one_rollout = [](wire::RankTask::Builder task) {
    auto made = task.initPolicy().initGroups(1).init(0, 1)[0];
    made.initTokens(3).set(0, 1);
    made.setPromptLength(1);
    made.initLogProbs(2);
    made.initVersions(1)[0].setCount(2);
    return made;
  };
  CHECK_NOTHROW(read([&](auto task) { one_rollout(task); }));
  CHECK_THROWS(read([&](auto task) { one_rollout(task).getTokens().set(0, -1); }));
  CHECK_THROWS(read([&](auto task) { one_rollout(task).setPromptLength(0); }));
  CHECK_THROWS(read([&](auto task) { one_rollout(task).setPromptLength(2); }));
  CHECK_THROWS(read([&](auto task) { one_rollout(task).getVersions()[0].setCount(1); }));
  CHECK_THROWS(read([&](auto task) { one_rollout(task).getLogProbs().set(0, NAN); }));
  CHECK_THROWS(
      read([](auto task) { task.initSupervised().initDocuments(1)[0].setFirstTarget(0); }));
}

}  // namespace troupe
