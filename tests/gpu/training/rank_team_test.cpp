#include "gpu/training/rank_team.hpp"

#include "gpu/error.hpp"
#include "tests/support/bigram.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <future>
#include <set>

TEST_SUITE_BEGIN("gpu/training");

namespace troupe::gpu {
namespace {

using std::chrono::milliseconds;
constexpr std::int32_t kVocab = 8;

RankTeamSetup bigram_team(int ranks, milliseconds deadline = milliseconds(30000)) {
  RankTeamSetup setup;
  setup.ranks = ranks;
  setup.deadline = deadline;
  setup.prepare_thread = [] {};
  setup.engine = [] {
    return std::make_unique<support::BigramTrainingEngine>(kVocab, kVocab * kVocab, SamplingView{});
  };
  return setup;
}

/// Needs every rank.
void meet(TrainingEngine& engine) {
  engine.gather({1.0});
}

/// Rank 0 of two whose peer says nothing, and is lost when told so.
struct LonelyRank final : Communicator {
  int rank() const override { return 0; }
  int size() const override { return 2; }
  void all_reduce_sum(std::span<float>) override {}
  void reduce_scatter_sum(std::span<float>, std::size_t) override {}
  void all_gather(std::span<std::byte>, std::size_t) override {
    if (lost) throw LostRank("the peer is gone");
  }
  void broadcast(std::span<std::byte>, int) override {}
  void barrier() override {}
  void abort(const std::string&) override {}
  bool lost = false;
};

}  // namespace

TEST_CASE("a rank that is lost while shards are gathered leaves the weights of before") {
  const auto peer = std::make_shared<LonelyRank>();
  const auto engine =
      make_data_parallel_engine(bigram_team(1).engine(), peer, OptimizerState::sharded);
  const std::vector<float> before(kVocab * kVocab, 0.25f);
  engine->load(before.data());
  const std::vector<std::int32_t> tokens{0, 1, 2, 3};
  const std::vector<Sequence> sequences{{tokens, 1}, {tokens, 1}};  // one for each rank
  engine->forward_backward(
      sequences, [](std::size_t, std::span<const TokenValue>, std::span<TokenWeight> weights) {
        for (TokenWeight& weight : weights) weight.log_prob = 1;
      });
  CHECK(engine->gradient_norm() > 0);
  peer->lost = true;
  CHECK_THROWS_AS(engine->step({}, 0.1f, 1.0f), LostRank);
  std::vector<float> after(before.size());
  engine->copy_weights(after.data());
  CHECK(after == before);
}

TEST_CASE("every rank of a team does the work with an engine of its own") {
  for (const int ranks : {1, 3}) {
    RankTeam team(bigram_team(ranks));
    const auto engines = std::make_shared<std::vector<TrainingEngine*>>(ranks);
    for (int round = 0; round < 2; ++round)
      CHECK(team.run([engines](int rank, TrainingEngine& engine) {
        (*engines)[static_cast<std::size_t>(rank)] = &engine;
        meet(engine);
      }) == "");
    CHECK(std::set(engines->begin(), engines->end()).size() == engines->size());
    CHECK((*engines)[0] == &team.own());
  }
}

TEST_CASE("a rank that fails ends the work of all and is named for good") {
  RankTeam team(bigram_team(3));
  const std::string lost = team.run([](int rank, TrainingEngine& engine) {
    if (rank == 2) throw Error("out of memory");
    meet(engine);
  });
  CHECK(lost.find("learner rank 2 failed: out of memory") != std::string::npos);
  bool called = false;
  CHECK(team.run([&called](int, TrainingEngine&) { called = true; }) == lost);
  CHECK_FALSE(called);
}

TEST_CASE("a rank that fails after the others are done is noticed") {
  RankTeam team(bigram_team(2));
  CHECK(team.run([](int rank, TrainingEngine& engine) {
    meet(engine);
    if (rank == 1) throw Error("late");
  }) == "learner rank 1 failed: late");
}

TEST_CASE("a rank that hangs is given up after the deadline") {
  const auto release = std::make_shared<std::promise<void>>();
  const auto released = std::make_shared<std::shared_future<void>>(release->get_future());
  {
    RankTeam team(bigram_team(2, milliseconds(50)));
    const std::string lost = team.run([released](int rank, TrainingEngine& engine) {
      if (rank == 1) released->wait();
      meet(engine);
    });
    CHECK(lost == "rank 0 of 2: all_gather: rank 1 did not come within 50 ms");
  }
  release->set_value();
}

TEST_CASE("an error of rank 0 itself comes out as it is") {
  RankTeam team(bigram_team(2));
  CHECK_THROWS_WITH(static_cast<void>(team.run([](int rank, TrainingEngine& engine) {
                      if (rank == 0) throw Error("a broken promise");
                      meet(engine);
                    })),
                    "a broken promise");
}

TEST_CASE("a rank without an engine is lost from the start") {
  RankTeamSetup setup = bigram_team(2);
  setup.engine = [made = std::make_shared<std::atomic<int>>(0), make = setup.engine] {
    if (++*made > 1) throw Error("no memory for an engine");
    return make();
  };
  RankTeam team(setup);
  CHECK(team.run([](int, TrainingEngine&) {}) == "learner rank 1 failed: no memory for an engine");
}

}  // namespace troupe::gpu
