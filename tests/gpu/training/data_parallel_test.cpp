#include "gpu/training/policy_update.hpp"
#include "gpu/training/rank_team.hpp"
#include "gpu/transport/thread_communicator.hpp"
#include "tests/support/elsewhere_engine.hpp"
#include "tests/support/ranks.hpp"
#include "tests/support/tiny_models.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

TEST_SUITE_BEGIN("gpu/training");

namespace troupe::gpu {
namespace {

constexpr int kUpdates = 3;

struct Shape {
  int ranks = 1;
  OptimizerState optimizer = OptimizerState::whole;
};

RankTeamSetup setup_of(const Shape& shape) {
  RankTeamSetup setup;
  setup.ranks = shape.ranks;
  setup.optimizer = shape.optimizer;
  setup.deadline = std::chrono::milliseconds(30000);
  setup.prepare_thread = [] {};
  setup.engine = [] {
    auto engine = make_torch_training_engine(tiny_qwen3(), {}, 16, "cpu");
    engine->load(random_weights(tiny_qwen3(), 5).data());
    return engine;
  };
  return setup;
}

/// Groups of rollouts with completions of 1 to 7 tokens and rewards that differ.
std::vector<TrainingGroup> groups() {
  std::vector<TrainingGroup> result;
  std::uint64_t id = 0;
  for (int g = 0; g < 3; ++g) {
    TrainingGroup group;
    for (int r = 0; r < 4; ++r, ++id) {
      TrainingRollout rollout;
      rollout.id = id;
      rollout.prompt_length = 2 + g;
      const std::size_t completion = 1 + (id * 5) % 7;
      for (std::size_t t = 0; t < static_cast<std::size_t>(rollout.prompt_length) + completion; ++t)
        rollout.tokens.push_back(static_cast<std::int32_t>(3 + (id * 7 + t * t) % 20));
      for (std::size_t t = 0; t < completion; ++t)
        rollout.log_probs.push_back(-2.5f - 0.1f * static_cast<float>((id + t) % 5));
      rollout.versions = {{7, static_cast<std::uint32_t>(completion)}};
      rollout.reward = static_cast<float>(id % 3);
      group.push_back(rollout);
    }
    result.push_back(group);
  }
  return result;
}

UpdateConfig config_of(Correction correction, std::int32_t minibatches) {
  UpdateConfig config;
  config.objective.correction = correction;
  config.objective.minibatches = minibatches;
  config.objective.kl_weight = 0.05f;
  config.objective.entropy_weight = 0.01f;
  config.adamw.weight_decay = 0.1f;
  config.adamw.epsilon = 1e-4f;  // of the gradient's size: no element's sign alone decides its step
  config.max_gradient_norm = 0.5f;
  return config;
}

struct Outcome {
  std::vector<float> weights;
  UpdateStats stats;
};

Outcome policy_updates(const Shape& shape, const UpdateConfig& config) {
  RankTeam team(setup_of(shape));
  const auto stats = std::make_shared<UpdateStats>();
  const FlatWeights reference = flat_weights(random_weights(tiny_qwen3(), 6));
  for (int i = 0; i < kUpdates; ++i)
    REQUIRE(team.run([=](int rank, TrainingEngine& engine) {
      const UpdateStats own = policy_update(engine, groups(), config, 1e-2f, 7, 2, reference);
      if (rank == 0) *stats = own;
    }) == "");
  Outcome outcome{std::vector<float>(team.own().elements()), *stats};
  team.own().copy_weights(outcome.weights.data());
  return outcome;
}

/// |a - b| / |b|.
double distance(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
    size += double{b[i]} * b[i];
  }
  return std::sqrt(difference / size);
}

void check_close(const UpdateStats& stats, const UpdateStats& one) {
  const auto near = [](double value) { return doctest::Approx(value).epsilon(1e-5); };
  CHECK(stats.steps == one.steps);
  CHECK(stats.trained_tokens == one.trained_tokens);
  CHECK(stats.positions == one.positions);
  CHECK(stats.objective == near(one.objective));
  CHECK(stats.entropy == near(one.entropy));
  CHECK(stats.kl_behaviour == near(one.kl_behaviour));
  CHECK(stats.kl_reference == near(one.kl_reference));
  CHECK(stats.clip_fraction_low == near(one.clip_fraction_low));
  CHECK(stats.clip_fraction_high == near(one.clip_fraction_high));
  CHECK(stats.ratio_mean == near(one.ratio_mean));
  CHECK(stats.ratio_max == near(one.ratio_max));
  CHECK(stats.ratio_min == near(one.ratio_min));
  CHECK(stats.effective_sample_size == near(one.effective_sample_size));
  CHECK(stats.gradient_norm == near(one.gradient_norm));
  CHECK(stats.gradient_scale == near(one.gradient_scale));
  CHECK(stats.ratios.size() == one.ratios.size());
}

}  // namespace

TEST_CASE("several ranks give the updates and the measurements of one") {
  for (const std::int32_t minibatches : {1, 2}) {
    const UpdateConfig config =
        config_of(minibatches == 1 ? Correction::ppo : Correction::decoupled, minibatches);
    const Outcome one = policy_updates({1}, config);
    REQUIRE(one.stats.gradient_scale < 1);  // clipped: by the norm of the whole gradient
    REQUIRE(distance(one.weights, random_weights(tiny_qwen3(), 5)) > 1e-3);
    for (const int ranks : {2, 3}) {
      const Outcome several = policy_updates({ranks}, config);
      CHECK(distance(several.weights, one.weights) < 1e-6);
      check_close(several.stats, one.stats);
    }
  }
}

TEST_CASE("as many ranks give the same bits twice") {
  const UpdateConfig config = config_of(Correction::ppo, 2);
  CHECK(policy_updates({3}, config).weights == policy_updates({3}, config).weights);
}

TEST_CASE("an optimizer in shards gives the bits of a whole one") {
  const UpdateConfig config = config_of(Correction::ppo, 2);
  for (const int ranks : {2, 3})
    CHECK(policy_updates({ranks, OptimizerState::sharded}, config).weights ==
          policy_updates({ranks, OptimizerState::whole}, config).weights);
}

TEST_CASE("a value that is not finite on one rank refuses the update on all") {
  RankTeam team(setup_of({2}));
  const std::vector<float> before = random_weights(tiny_qwen3(), 5);
  for (const std::size_t bad : {0, 2}) {
    std::vector<TrainingGroup> broken = groups();
    // finite, but its ratio is not
    broken[bad][1].log_probs[0] = -std::numeric_limits<float>::max();
    const auto stats = std::make_shared<std::vector<UpdateStats>>(2);
    REQUIRE(team.run([=](int rank, TrainingEngine& engine) {
      (*stats)[static_cast<std::size_t>(rank)] = policy_update(
          engine, broken, config_of(Correction::ppo, 1), 1e-2f, 7, 2, flat_weights(before));
    }) == "");
    for (const UpdateStats& of_rank : *stats) {
      CHECK(of_rank.refused);
      CHECK(of_rank.refused_reason.find("token 0 of rollout " + std::to_string(broken[bad][1].id) +
                                        " is not finite") != std::string::npos);
    }
    std::vector<float> after(before.size());
    team.own().copy_weights(after.data());
    CHECK(after == before);
  }
}

TEST_CASE("supervised updates of several ranks are those of one") {
  std::vector<Document> documents;
  for (int d = 0; d < 5; ++d) documents.push_back({{1, 3 + d, 9, 4 + d, 12, 6}, 1 + d % 2});
  std::vector<std::vector<float>> weights;
  std::vector<double> losses;
  for (const Shape& shape : {Shape{1}, Shape{2}, Shape{3, OptimizerState::sharded}}) {
    RankTeam team(setup_of(shape));
    const auto stats = std::make_shared<SupervisedStats>();
    for (int i = 0; i < kUpdates; ++i)
      REQUIRE(team.run([=](int rank, TrainingEngine& engine) {
        const SupervisedStats own =
            supervised_update(engine, documents, {.epsilon = 1e-4f}, 0.5f, 1e-2f);
        if (rank == 0) *stats = own;
      }) == "");
    losses.push_back(stats->loss);
    weights.emplace_back(team.own().elements());
    team.own().copy_weights(weights.back().data());
  }
  for (std::size_t i = 1; i < weights.size(); ++i) {
    CHECK(losses[i] == doctest::Approx(losses[0]).epsilon(1e-6));
    CHECK(distance(weights[i], weights[0]) < 1e-6);
  }
}

TEST_CASE("ranks measure the log-prob gap of one") {
  std::vector<LogProbGap> gaps;
  for (const int ranks : {1, 3}) {
    RankTeam team(setup_of({ranks}));
    const auto gap = std::make_shared<LogProbGap>();
    const FlatWeights weights = flat_weights(random_weights(tiny_qwen3(), 8));
    REQUIRE(team.run([=](int rank, TrainingEngine& engine) {
      const std::vector<TrainingGroup> all = groups();
      std::vector<const TrainingRollout*> rollouts;
      for (const TrainingRollout& rollout : all[1]) rollouts.push_back(&rollout);
      const LogProbGap own = log_prob_gap(engine, rollouts, weights);
      if (rank == 0) *gap = own;
    }) == "");
    gaps.push_back(*gap);
  }
  CHECK(gaps[1].tokens == gaps[0].tokens);
  CHECK(gaps[1].sum == doctest::Approx(gaps[0].sum).epsilon(1e-6));
  CHECK(gaps[1].max == doctest::Approx(gaps[0].max).epsilon(1e-6));
}

namespace {

constexpr std::int32_t kTable = 6;
constexpr std::uint64_t kTableElements = 45;  // more than the table, so that shards are uneven

/// The weights of every rank after two updates of two ranks, one after the other.
template <class Engine>
std::vector<float> weights_of_two(OptimizerState state) {
  std::vector<float> all;
  const auto ends = make_thread_communicators(2, std::chrono::milliseconds(30000));
  const std::vector<Document> documents{{{1, 2, 3, 1, 2}, 1}, {{2, 5, 4, 0}, 1}, {{3, 3, 1}, 1}};
  std::vector<std::vector<float>> weights(2, std::vector<float>(kTableElements));
  const auto problems = support::on_all_ranks(ends, [&](Communicator& end) {
    const auto engine =
        make_data_parallel_engine(std::make_unique<Engine>(kTable, kTableElements, SamplingView{}),
                                  std::shared_ptr<Communicator>(&end, [](Communicator*) {}), state);
    const std::vector<float> zeros(kTableElements);
    engine->load(zeros.data());
    for (int i = 0; i < 2; ++i) supervised_update(*engine, documents, {}, 0.5f, 1e-2f);
    engine->copy_weights(weights[static_cast<std::size_t>(end.rank())].data());
  });
  CHECK(problems == std::vector<std::string>(2));
  for (const auto& of_rank : weights) all.insert(all.end(), of_rank.begin(), of_rank.end());
  return all;
}

}  // namespace

TEST_CASE("engines whose buffers are elsewhere train the bits of those in host memory") {
  for (const OptimizerState state : {OptimizerState::whole, OptimizerState::sharded}) {
    const std::vector<float> here = weights_of_two<support::BigramTrainingEngine>(state);
    CHECK(weights_of_two<support::ElsewhereEngine>(state) == here);
    CHECK(*std::max_element(here.begin(), here.end()) > 0);
  }
}

TEST_CASE("threads do not share an engine's device") {
  RankTeamSetup setup = setup_of({2});
  setup.engine = [] {
    return std::make_unique<support::ElsewhereEngine>(kTable, kTableElements, SamplingView{});
  };
  CHECK_THROWS_WITH_AS(RankTeam{setup},
                       doctest::Contains("ranks that are threads would share one GPU"), Error);
}

TEST_CASE("a LibTorch engine copies between its buffers and the host") {
  const auto engine = make_torch_training_engine(tiny_qwen3(), {}, 16, "cpu");
  const std::vector<float> weights = random_weights(tiny_qwen3(), 5);
  engine->load(weights.data());
  const std::span<float> own = engine->weight_buffer(), gradient = engine->gradient_buffer();
  engine->copy(gradient.data() + 3, own.data() + 10, 20);
  CHECK(std::equal(gradient.begin() + 3, gradient.begin() + 23, weights.begin() + 10));
  std::vector<float> out(7, 2.0f);
  engine->copy(out.data(), gradient.data() + 3, out.size());
  CHECK(std::equal(out.begin(), out.end(), weights.begin() + 10));
  out.assign(out.size(), 2.0f);
  engine->copy(own.data() + own.size() - 7, out.data(), out.size());
  CHECK(own.back() == 2.0f);
  CHECK(engine->gradient_squares({3, 2}) ==
        doctest::Approx(weights[10] * weights[10] + weights[11] * weights[11]));
}

}  // namespace troupe::gpu
