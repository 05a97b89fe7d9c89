#include "actors/learner/learner.hpp"

#include "actors/errors.hpp"
#include "gpu/error.hpp"
#include "gpu/transport/thread_communicator.hpp"
#include "tests/support/actor_fixture.hpp"
#include "tests/support/bigram.hpp"
#include "tests/support/rollouts.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <stdexcept>

TEST_SUITE_BEGIN("actors/learner");

namespace troupe {
namespace {

constexpr std::int32_t kVocab = 4;

using Bigram = support::BigramTrainingEngine;
std::unique_ptr<gpu::TrainingEngine> bigram() {
  return std::make_unique<Bigram>(kVocab, kVocab * kVocab, gpu::SamplingView{});
}

/// Dies in its fifth update.
struct Mortal : Bigram {
  using Bigram::Bigram;
  void forward_backward(std::span<const gpu::Sequence> sequences,
                        const gpu::Weigh& weigh) override {
    if (++updates == 5) throw gpu::Error("out of memory");
    Bigram::forward_backward(sequences, weigh);
  }
  int updates = 0;
};

/// The engine of rank 0, which is made first, does not die.
std::function<std::unique_ptr<gpu::TrainingEngine>()> mortal_peers() {
  return [made = std::make_shared<std::atomic<int>>(0)]() -> std::unique_ptr<gpu::TrainingEngine> {
    if ((*made)++ == 0) return bigram();
    return std::make_unique<Mortal>(kVocab, kVocab * kVocab, gpu::SamplingView{});
  };
}

struct LearnerFixture : support::ActorFixture {
  explicit LearnerFixture(int ranks = 1,
                          std::function<std::unique_ptr<gpu::TrainingEngine>()> engine = bigram,
                          std::function<std::shared_ptr<RankPeers>()> peers = {}) {
    director =
        caf::actor_cast<Conductor>(system.spawn([this](caf::event_based_actor*) -> caf::behavior {
          return {[](updated_atom, std::int32_t, const Weights&) {},
                  [this](ended_atom, const LearnerOutcome& ended) { outcomes.push_back(ended); }};
        }));
    LearnerSetup setup;
    setup.ranks.prepare_thread = [] {};
    setup.ranks.ranks = ranks;
    setup.ranks.engine = std::move(engine);
    setup.weights.assign(kVocab * kVocab, 0.0f);
    setup.peers = std::move(peers);
    setup.telemetry = telemetry();
    actor = system.spawn(learner, setup, director);
  }
  ~LearnerFixture() {
    caf::anon_send_exit(actor, caf::exit_reason::kill);
    caf::anon_send_exit(director, caf::exit_reason::kill);
    settle();
  }
  static SupervisedPlan counting_up(std::int32_t updates) {
    SupervisedPlan plan;
    plan.next_document = [] { return gpu::Document{{0, 1, 2, 3}, 1}; };
    plan.updates = updates;
    plan.batch_documents = 2;
    plan.schedule = {0.1f, 0.1f, 0, updates};
    return plan;
  }
  const LearnerOutcome& run(SupervisedPlan plan) {
    LearnerPlan whole;
    whole.supervised = std::move(plan);
    caf::anon_send(actor, begin_atom::value, std::make_shared<const LearnerPlan>(std::move(whole)));
    settle();
    REQUIRE_FALSE(outcomes.empty());
    return outcomes.back();
  }
  Conductor director;
  Learner actor;
  std::vector<LearnerOutcome> outcomes;
};

double most_likely_after(const LearnerOutcome& outcome, std::int32_t before) {
  const float* row = outcome.weights.values().get() + before * kVocab;
  return static_cast<double>(std::max_element(row, row + kVocab) - row);
}

}  // namespace

TEST_CASE_FIXTURE(LearnerFixture,
                  "a supervised stage learns its documents in the planned number of updates") {
  const LearnerOutcome& outcome = run(counting_up(50));
  CHECK(outcome.failure.empty());
  CHECK(outcome.updates == 50);
  for (std::int32_t i = 0; i < 3; ++i) CHECK(most_likely_after(outcome, i) == i + 1);
}

struct ThreeRanks : LearnerFixture {
  ThreeRanks() : LearnerFixture(3) {}
};
struct MortalRank : LearnerFixture {
  MortalRank() : LearnerFixture(2, mortal_peers()) {}
};

struct NoRanks : LearnerFixture {
  NoRanks()
      : LearnerFixture(1, bigram, []() -> std::shared_ptr<RankPeers> {
          throw std::runtime_error("rank 2 has not come");
        }) {}
};

/// A circle of rank 0 alone, of which the test says who is lost.
struct LonelyPeers final : RankPeers {
  std::shared_ptr<gpu::Communicator> communicator() override {
    return std::move(gpu::make_thread_communicators(1, std::chrono::seconds(60)).front());
  }
  void watch(std::function<void(int rank)> told) override { lost = std::move(told); }
  std::string tell(const RankTask&) override { return says; }
  std::string last_words() override { return ""; }
  std::function<void(int rank)> lost;
  std::string says;
};
struct Lonely : LearnerFixture {
  explicit Lonely(std::shared_ptr<LonelyPeers> all = std::make_shared<LonelyPeers>())
      : LearnerFixture(1, bigram, [all] { return all; }), peers(std::move(all)) {
    watcher = keep(system.spawn([this](caf::event_based_actor* own) -> caf::behavior {
      own->monitor(actor);
      own->set_down_handler([this](const caf::down_msg& down) { why = describe(down.reason); });
      return {[](caf::put_atom) {}};
    }));
    settle();
  }
  std::shared_ptr<LonelyPeers> peers;
  caf::actor watcher;
  std::string why;
};

TEST_CASE_FIXTURE(Lonely,
                  "a learner that waits for its first stage ends with a rank that is lost") {
  peers->lost(2);
  settle();
  CHECK(why == "link_lost: rank 2 was lost before the first stage");
}

TEST_CASE_FIXTURE(Lonely, "a rank that is lost once a run has begun ends the stage that needs it") {
  CHECK(run(counting_up(1)).failure.empty());
  peers->lost(2);
  peers->says = "rank 2: the connection ended";
  CHECK(run(counting_up(1)).failure == "the update was stopped: rank 2: the connection ended");
  CHECK(why.empty());
}

TEST_CASE_FIXTURE(NoRanks, "ranks that do not meet end the stage with the reason") {
  const LearnerOutcome& outcome = run(counting_up(50));
  CHECK(outcome.failure == "rank 2 has not come");
  CHECK(outcome.updates == 0);
  CHECK(outcome.weights.elements() == kVocab * kVocab);
}

TEST_CASE_FIXTURE(ThreeRanks, "three ranks learn what one learns") {
  const LearnerOutcome& outcome = run(counting_up(50));
  CHECK(outcome.failure.empty());
  CHECK(outcome.updates == 50);
  for (std::int32_t i = 0; i < 3; ++i) CHECK(most_likely_after(outcome, i) == i + 1);
}

TEST_CASE_FIXTURE(MortalRank, "the loss of a rank ends the stage with the weights of before") {
  const LearnerOutcome lost = run(counting_up(50));
  CHECK(lost.failure.find("the update was stopped: ") == 0);
  CHECK(lost.failure.find("learner rank 1 failed: out of memory") != std::string::npos);
  CHECK(lost.updates == 4);
  const std::uint64_t elements = kVocab * kVocab;
  CHECK(lost.weights.digest() == gpu::weights_digest(lost.weights.values().get(), elements));
  CHECK(lost.weights.values()[1] != 0);
  CHECK(run(counting_up(50)).failure == lost.failure);  // and no other stage is begun
}

TEST_CASE_FIXTURE(LearnerFixture, "the gate keeps a stage going until its share is reached") {
  SupervisedPlan plan = counting_up(1);
  GatePlan gate;
  gate.kinds = {{ProbeDocument{{0, 1, 2, 3}, 1}}};
  gate.share = 1.0;
  gate.every = 3;
  gate.limit = 100;
  gate.engine = [] { return std::make_unique<support::BigramEngine>(kVocab, 1, 8); };
  plan.gate = gate;
  const LearnerOutcome& outcome = run(plan);
  CHECK(outcome.failure.empty());
  CHECK(outcome.updates >= 1);
  CHECK((outcome.updates - 1) % 3 ==
        0);  // probed at the last planned update and every 3 from there
}

TEST_CASE_FIXTURE(LearnerFixture,
                  "a gate that is not passed within its limit fails the stage with the remedy") {
  SupervisedPlan plan = counting_up(1);
  GatePlan gate;
  gate.kinds = {{ProbeDocument{{0, 3, 0}, 1}}};  // the documents teach the opposite
  gate.share = 1.0;
  gate.every = 10;
  gate.limit = 40;
  gate.engine = [] { return std::make_unique<support::BigramEngine>(kVocab, 1, 8); };
  plan.gate = gate;
  const LearnerOutcome& outcome = run(plan);
  CHECK(outcome.failure.find("gate was not passed within 40 updates") != std::string::npos);
  CHECK(outcome.updates == 40);
}

TEST_CASE_FIXTURE(LearnerFixture, "non-finite updates are refused and counted and end the stage") {
  SupervisedPlan plan = counting_up(50);
  plan.schedule = {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::infinity(),
                   0, 50};
  const LearnerOutcome& outcome = run(plan);
  CHECK(outcome.failure.find("not finite") != std::string::npos);
  CHECK(outcome.refused_updates == 3);
}

TEST_CASE_FIXTURE(LearnerFixture,
                  "tokens beyond the bound are counted before they end the learner") {
  run(counting_up(1));
  run(counting_up(1));  // version 2
  Batch stale;
  stale.version = 2;
  BatchGroup group{0, {}};
  for (const std::uint32_t index : {0u, 1u})
    group.rollouts.push_back(support::graded(
        {.index = index, .prompt = {1}, .completion = {2, 3, 3}, .versions = {{0, 2}, {2, 1}}},
        static_cast<float>(index)));
  stale.groups.push_back(group);
  const auto broadcaster = keep(system.spawn([](caf::event_based_actor*) -> caf::behavior {
    return {[](publish_atom, const Weights&) {}};
  }));
  const auto buffer = keep(system.spawn([stale](caf::event_based_actor*) -> caf::behavior {
    return {[stale](take_atom, const TrainedReport&) -> BatchPtr {
      return std::make_shared<const Batch>(stale);
    }};
  }));
  LearnerPlan plan;
  plan.rollout.emplace();
  plan.rollout->buffer = caf::actor_cast<ReplayBuffer>(buffer);
  plan.rollout->broadcaster = caf::actor_cast<Broadcaster>(broadcaster);
  plan.rollout->updates = 5;
  plan.rollout->schedule = {0.1f, 0.1f, 0, 5};
  plan.rollout->staleness_bound = 1;
  plan.rollout->refused_updates_limit = 3;
  caf::anon_send(actor, begin_atom::value, std::make_shared<const LearnerPlan>(std::move(plan)));
  settle();
  CHECK(outcomes.size() == 2);  // the third stage did not end: the learner did
  const std::string metrics = telemetry()->metrics().expose();
  CHECK(metrics.find("troupe_run_events_total{kind=\"actor_failed\"} 1") != std::string::npos);
  CHECK(metrics.find("troupe_learner_stale_trained_total 4\n") != std::string::npos);
}

TEST_CASE("a batch becomes training groups with all fields in place") {
  Batch batch;
  batch.groups.push_back(
      {7,
       {support::graded(
           {.ticket = 7, .index = 1, .completion = {5, 6, 2}, .versions = {{3, 2}, {4, 1}}},
           0.5f)}});
  const auto groups = training_groups(batch);
  REQUIRE(groups.size() == 1);
  const gpu::TrainingRollout& rollout = groups[0][0];
  CHECK(rollout.id == rollout_id(42, 7, 1));
  CHECK(rollout.tokens == std::vector<std::int32_t>{1, 7, 5, 6, 2});
  CHECK(rollout.prompt_length == 2);
  CHECK(rollout.log_probs == std::vector<float>{-0.5f, -0.5f, -0.5f});
  CHECK(rollout.versions == std::vector<gpu::VersionRun>{{3, 2}, {4, 1}});
  CHECK(rollout.reward == 0.5f);
}

}  // namespace troupe
