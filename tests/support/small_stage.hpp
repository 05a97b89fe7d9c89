#pragma once
// One rl stage of the whole cast on CAF's deterministic scheduler, with the bigram model.
#include "actors/broadcaster/broadcaster.hpp"
#include "actors/generator/generator.hpp"
#include "actors/learner/learner.hpp"
#include "actors/replay_buffer/replay_buffer.hpp"
#include "actors/verifier/verifier.hpp"
#include "tests/support/actor_fixture.hpp"
#include "tests/support/bigram.hpp"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace troupe::support {

struct SmallStageOptions {
  std::uint32_t batch = 4, group_size = 4, updates = 6;
  std::uint64_t bound = 0;
  int generators = 1, verifiers = 1;
  std::int32_t slots = 16;
  std::uint64_t seed = 3;
  bool completion_order = false, refill = false;
  float learning_rate = 0.05f;
};

/// What both the actors and a plain loop are made from.
struct SmallStageParts {
  explicit SmallStageParts(SmallStageOptions chosen) : options(chosen) {
    rules.tokenizer = std::make_shared<const Tokenizer>(Tokenizer::arithmetic());
    rules.answers = addition_answers();
    sampling.max_new_tokens = 12;
    sampling.stop_tokens = {rules.tokenizer->eos()};
    sampling.banned = {rules.tokenizer->pad(), rules.tokenizer->bos()};
    update.objective.max_completion_tokens = sampling.max_new_tokens;
    ledger.batch = options.batch;
    ledger.group_size = options.group_size;
    ledger.staleness_bound = options.bound;
    ledger.updates = options.updates;
    ledger.completion_order = options.completion_order;
    ledger.refill_zero_signal = options.refill;
    schedule = {options.learning_rate, options.learning_rate, 0,
                static_cast<std::int32_t>(options.updates)};
  }
  std::uint64_t elements() const {
    return static_cast<std::uint64_t>(rules.tokenizer->size()) *
           static_cast<std::uint64_t>(rules.tokenizer->size());
  }
  /// A policy that finds the format now and then.
  std::vector<float> initial_weights() const {
    std::vector<float> weights(elements(), 0.0f);
    const auto likely = [&](const char* before, const char* after) {
      weights[static_cast<std::size_t>(rules.tokenizer->id(before) * rules.tokenizer->size() +
                                       rules.tokenizer->id(after))] = 3.5f;
    };
    likely("=", "<think>");
    likely("<think>", "</think>");
    likely("</think>", "<answer>");
    likely("<answer>", "1");
    likely("1", "</answer>");
    likely("</answer>", "<eos>");
    return weights;
  }
  std::function<TicketPrompt()> prompts() const {
    std::shared_ptr<PromptSource> source = addition_prompts({1}, options.seed);
    return [source, tokenizer = rules.tokenizer] {
      const Prompt prompt = source->next();
      std::vector<std::int32_t> tokens = tokenizer->encode(prompt.text);
      tokens.insert(tokens.begin(), tokenizer->bos());
      return TicketPrompt{prompt.uid, tokens};
    };
  }
  std::unique_ptr<gpu::Engine> engine() const {
    return std::make_unique<BigramEngine>(rules.tokenizer->size(), options.slots, 32);
  }
  std::unique_ptr<gpu::TrainingEngine> training_engine() const {
    return std::make_unique<BigramTrainingEngine>(rules.tokenizer->size(), elements(),
                                                  gpu::SamplingView{1.0f, sampling.banned});
  }

  SmallStageOptions options;
  GradingRules rules;
  gpu::SamplingParams sampling;
  gpu::UpdateConfig update;
  LedgerConfig ledger;
  gpu::Schedule schedule;
};

struct SmallStage : ActorFixture {
  explicit SmallStage(SmallStageOptions options = {}) : parts(options) {
    ReplayBufferPlan buffer_plan{parts.ledger, parts.prompts(), {}, telemetry()};
    buffer = system.spawn(replay_buffer, buffer_plan);
    weights = system.spawn(broadcaster, BroadcasterPlan{{}, telemetry()});
    for (int i = 0; i < options.generators; ++i) add_generator("generator-" + std::to_string(i), 0);
    for (int i = 0; i < options.verifiers; ++i) add_verifier("verifier-" + std::to_string(i));
    director =
        caf::actor_cast<Conductor>(system.spawn([this](caf::event_based_actor*) -> caf::behavior {
          return {[this](updated_atom, std::int32_t update, const Weights& published) {
                    versions.push_back(published.version());
                    updates_seen = update;
                  },
                  [this](ended_atom, const LearnerOutcome& ended) { outcome = ended; }};
        }));
    LearnerSetup setup;
    setup.ranks.prepare_thread = [] {};
    setup.ranks.engine = [this] { return parts.training_engine(); };
    setup.weights = parts.initial_weights();
    setup.update = parts.update;
    setup.telemetry = telemetry();
    trainer = system.spawn(learner, setup, director);
  }
  ~SmallStage() {
    for (const auto& [name, actor] : generators) caf::anon_send_exit(actor, caf::exit_reason::kill);
    for (const auto& [name, actor] : verifiers) caf::anon_send_exit(actor, caf::exit_reason::kill);
    caf::anon_send_exit(trainer, caf::exit_reason::kill);
    caf::anon_send_exit(buffer, caf::exit_reason::kill);
    caf::anon_send_exit(weights, caf::exit_reason::kill);
    caf::anon_send_exit(director, caf::exit_reason::kill);
    settle();
  }
  void add_generator(const std::string& name, std::uint32_t incarnation) {
    add_generator(name, incarnation, buffer, weights);
  }
  /// `through` and `from`: the replay buffer and the broadcaster, or whoever stands before them.
  void add_generator(const std::string& name, std::uint32_t incarnation,
                     const ReplayBuffer& through, const Broadcaster& from) {
    GeneratorPlan plan;
    plan.name = name;
    plan.incarnation = incarnation;
    plan.prepare_thread = [] {};
    plan.engine = [this] { return parts.engine(); };
    plan.elements = parts.elements();
    plan.sampling = parts.sampling;
    plan.seed = parts.options.seed;
    plan.group_size = parts.options.group_size;
    plan.tickets_at_once = parts.options.batch;
    plan.telemetry = telemetry();
    generators[name] = system.spawn(generator, plan, through, from);
    for (const auto& [verifier_name, actor] : verifiers)
      caf::anon_send(actor, join_atom::value, name, generators[name]);
  }
  void add_verifier(const std::string& name) {
    verifiers[name] =
        system.spawn(verifier, VerifierPlan{name, parts.rules, 8, {}, telemetry()}, buffer);
    for (const auto& [generator_name, actor] : generators)
      caf::anon_send(verifiers[name], join_atom::value, generator_name, actor);
  }
  void begin() {
    LearnerPlan plan;
    RolloutPlan rollouts;
    rollouts.buffer = buffer;
    rollouts.broadcaster = weights;
    rollouts.updates = static_cast<std::int32_t>(parts.options.updates);
    rollouts.schedule = parts.schedule;
    rollouts.staleness_bound = parts.options.bound;
    plan.rollout = rollouts;
    caf::anon_send(trainer, begin_atom::value, std::make_shared<const LearnerPlan>(plan));
  }
  /// Runs up to `messages` messages; true while there was work.
  bool run_some(int messages) {
    for (int i = 0; i < messages; ++i)
      if (!scheduler.try_run_once()) return false;
    return true;
  }
  LedgerRecord ledger() { return *ask<LedgerRecord>(buffer, ledger_atom::value); }
  LedgerRecord close() {
    std::vector<std::shared_ptr<Asked<GeneratorTotals>>> said;
    for (const auto& [name, actor] : generators)
      said.push_back(ask_later<GeneratorTotals>(actor, stop_atom::value));
    settle();
    for (const auto& one : said)
      if (one->answered() && *one->answer) sampled_tokens += (*one->answer)->sampled_tokens;
    return *ask<LedgerRecord>(buffer, close_atom::value, std::string("stage_over"));
  }

  SmallStageParts parts;
  ReplayBuffer buffer;
  Broadcaster weights;
  std::map<std::string, Generator> generators;
  std::map<std::string, Verifier> verifiers;
  Conductor director;
  Learner trainer;
  std::vector<PolicyVersion> versions;
  std::int32_t updates_seen = 0;
  std::optional<LearnerOutcome> outcome;
  std::uint64_t sampled_tokens = 0;
};

}  // namespace troupe::support
