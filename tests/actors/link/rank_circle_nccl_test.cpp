// Ranks of a learner that exchange by a NCCL made for the tests, which sums in the order of ranks and works on host memory.
#include "tests/actors/link/circle_rig.hpp"
#include "tests/support/fake_nccl/named_device.hpp"

#include <doctest/doctest.h>

#include <future>
#include <stdexcept>

TEST_SUITE_BEGIN("actors/link");

namespace troupe {

using namespace circle;

namespace {

/// Ranks of which each has NCCL and a device, and what they said of it, by rank.
struct NcclRanks : Ranks {
  explicit NcclRanks(int count) : Ranks(count), said(static_cast<std::size_t>(count)) {
    for (int rank = 0; rank < count; ++rank) {
      devices.push_back(support::fake_device("device " + std::to_string(rank)));
      libraries.push_back(support::fake_nccl(devices.back()));
    }
  }
  RankCirclePlan plan(int rank) {
    const auto index = static_cast<std::size_t>(rank);
    RankCirclePlan made = Ranks::plan(rank);
    made.nccl = libraries[index];
    made.deadline = deadline;
    made.agreed = [this, index](const std::string& why) { said[index] = why; };
    return made;
  }
  std::chrono::milliseconds deadline = std::chrono::seconds(60);
  std::vector<std::shared_ptr<support::NamedDevice>> devices;
  std::vector<std::shared_ptr<const gpu::NcclLibrary>> libraries;
  std::vector<std::string> said;
};

using Plans = std::vector<RankCirclePlan>;

/// What rank 0 has trained with the others, which end well.
Trained train_together(const LearnerSetup& setup, const Plans& plans) {
  std::vector<std::future<std::string>> others;
  for (std::size_t rank = 1; rank < plans.size(); ++rank)
    others.push_back(std::async(std::launch::async, [&, rank] {
      RankService service(plans[rank], setup, "learner-" + std::to_string(rank));
      return service.run();
    }));
  auto peers = circle_peers(plans[0]);
  const Trained trained = train(setup, peers.get());
  peers.reset();
  for (auto& other : others) CHECK(other.get() == "");
  return trained;
}

/// A team of rank 0 with peers elsewhere.
std::unique_ptr<gpu::RankTeam> team_of(const LearnerSetup& setup, RankPeers& peers) {
  gpu::RankTeamSetup here = setup.ranks;
  here.meet = [&peers] { return peers.communicator(); };
  return std::make_unique<gpu::RankTeam>(here);
}

std::string update(gpu::RankTeam& team, const LearnerSetup& setup) {
  return team.run(
      [task = tasks(setup)[1]](int, gpu::TrainingEngine& engine) { perform(engine, task); });
}

}  // namespace

TEST_CASE("ranks over NCCL train the bits of ranks that are threads") {
  for (const int count : {2, 3})
    for (const bool sharded : {false, true}) {
      CAPTURE(count);
      CAPTURE(sharded);
      NcclRanks ranks(count);
      const LearnerSetup setup = setup_for(*ranks.run.telemetry, count, sharded);
      const Trained by_threads = train(setup, nullptr);
      Plans plans;
      for (int rank = 0; rank < count; ++rank) plans.push_back(ranks.plan(rank));
      CHECK(train_together(setup, plans) == by_threads);
      for (std::size_t rank = 0; rank < plans.size(); ++rank) {
        CHECK(has(ranks.said[rank], "gradients go by NCCL 2.28.9"));
        CHECK(ranks.devices[rank]->copies > 0);
      }
    }
}

TEST_CASE("one rank without NCCL has all take the ring and the log says why") {
  NcclRanks ranks(2);
  const LearnerSetup setup = setup_for(*ranks.run.telemetry, 2, false);
  Plans plans{ranks.plan(0), ranks.plan(1)};
  plans[1].nccl = nullptr;
  plans[1].nccl_problem = "the library is not there";
  CHECK(train_together(setup, plans) == train(setup, nullptr));
  CHECK(ranks.devices[0]->copies == 0);
  for (const std::string& why : ranks.said)
    CHECK(why ==
          "gradients go round a ring over the links, not by NCCL: rank 1: the library is "
          "not there");
}

TEST_CASE("ranks that shall use NCCL and cannot do not begin and all say why") {
  NcclRanks ranks(3);
  std::vector<std::future<void>> met;
  for (int rank = 0; rank < 3; ++rank) {
    RankCirclePlan plan = ranks.plan(rank);
    plan.communicator = CommunicatorUse::nccl;
    if (rank == 2) plan.nccl = ranks.libraries[1];
    met.push_back(std::async(std::launch::async, [plan] { const RankCircle circle(plan); }));
  }
  for (auto& one : met)
    CHECK_THROWS_WITH_AS(one.get(),
                         "learner.communicator = \"nccl\", and not all ranks can: rank 2: it "
                         "computes on the same device as rank 1 (device 1); mend that, or set "
                         "\"auto\" or \"ring\"",
                         std::runtime_error);
}

TEST_CASE("a library that makes no id has all take the ring") {
  NcclRanks ranks(2);
  const LearnerSetup setup = setup_for(*ranks.run.telemetry, 2, false);
  Plans plans{ranks.plan(0), ranks.plan(1)};
  gpu::NcclLibrary broken = *plans[0].nccl;
  broken.api.unique_id = [](gpu::NcclId*) { return 2; };
  plans[0].nccl = std::make_shared<const gpu::NcclLibrary>(broken);
  CHECK(train_together(setup, plans) == train(setup, nullptr));
  CHECK(has(ranks.said[1], "not by NCCL: rank 0: no unique id: NCCL returned 2"));
}

TEST_CASE("a rank that leaves a group of NCCL is noticed by its link and named") {
  NcclRanks ranks(2);
  const LearnerSetup setup = setup_for(*ranks.run.telemetry, 2, false);
  std::promise<std::shared_ptr<RankService>> met;
  auto other = std::async(std::launch::async, [&] {
    const auto service = std::make_shared<RankService>(ranks.plan(1), setup, "learner-1");
    met.set_value(service);
    return service->run();
  });
  const auto peers = circle_peers(ranks.plan(0));
  const auto team = team_of(setup, *peers);
  met.get_future().get()->leave();
  CHECK(other.get() == "");
  const std::string lost = update(*team, setup);
  CHECK(has(lost, "rank 0 of 2: NCCL "));
  CHECK(has(lost, "the connection to rank 1 ended"));
}

TEST_CASE("a rank that hangs in a group of NCCL ends the update after the deadline and is named") {
  NcclRanks ranks(2);
  ranks.deadline = std::chrono::seconds(3);
  const LearnerSetup setup = setup_for(*ranks.run.telemetry, 2, true);
  std::promise<void> over;
  auto other = std::async(std::launch::async, [&] {
    const RankCircle circle(ranks.plan(1));
    over.get_future().wait();
    circle.communicator()->abort("the test is over");
  });
  auto peers = circle_peers(ranks.plan(0));
  {
    const auto team = team_of(setup, *peers);
    CHECK(has(update(*team, setup), "not done within 3000 ms: a rank is lost or hangs"));
    CHECK(peers->last_words() == "learner rank 1 says nothing");
    std::vector<float> weights(kElements, 1);
    team->own().copy_weights(weights.data());
    CHECK(weights == std::vector<float>(kElements));  // as before the update
  }
  over.set_value();
  other.get();
}

}  // namespace troupe
