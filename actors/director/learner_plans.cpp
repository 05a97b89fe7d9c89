#include "actors/director/learner_plans.hpp"

#include "actors/director/role_plans.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

namespace troupe {
namespace {

gpu::Schedule schedule_of(const StageConfig& stage) {
  return {static_cast<float>(stage.learning_rate), static_cast<float>(stage.learning_rate_final),
          stage.warmup_updates, stage.updates};
}

GatePlan gate_plan(const Config& config, const Materials& materials, const Backends& backends,
                   std::size_t index) {
  const StageConfig& stage = config.stages[index];
  GatePlan gate;
  gate.kinds = gate_probe(config, materials, index);
  gate.share = stage.gate;
  gate.every = stage.gate_every;
  gate.limit = stage.gate_limit;
  std::size_t longest = 1;
  for (const auto& kind : gate.kinds)
    for (const ProbeDocument& document : kind) longest = std::max(longest, document.tokens.size());
  gate.engine = [make = backends.engine, decoder = materials.decoder, slots = stage.gate_documents,
                 longest] { return make(decoder, slots, static_cast<std::int32_t>(longest)); };
  return gate;
}

}  // namespace

LearnerSetup learner_setup(const Config& config, const Materials& materials,
                           const Backends& backends, Telemetry& telemetry) {
  LearnerSetup setup;
  const LearnerConfig& learning = config.learner;
  setup.ranks.ranks = learning.ranks;
  setup.ranks.optimizer =
      learning.shard_optimizer ? gpu::OptimizerState::sharded : gpu::OptimizerState::whole;
  setup.ranks.deadline =
      std::chrono::milliseconds(static_cast<std::int64_t>(learning.rank_deadline_seconds * 1000));
  setup.ranks.prepare_thread = [set = backends.set_threads,
                                threads = std::max(1, learning.threads / learning.ranks)] {
    set(threads);
  };
  gpu::SamplingView view;
  view.temperature =
      config.generator.temperature > 0 ? static_cast<float>(config.generator.temperature) : 1.0f;
  view.banned = banned_tokens(*materials.tokenizer, materials.decoder);
  setup.ranks.engine = [make = backends.training_engine, decoder = materials.decoder, view,
                        tokens = learning.tokens_per_micro_batch] {
    return make(decoder, view, tokens);
  };
  setup.weights = materials.weights;
  setup.update = config.learner.update;
  setup.deadlines = deadlines_of(config);
  setup.telemetry = &telemetry;
  return setup;
}

LearnerPlan supervised_plan(const Config& config, const Materials& materials,
                            const Backends& backends, std::size_t stage) {
  const StageConfig& of = config.stages[stage];
  SupervisedPlan plan;
  plan.next_document = stage_documents(config, materials, stage);
  plan.updates = of.updates;
  plan.batch_documents = of.batch_documents;
  plan.schedule = schedule_of(of);
  plan.weight_decay = of.weight_decay;
  plan.keep_optimizer = of.keep_optimizer;
  if (of.gate > 0) plan.gate = gate_plan(config, materials, backends, stage);
  LearnerPlan learner_plan;
  learner_plan.stage = static_cast<std::int32_t>(stage);
  learner_plan.supervised = std::move(plan);
  return learner_plan;
}

LearnerPlan rollout_plan(const Config& config, std::size_t stage, const ReplayBuffer& buffer,
                         const Broadcaster& broadcaster) {
  const StageConfig& of = config.stages[stage];
  RolloutPlan plan;
  plan.buffer = buffer;
  plan.broadcaster = broadcaster;
  plan.updates = of.updates;
  plan.schedule = schedule_of(of);
  plan.weight_decay = of.weight_decay;
  plan.staleness_bound = static_cast<std::uint64_t>(config.replay_buffer.staleness_bound);
  plan.refused_updates_limit = config.learner.refused_updates_limit;
  plan.gap_rollouts = config.learner.gap_rollouts;
  LearnerPlan learner_plan;
  learner_plan.stage = static_cast<std::int32_t>(stage);
  learner_plan.rollout = std::move(plan);
  return learner_plan;
}

}  // namespace troupe
