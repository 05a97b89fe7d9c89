// The whole cast of an rl stage, message by message, on the deterministic scheduler.
#include "actors/evaluator/evaluate.hpp"
#include "tests/support/small_stage.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <random>

TEST_SUITE_BEGIN("actors");

namespace troupe {
namespace {

using support::SmallStage;
using support::SmallStageOptions;
using support::SmallStageParts;

/// What a generator's stand-in is to the replay buffer: asks in its own name, and ends normally when told.
caf::behavior holder_of_tickets(caf::event_based_actor* self, const ReplayBuffer& buffer) {
  return {[=](grant_atom, const std::string& name, std::uint32_t count) -> caf::result<Tickets> {
            auto promise = self->make_response_promise<Tickets>();
            self->request(buffer, caf::infinite, grant_atom::value, name, count)
                .then([promise](const Tickets& tickets) mutable { promise.deliver(tickets); },
                      [promise](const caf::error& error) mutable { promise.deliver(error); });
            return promise;
          },
          [=](notice_atom, const RolloutNotices& notices) {
            self->send(buffer, notice_atom::value, notices);
          },
          [=](stop_atom) { self->quit(caf::exit_reason::normal); }};
}

/// A way to the weights that lets `passing` of them pass, and then is cut: nobody answers.
Broadcaster::behavior_type cut_way(Broadcaster::pointer self, const Broadcaster& weights,
                                   const std::shared_ptr<int>& passing) {
  return {[](publish_atom, const Weights&) {},
          [=](take_atom, const std::string& name, std::uint64_t at_least) -> caf::result<Weights> {
            auto promise = self->make_response_promise<Weights>();
            if ((*passing)-- > 0)
              self->request(weights, caf::infinite, take_atom::value, name, at_least)
                  .then([promise](const Weights& taken) mutable { promise.deliver(taken); },
                        [promise](const caf::error& error) mutable { promise.deliver(error); });
            return promise;
          },
          [](check_atom) {}};
}

/// The same job without actors: sample a batch, grade it, update, and again.
std::vector<float> plain_synchronous_loop(const SmallStageParts& parts) {
  const auto engine = parts.engine();
  const auto trainer = parts.training_engine();
  const std::vector<float> initial = parts.initial_weights();
  trainer->load(initial.data());
  gpu::ContinuousBatch sampler(*engine, parts.sampling, parts.options.seed);
  Ledger ledger(parts.ledger);
  Assignments assignments("loop");
  const auto next_prompt = parts.prompts();
  for (std::uint64_t version = 0; version < parts.options.updates; ++version) {
    const auto weights = std::shared_ptr<float[]>(new float[parts.elements()]);
    trainer->copy_weights(weights.get());
    sampler.swap(weights, version);
    ledger.take(version);
    while (const auto ticket = ledger.grant("loop", 0, next_prompt))
      for (gpu::GenerationRequest& request : assignments.accept(*ticket))
        sampler.submit(std::move(request));
    while (sampler.can_step()) {
      sampler.step();
      for (const gpu::Completion& completion : sampler.take_finished()) {
        const Rollout rollout = *assignments.complete(completion);
        ledger.append({rollout, judge(parts.rules, rollout, "loop")});
      }
    }
    const auto batch = ledger.take(version);
    REQUIRE(batch);
    const auto groups = training_groups(*batch);
    gpu::UpdateConfig config = parts.update;
    config.adamw.weight_decay = 0;
    if (!groups.empty())
      gpu::policy_update(*trainer, groups, config,
                         parts.schedule.at(static_cast<std::int32_t>(version) + 1), version,
                         parts.options.bound);
    ledger.trained(batch->id);
  }
  std::vector<float> weights(parts.elements());
  trainer->copy_weights(weights.data());
  return weights;
}

bool same_bits(const std::vector<float>& a, const float* b) {
  return std::memcmp(a.data(), b, a.size() * sizeof(float)) == 0;
}

void check_accounts(SmallStage& stage) {
  const LedgerRecord record = stage.close();
  CHECK(record.imbalance_rollouts == 0);
  CHECK(record.imbalance_tokens == 0);
  CHECK(record.tokens_beyond_bound == 0);
  CHECK(record.max_lag <= stage.parts.options.bound);
  CHECK(record.open_rollouts + record.in_flight_rollouts + record.buffered_rollouts == 0);
}

}  // namespace

TEST_CASE("a bound of 0 gives bit-equal weights to a plain synchronous loop") {
  for (const std::uint64_t seed : {3u, 4u}) {
    SmallStageOptions options;
    options.seed = seed;
    SmallStage stage(options);
    stage.begin();
    stage.settle();
    REQUIRE(stage.outcome);
    CHECK(stage.outcome->failure.empty());
    CHECK(stage.outcome->updates == 6);
    const std::vector<float> expected = plain_synchronous_loop(SmallStageParts(options));
    CHECK_FALSE(same_bits(stage.parts.initial_weights(), stage.outcome->weights.values().get()));
    CHECK(same_bits(expected, stage.outcome->weights.values().get()));
    check_accounts(stage);
  }
}

TEST_CASE(
    "with a batch-invariant engine a bound of 0 gives the same weights for any number of "
    "generators and verifiers") {
  const std::vector<float> expected = plain_synchronous_loop(SmallStageParts({}));
  for (const int generators : {2, 3}) {
    SmallStageOptions options;
    options.generators = generators;
    options.verifiers = generators - 1;
    options.slots = 5;  // fewer than a batch
    SmallStage stage(options);
    stage.begin();
    stage.settle();
    REQUIRE(stage.outcome);
    CHECK(same_bits(expected, stage.outcome->weights.values().get()));
    check_accounts(stage);
  }
}

TEST_CASE("generators run ahead by the bound and never further") {
  for (const std::uint64_t bound : {1u, 2u, 4u}) {
    CAPTURE(bound);
    SmallStageOptions options;
    options.bound = bound;
    options.updates = 12;
    SmallStage stage(options);
    stage.begin();
    stage.settle();
    REQUIRE(stage.outcome);
    CHECK(stage.outcome->updates == 12);
    const LedgerRecord record = stage.ledger();
    CHECK(record.max_lag >= 1);
    CHECK(record.max_lag <= bound);
    CHECK(record.dropped_rollouts.count("stale") == 0);  // admission makes the check idle
    check_accounts(stage);
  }
}

TEST_CASE("the policy learns the format from rule rewards") {
  SmallStageOptions options;
  options.updates = 40;
  options.bound = 2;
  options.batch = 8;
  options.group_size = 8;
  options.slots = 64;
  options.learning_rate = 0.1f;
  SmallStage stage(options);
  const auto format_rate = [&](const gpu::FlatWeights& weights) {
    EvaluationPlan plan;
    plan.rules = stage.parts.rules;
    plan.sampling = stage.parts.sampling;
    for (int a = 0; a < 10; ++a)
      for (int b = 0; b < 10; ++b) {
        const std::string text = std::to_string(a) + "+" + std::to_string(b) + "=";
        plan.prompts.push_back({text, stage.parts.rules.tokenizer->encode("<bos>" + text)});
      }
    const auto engine = stage.parts.engine();
    return evaluate(*engine, weights, 0, plan).record.format_rate;
  };
  const std::vector<float> initial = stage.parts.initial_weights();
  const auto before = std::shared_ptr<float[]>(new float[initial.size()]);
  std::copy(initial.begin(), initial.end(), before.get());
  stage.begin();
  stage.settle();
  REQUIRE(stage.outcome);
  const double rate_before = format_rate(before),
               rate_after = format_rate(stage.outcome->weights.values());
  CHECK(rate_before < 0.6);
  CHECK(rate_after > 0.9);
  check_accounts(stage);
}

TEST_CASE("every published version is newer than the one before") {
  SmallStage stage;
  stage.begin();
  stage.settle();
  REQUIRE(stage.versions.size() == 7);
  for (std::size_t i = 0; i < stage.versions.size(); ++i) CHECK(stage.versions[i] == i);
}

TEST_CASE("the ledger knows of every token that generators sampled whenever they stop") {
  for (const int messages : {40, 60, 80, 120, 170, 250, 400}) {
    CAPTURE(messages);
    SmallStageOptions options;
    options.bound = 3;
    options.generators = 2;
    SmallStage stage(options);
    stage.begin();
    stage.run_some(messages);
    const LedgerRecord record = stage.close();
    CHECK(record.generated_tokens == stage.sampled_tokens);
    CHECK(record.imbalance_tokens == 0);
  }
}

TEST_CASE(
    "generators and verifiers that die at any moment are replaced and nothing is trained twice or "
    "lost") {
  for (std::uint64_t seed = 0; seed < 25; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    SmallStageOptions options;
    options.bound = seed % 3;
    options.generators = 2;
    options.verifiers = 2;
    options.updates = 8;
    SmallStage stage(options);
    stage.begin();
    for (int death = 0; death < 6; ++death) {
      stage.run_some(static_cast<int>(20 + random() % 300));
      const std::string index = std::to_string(random() % 2);
      if (random() % 2 == 0) {
        caf::anon_send_exit(stage.generators["generator-" + index], caf::exit_reason::kill);
        stage.add_generator("generator-" + index, static_cast<std::uint32_t>(death + 1));
      } else {
        caf::anon_send_exit(stage.verifiers["verifier-" + index], caf::exit_reason::kill);
        stage.add_verifier("verifier-" + index);
      }
    }
    for (int i = 0; i < 200 && !stage.outcome; ++i) {
      stage.settle();
      stage.advance(std::chrono::seconds(2));
    }
    REQUIRE(stage.outcome);
    CHECK(stage.outcome->failure.empty());
    CHECK(stage.outcome->updates == 8);
    const LedgerRecord record = stage.ledger();
    std::uint64_t not_trained = 0;
    for (const char* reason : {"zero_signal", "group_too_small"})
      if (record.dropped_rollouts.contains(reason))
        not_trained += record.dropped_rollouts.at(reason);
    CHECK(record.trained_rollouts + not_trained ==
          8 * 4 * 4);  // every rollout of every batch, once
    check_accounts(stage);
  }
}

TEST_CASE("generators that leave at any moment lose no token and change no weight") {
  SmallStageOptions options;
  options.generators = 0;
  options.updates = 8;
  const std::vector<float> expected = plain_synchronous_loop(SmallStageParts(options));
  std::uint64_t handed_over = 0;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    SmallStage stage(options);
    std::vector<caf::actor> holders;
    const auto add = [&] {
      holders.push_back(stage.keep(stage.system.spawn(holder_of_tickets, stage.buffer)));
      stage.add_generator("generator-" + std::to_string(holders.size()), 0,
                          caf::actor_cast<ReplayBuffer>(holders.back()), stage.weights);
    };
    add();
    add();
    stage.begin();
    for (const std::string name : {"generator-1", "generator-2"}) {
      stage.run_some(static_cast<int>(20 + random() % 200));
      caf::anon_send(stage.generators[name], hand_over_atom::value);  // the next thing it does
      add();
    }
    stage.settle();  // what had finished is graded
    for (int i = 0; i < 2; ++i)
      caf::anon_send(holders[static_cast<std::size_t>(i)], stop_atom::value);
    stage.settle();
    REQUIRE(stage.outcome);
    CHECK(std::memcmp(expected.data(), stage.outcome->weights.values().get(),
                      expected.size() * sizeof(float)) == 0);
    const LedgerRecord record = stage.close();
    CHECK(record.generated_tokens == stage.sampled_tokens);
    CHECK(record.dropped_rollouts.size() == record.dropped_rollouts.count("zero_signal"));
    handed_over += record.handed_over_tokens;
  }
  CHECK(handed_over > 100);
}

TEST_CASE("a generator that is cut off from the weights alone holds up nobody for long") {
  SmallStageOptions options;
  options.bound = 1;
  options.updates = 30;
  SmallStage stage(options);
  const auto passing = std::make_shared<int>(1);
  const Broadcaster way = stage.keep(stage.system.spawn(cut_way, stage.weights, passing));
  stage.add_generator("cut", 0, stage.buffer, way);
  stage.begin();
  stage.settle();
  const auto version = [&] {
    return stage.telemetry()->metrics().gauge("troupe_generator_weights_version", "cut").Value();
  };
  REQUIRE(version() == 0);
  REQUIRE_FALSE(stage.outcome);  // its groups are waited for, in the order of tickets
  const std::int32_t before = stage.updates_seen;
  for (int second = 0; second < 12; ++second) stage.advance(std::chrono::seconds(1));
  REQUIRE(stage.outcome);
  CHECK(stage.outcome->failure.empty());
  CHECK(stage.updates_seen == 30);
  CHECK(before < 5);
  const LedgerRecord ledger = stage.close();
  CHECK(ledger.imbalance_tokens == 0);
  CHECK_FALSE(ledger.dropped_rollouts.contains("stale"));
  CHECK(ledger.handed_over_rollouts > 0);
  CHECK(stage.sampled_tokens == ledger.generated_tokens);
}

TEST_CASE("a generator that gave tickets back takes new ones once it has newer weights") {
  SmallStageOptions options;
  options.bound = 1;
  options.updates = 200;
  options.generators = 0;
  SmallStage stage(options);
  const auto passing = std::make_shared<int>(1);
  const Broadcaster way = stage.keep(stage.system.spawn(cut_way, stage.weights, passing));
  stage.add_generator("cut", 0, stage.buffer, way);
  stage.begin();
  for (int second = 0; second < 12; ++second) stage.advance(std::chrono::seconds(1));
  REQUIRE_FALSE(stage.outcome);
  REQUIRE(stage.ledger().handed_over_rollouts > 0);
  *passing = 1 << 20;
  for (int second = 0; second < 40; ++second) stage.advance(std::chrono::seconds(1));
  REQUIRE(stage.outcome);
  CHECK(stage.updates_seen == 200);
  CHECK(stage.close().imbalance_tokens == 0);
}

TEST_CASE("a stop ends the stage after the update under way and keeps the accounts") {
  SmallStageOptions options;
  options.updates = 50;
  SmallStage stage(options);
  stage.begin();
  while (stage.updates_seen < 3) REQUIRE(stage.run_some(1));
  caf::anon_send(stage.trainer, stop_atom::value);
  stage.settle();
  REQUIRE(stage.outcome);
  CHECK(stage.outcome->stopped);
  CHECK(stage.outcome->failure.empty());
  CHECK(stage.outcome->updates >= 3);
  CHECK(stage.outcome->updates <= 4);
  check_accounts(stage);
}

TEST_CASE(
    "weights that do not hash to their digest are refused and the generator waits for good ones") {
  SmallStage stage;
  const auto values = std::shared_ptr<float[]>(new float[stage.parts.elements()]());
  caf::anon_send(stage.weights, publish_atom::value,
                 Weights(0, std::string(32, 'f'), values, stage.parts.elements()));
  stage.settle();
  CHECK(stage.telemetry()->metrics().expose().find(
            "troupe_broadcaster_checksum_mismatch_total 3") != std::string::npos);
  CHECK(stage.ledger().tickets_granted == 0);
}

TEST_CASE("the death of the buffer ends the learner's stage with a reason") {
  SmallStage stage;
  stage.begin();
  while (stage.updates_seen < 1) REQUIRE(stage.run_some(1));
  caf::anon_send_exit(stage.buffer, caf::exit_reason::kill);
  for (int i = 0; i < 35; ++i)
    stage.advance(std::chrono::seconds(1));  // past the request's deadline
  REQUIRE(stage.outcome);
  CHECK(stage.outcome->failure.find("replay buffer") != std::string::npos);
  CHECK(static_cast<bool>(stage.outcome->weights));
}

}  // namespace troupe
