#include "actors/learner/rank_task.hpp"

#include "gpu/error.hpp"

#include <memory>
#include <string>

namespace troupe {

namespace {

RankResult perform_one(gpu::TrainingEngine& engine, const BeginTask& task) {
  if (!task.keep_optimizer) engine.reset_optimizer();
  return {};
}

RankResult perform_one(gpu::TrainingEngine& engine, const SupervisedTask& task) {
  return {gpu::supervised_update(engine, task.documents, task.adamw, task.max_gradient_norm,
                                 task.learning_rate),
          {}};
}

RankResult perform_one(gpu::TrainingEngine& engine, const PolicyTask& task) {
  return {{}, train_policy(engine, task)};
}

gpu::FlatWeights copy_of(const gpu::TrainingEngine& engine) {
  const auto values = std::shared_ptr<float[]>(new float[engine.elements()]);
  engine.copy_weights(values.get());
  return values;
}

}  // namespace

RankResult perform(gpu::TrainingEngine& engine, const RankTask& task) {
  return std::visit([&](const auto& one) { return perform_one(engine, one); }, task);
}

void RankMemory::complete(RankTask& task, const gpu::TrainingEngine& engine) {
  if (std::holds_alternative<BeginTask>(task)) *this = {};
  auto* policy = std::get_if<PolicyTask>(&task);
  if (policy == nullptr) return;
  kept_[policy->version] = copy_of(engine);
  std::erase_if(kept_, [&](const auto& entry) {
    return entry.first + policy->staleness_bound < policy->version;
  });
  for (GapPart& part : policy->gap_parts) part.weights = at(part.version);
  if (!policy->reference_version) return;
  if (!reference_) reference_ = at(*policy->reference_version);
  policy->reference = reference_;
}

gpu::FlatWeights RankMemory::at(std::uint64_t version) const {
  const auto found = kept_.find(version);
  if (found == kept_.end())
    throw gpu::Error("the weights of version " + std::to_string(version) + " are not kept here");
  return found->second;
}

}  // namespace troupe
