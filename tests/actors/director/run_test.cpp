// Whole runs of the director on real threads, with the bigram model as backend.
#include "actors/director/director.hpp"
#include "gpu/model/model_directory.hpp"
#include "tests/support/actor_fixture.hpp"
#include "tests/support/bigram.hpp"
#include "tests/support/small_run.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <caf/actor_system.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>
#include <fstream>
#include <functional>
#include <future>
#include <memory>
#include <nlohmann/json.hpp>
#include <prometheus/counter.h>
#include <set>
#include <span>
#include <sstream>
#include <thread>

TEST_SUITE_BEGIN("actors/director");

namespace troupe {

using support::bigram_backends;
using support::small_config;

namespace {

struct Run {
  explicit Run(Config chosen) : config(std::move(chosen)), materials(gather(config)) {
    plan.config = &config;
    plan.materials = &materials;
    plan.backends = bigram_backends();
    plan.telemetry = files.telemetry.get();
    plan.run_directory = files.directory;
    plan.outcome = &outcome;
  }
  void finish() {
    caf::actor_system_config system_config;
    system_config.set("scheduler.max-threads", 2u);
    caf::actor_system system(system_config);
    const caf::actor chief = system.spawn<caf::detached>(director, std::cref(plan));
    std::thread stopper;
    if (interrupt)
      stopper = std::thread([&, chief] {
        auto& tokens = plan.telemetry->metrics().counter("troupe_generator_generated_tokens_total");
        while (tokens.Value() < 3000) std::this_thread::yield();
        caf::anon_send(chief, stop_atom::value);
      });
    caf::scoped_actor self(system);
    self->wait_for(chief);
    on_end();
    if (stopper.joinable()) stopper.join();
    plan.telemetry->write_files(outcome.failure.empty() ? "done" : outcome.failure);
  }
  nlohmann::json summary() const {
    return nlohmann::json::parse(std::ifstream(files.directory / "summary.json"));
  }
  support::TemporaryRun files;
  Config config;
  Materials materials;
  RunPlan plan;
  RunOutcome outcome;
  bool interrupt = false;
  std::function<void()> on_end = [] {};
};

/// The metrics of a page that have a figure other than 0.
std::set<std::string> moved_metrics(const std::string& page) {
  std::set<std::string> moved;
  std::istringstream lines(page);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("#") || std::stod(line.substr(line.rfind(' '))) == 0) continue;
    std::string name = line.substr(0, line.find_first_of("{ "));
    for (const std::string part : {"_bucket", "_count", "_sum"})
      if (name.ends_with(part)) name.resize(name.size() - part.size());
    moved.insert(name);
  }
  return moved;
}

}  // namespace

TEST_CASE("a run goes through its stages and leaves models and a summary") {
  Run run(small_config());
  run.finish();
  CHECK(run.outcome.failure.empty());
  const nlohmann::json summary = run.summary();
  REQUIRE(summary["stages"].size() == 2);
  CHECK(summary["stages"][0]["updates"] == 30);
  const nlohmann::json& rl = summary["stages"][1];
  CHECK(rl["updates"] == 5);
  CHECK(rl["ledger_imbalance"] == 0);
  CHECK(rl["tokens_beyond_bound"] == 0);
  CHECK(rl["max_lag"] <= 1);
  CHECK(rl["generated_tokens"] > 0);
  CHECK(rl["before"]["pass_rate_sampled"].is_number());
  CHECK(rl["after"]["format_rate"].is_number());
  CHECK(rl["log_prob_gap"]["max"] < 1e-5);
  CHECK(summary["stages"][0]["loss"] > 0.0);
  const std::string metrics = run.plan.telemetry->metrics().expose();
  for (const char* none :
       {"troupe_generator_time_to_first_token_seconds_count 0",
        "troupe_learner_checkpoint_seconds_count 0", "troupe_generator_generated_tokens_total 0"})
    CHECK(metrics.find(none) == std::string::npos);
  CHECK(metrics.find("troupe_broadcaster_subscriber_lag_versions{actor=\"generator-0\"}") !=
        std::string::npos);
  for (const char* actor : {"verifier-0", "learner"})  // others look once a second
    CHECK(metrics.find("troupe_actor_mailbox_depth{actor=\"" + std::string(actor) + "\"}") !=
          std::string::npos);
  for (const char* name : {"base", "model"}) {
    const gpu::LoadedModel model = gpu::load_model(run.files.directory / name);
    CHECK(model.config == run.materials.decoder);
  }
}

TEST_CASE("every declared metric that a healthy run moves has moved in what is scraped") {
  // What stays 0 where nothing goes wrong and nobody waits; each has a test of its own.
  const std::set<std::string> still = {
      "troupe_link_tls",  // no other process here; so are the next seven
      "troupe_link_certificate_expiry_timestamp_seconds",
      "troupe_link_peer_connected",
      "troupe_link_reconnects_total",
      "troupe_link_closed_total",
      "troupe_link_refused_total",
      "troupe_link_fenced_total",
      "troupe_broadcaster_fetched_total",
      "troupe_run_paused",  // nobody asks for it here
      "troupe_run_rollouts_not_shown_total",
      "troupe_generator_inflight",
      "troupe_generator_partial_resumes_total",
      "troupe_generator_mixed_version_rollouts_total",  // a matter of luck here, as is the next
      "troupe_generator_kv_blocks_used_ratio",
      "troupe_verifier_queue_depth",
      "troupe_verifier_oldest_pending_seconds",
      "troupe_replay_leased",
      "troupe_replay_duplicate_appends_total",
      "troupe_replay_expired_total",
      "troupe_ledger_tickets_reissued_total",
      "troupe_ledger_handed_over_rollouts_total",
      "troupe_ledger_handed_over_tokens_total",
      "troupe_ledger_duplicate_rollouts_total",
      "troupe_ledger_imbalance",
      "troupe_ledger_staleness_bound_versions",  // 0 here
      "troupe_ledger_max_lag_versions",          // a matter of luck, as is the next
      "troupe_broadcaster_subscriber_lag_versions",
      "troupe_ledger_tokens_beyond_bound_total",
      "troupe_learner_stale_trained_total",
      "troupe_learner_nan_updates_total",
      "troupe_broadcaster_checksum_mismatch_total",
      "troupe_actor_mailbox_depth",
      "troupe_actor_credits_available",  // looked at every second
      "troupe_actor_restarts_total",
      "troupe_learner_clip_fraction_ratio",  // a bigram passes nothing, and moves little
      "troupe_run_pass_rate",
      "troupe_evaluation_pass_rate",
      "troupe_evaluation_format_rate",
      "troupe_trust_holdout_reward_mean",
  };
  Config config = small_config();
  config.generator.count = 1;  // with a bound of 0 that makes the run a function of its seed
  config.replay_buffer.staleness_bound = 0;
  config.run.seed = 1;  // of those whose last batch has a signal
  Run run(config);
  run.finish();
  REQUIRE(run.outcome.failure.empty());
  const auto moved = moved_metrics(run.plan.telemetry->scrape());
  for (const MetricDefinition& metric : metric_list()) {
    CAPTURE(metric.name);
    CHECK((moved.contains(metric.name) || still.contains(metric.name)));
  }
}

TEST_CASE("an evaluator that hangs ends the run with its name and a saved model") {
  struct Hanging : support::BigramEngine {
    using BigramEngine::BigramEngine;
    void forward(std::span<const gpu::Row> rows, std::span<const std::int32_t> wanted,
                 float* logits) override {
      released.wait();
      BigramEngine::forward(rows, wanted, logits);
    }
    std::shared_future<void> released;
  };
  Config config = small_config();
  config.director.request_deadline_seconds = 0.5;
  config.director.stall_deadline_seconds = 20;
  Run run(config);
  std::promise<void> release;
  run.plan.backends.engine = [released = release.get_future().share(),
                              engines = bigram_backends().engine](
                                 const gpu::DecoderConfig& decoder, std::int32_t slots,
                                 std::int32_t capacity) -> std::unique_ptr<gpu::Engine> {
    constexpr std::int32_t kOfEvaluator = 8;  // as many slots as prompts
    if (slots != kOfEvaluator) return engines(decoder, slots, capacity);
    auto engine = std::make_unique<Hanging>(decoder.vocab_size, slots, capacity);
    engine->released = released;
    return engine;
  };
  run.on_end = [&] { release.set_value(); };
  run.finish();
  CHECK(run.outcome.failure.find("the evaluation has made no decode step") != std::string::npos);
  CHECK(run.outcome.failure.find("evaluator: evaluate") != std::string::npos);
  CHECK_NOTHROW(gpu::load_model(run.files.directory / "model"));
}

TEST_CASE("generators and verifiers that die are replaced and the run ends as planned") {
  Config config = small_config();
  config.generator.count = 2;
  config.verifier.count = 2;
  config.stages[1].updates = 20;
  Run run(config);
  run.plan.on_cast = [](const std::vector<Generator>& generators,
                        const std::vector<Verifier>& verifiers) {
    caf::anon_send_exit(generators[0], caf::exit_reason::kill);
    caf::anon_send_exit(verifiers[1], caf::exit_reason::kill);
  };
  run.finish();
  CHECK(run.outcome.failure.empty());
  const nlohmann::json rl = run.summary()["stages"][1];
  CHECK(rl["updates"] == 20);
  CHECK(rl["ledger_imbalance"] == 0);
  const std::string metrics = run.plan.telemetry->metrics().expose();
  CHECK(metrics.find("troupe_actor_restarts_total{actor=\"generator-0\"} 1") != std::string::npos);
  CHECK(metrics.find("troupe_actor_restarts_total{actor=\"verifier-1\"} 1") != std::string::npos);
}

TEST_CASE("a generator that cannot live ends the run with its name and a saved model") {
  Config config = small_config();
  config.director.restart_limit = 2;
  Run run(config);
  run.plan.backends.engine = [made = std::make_shared<int>(0), engines = bigram_backends().engine](
                                 const gpu::DecoderConfig& decoder, std::int32_t slots,
                                 std::int32_t capacity) -> std::unique_ptr<gpu::Engine> {
    if (capacity == 19 && slots == 16) throw gpu::Error("no engine today");
    return engines(decoder, slots, capacity);
  };
  run.finish();
  CHECK(run.outcome.failure.find("generator-0 died more than 2 times") != std::string::npos);
  CHECK_NOTHROW(gpu::load_model(run.files.directory / "model"));
}

TEST_CASE("the death of the learner ends the run with its last words and saves the newest model") {
  struct Mortal : support::BigramTrainingEngine {
    using BigramTrainingEngine::BigramTrainingEngine;
    void forward_backward(std::span<const gpu::Sequence> sequences,
                          const gpu::Weigh& weigh) override {
      constexpr int kLifetime = 33;  // the 30 updates of sft and some of rl
      if (++updates > kLifetime) throw gpu::Error("out of memory");
      BigramTrainingEngine::forward_backward(sequences, weigh);
    }
    int updates = 0;
  };
  Config config = small_config();
  config.stages[1].updates = 50;
  Run run(config);
  run.plan.backends.training_engine = [](const gpu::DecoderConfig& decoder,
                                         const gpu::SamplingView& view, std::int64_t) {
    return std::make_unique<Mortal>(decoder.vocab_size, gpu::manifest_of(decoder).elements, view);
  };
  run.finish();
  CHECK(run.outcome.failure.find("the learner died") != std::string::npos);
  CHECK(run.outcome.failure.find("out of memory") != std::string::npos);
  CHECK(run.summary()["stages"][1]["ledger_imbalance"] == 0);
  const auto base = gpu::load_model(run.files.directory / "base").weights;
  CHECK(gpu::load_model(run.files.directory / "model").weights != base);
}

TEST_CASE("a run of several learner ranks trains and balances as one of one") {
  Config config = small_config();
  config.learner.ranks = 3;
  config.learner.shard_optimizer = true;
  Run run(config);
  run.finish();
  CHECK(run.outcome.failure == "");
  const nlohmann::json stages = run.summary()["stages"];
  CHECK(stages[0]["updates"] == 30);
  CHECK(stages[1]["updates"] == 5);
  CHECK(stages[1]["ledger_imbalance"] == 0);
  CHECK(stages[1]["trained_tokens"] > 0);
}

TEST_CASE("a run whose learner loses a rank saves the weights before and says why") {
  struct Mortal : support::BigramTrainingEngine {
    using BigramTrainingEngine::BigramTrainingEngine;
    void forward_backward(std::span<const gpu::Sequence> sequences,
                          const gpu::Weigh& weigh) override {
      constexpr int kLifetime = 33;  // the 30 updates of sft and some of rl
      if (++updates > kLifetime) throw gpu::Error("out of memory");
      BigramTrainingEngine::forward_backward(sequences, weigh);
    }
    int updates = 0;
  };
  Config config = small_config();
  config.learner.ranks = 2;
  config.stages[1].updates = 50;
  Run run(config);
  run.plan.backends.training_engine =
      [made = std::make_shared<std::atomic<int>>(0), whole = run.plan.backends.training_engine](
          const gpu::DecoderConfig& decoder, const gpu::SamplingView& view,
          std::int64_t tokens) -> std::unique_ptr<gpu::TrainingEngine> {
    if ((*made)++ == 0) return whole(decoder, view, tokens);  // rank 0
    return std::make_unique<Mortal>(decoder.vocab_size, gpu::manifest_of(decoder).elements, view);
  };
  run.finish();
  CHECK(run.outcome.failure.find("learner rank 1 failed: out of memory") != std::string::npos);
  CHECK(run.outcome.failure.find("learner died") == std::string::npos);
  const nlohmann::json rl = run.summary()["stages"][1];
  CHECK(rl["updates"] >= 3);
  CHECK(rl["updates"] < 50);
  CHECK(rl["ledger_imbalance"] == 0);
  CHECK(rl["dropped_tokens"]["refused_update"] > 0);
  const auto base = gpu::load_model(run.files.directory / "base").weights;
  CHECK(gpu::load_model(run.files.directory / "model").weights != base);
}

TEST_CASE("a stop in the middle of rollouts saves the model and accounts for every token") {
  Config config = small_config();
  config.stages[1].updates = 100'000;
  config.replay_buffer.staleness_bound = 2;
  config.generator.count = 2;
  Run run(config);
  run.interrupt = true;
  run.finish();
  CHECK(run.outcome.interrupted);
  CHECK(run.outcome.failure
            .empty());  // the conductor compares what generators sampled with the ledger
  const nlohmann::json rl = run.summary()["stages"][1];
  CHECK(rl["ended"] == "interrupted");
  CHECK(rl["ledger_imbalance"] == 0);
  CHECK(rl["generated_tokens"] >= 3000);
  CHECK_NOTHROW(gpu::load_model(run.files.directory / "model"));
}

TEST_CASE("two runs with a bound of 0 and the same seed give the same weights") {
  Config config = small_config();
  config.replay_buffer.staleness_bound = 0;
  config.generator.count = 2;
  std::vector<std::vector<float>> weights;
  for (int i = 0; i < 2; ++i) {
    Run run(config);
    run.finish();
    REQUIRE(run.outcome.failure.empty());
    weights.push_back(gpu::load_model(run.files.directory / "model").weights);
  }
  CHECK(weights[0] == weights[1]);
}

TEST_CASE("training from a JSONL file equals training from the built-in task") {
  Config config = small_config();
  config.replay_buffer.staleness_bound = 0;
  std::vector<std::vector<float>> weights;
  for (const bool from_file : {false, true}) {
    const support::TemporaryRun folder;
    if (from_file) {
      config.task.kind = "jsonl";
      config.task.prompts = folder.directory / "prompts.jsonl";
      write_addition_jsonl(config.task.prompts, {1}, 100, config.run.seed, false);
    }
    Run run(config);
    run.finish();
    REQUIRE(run.outcome.failure.empty());
    weights.push_back(gpu::load_model(run.files.directory / "model").weights);
  }
  CHECK(weights[0] == weights[1]);
}

}  // namespace troupe
