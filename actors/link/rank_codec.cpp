#include "actors/link/rank_codec.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <kj/debug.h>
#include <vector>

namespace troupe {
namespace {

float finite(float figure) {
  KJ_REQUIRE(std::isfinite(figure), "a figure that is not finite");
  return figure;
}

template <class T>
kj::ArrayPtr<const T> view(const std::vector<T>& values) {
  return kj::arrayPtr(values.data(), values.size());
}

std::vector<std::int32_t> read_tokens(capnp::List<std::int32_t>::Reader from) {
  std::vector<std::int32_t> tokens;
  tokens.reserve(from.size());
  for (const std::int32_t token : from) tokens.push_back(token);
  KJ_REQUIRE(std::all_of(tokens.begin(), tokens.end(), [](std::int32_t id) { return id >= 0; }),
             "a negative token");
  return tokens;
}

gpu::Document read_document(wire::TrainingDocument::Reader from) {
  KJ_REQUIRE(from.getFirstTarget() >= 1, "a first target that nothing is before");
  return {read_tokens(from.getTokens()), from.getFirstTarget()};
}
void write(const gpu::Document& document, wire::TrainingDocument::Builder to) {
  to.setTokens(view(document.tokens));
  to.setFirstTarget(document.first_target);
}

gpu::TrainingRollout read_rollout(wire::TrainingRollout::Reader from) {
  gpu::TrainingRollout rollout;
  rollout.id = from.getId();
  rollout.tokens = read_tokens(from.getTokens());
  rollout.prompt_length = static_cast<std::int32_t>(from.getPromptLength());
  KJ_REQUIRE(from.getPromptLength() > 0 && from.getPromptLength() <= rollout.tokens.size(),
             "a prompt that is not within its rollout");
  for (const float log_prob : from.getLogProbs()) rollout.log_probs.push_back(finite(log_prob));
  KJ_REQUIRE(rollout.log_probs.size() == rollout.tokens.size() - from.getPromptLength(),
             "other than one log-prob per token");
  std::uint64_t counted = 0;
  for (const auto run : from.getVersions()) {
    rollout.versions.push_back({run.getVersion(), run.getCount()});
    counted += run.getCount();
  }
  KJ_REQUIRE(counted == rollout.log_probs.size(), "other than one version per token");
  rollout.reward = finite(from.getReward());
  return rollout;
}
void write(const gpu::TrainingRollout& rollout, wire::TrainingRollout::Builder to) {
  to.setId(rollout.id);
  to.setTokens(view(rollout.tokens));
  to.setPromptLength(static_cast<std::uint32_t>(rollout.prompt_length));
  to.setLogProbs(view(rollout.log_probs));
  auto versions = to.initVersions(static_cast<unsigned>(rollout.versions.size()));
  for (unsigned i = 0; i < versions.size(); ++i) {
    versions[i].setVersion(rollout.versions[i].version);
    versions[i].setCount(rollout.versions[i].count);
  }
  to.setReward(rollout.reward);
}

std::vector<gpu::TrainingRollout> read_rollouts(capnp::List<wire::TrainingRollout>::Reader from) {
  std::vector<gpu::TrainingRollout> rollouts;
  for (const auto one : from) rollouts.push_back(read_rollout(one));
  return rollouts;
}
void write(const std::vector<gpu::TrainingRollout>& rollouts,
           capnp::List<wire::TrainingRollout>::Builder to) {
  for (unsigned i = 0; i < to.size(); ++i) write(rollouts[i], to[i]);
}

template <class Items>
unsigned count(const Items& items) {
  return static_cast<unsigned>(items.size());
}

void write_one(const BeginTask& task, wire::RankTask::Builder to) {
  to.initBegin().setKeepOptimizer(task.keep_optimizer);
}

void write_one(const SupervisedTask& task, wire::RankTask::Builder to) {
  auto out = to.initSupervised();
  auto documents = out.initDocuments(count(task.documents));
  for (unsigned i = 0; i < documents.size(); ++i) write(task.documents[i], documents[i]);
  out.setLearningRate(task.learning_rate);
  out.setWeightDecay(task.adamw.weight_decay);
}

void write_one(const PolicyTask& task, wire::RankTask::Builder to) {
  auto out = to.initPolicy();
  auto groups = out.initGroups(count(task.groups));
  for (unsigned i = 0; i < groups.size(); ++i)
    write(task.groups[i], groups.init(i, count(task.groups[i])));
  auto measured = out.initMeasured(count(task.gap_parts));
  for (unsigned i = 0; i < measured.size(); ++i) {
    const GapPart& part = task.gap_parts[i];
    measured[i].setVersion(part.version);
    write(part.rollouts, measured[i].initRollouts(count(part.rollouts)));
  }
  out.setRate(task.learning_rate);
  out.setDecay(task.config.adamw.weight_decay);
  out.setVersion(task.version);
  out.setStalenessBound(task.staleness_bound);
  out.setHasReference(task.reference_version.has_value());
  out.setReferenceVersion(task.reference_version.value_or(0));
}

SupervisedTask read_supervised(wire::RankTask::Supervised::Reader from,
                               const gpu::UpdateConfig& update) {
  SupervisedTask task{{}, update.adamw, update.max_gradient_norm, finite(from.getLearningRate())};
  task.adamw.weight_decay = finite(from.getWeightDecay());
  for (const auto document : from.getDocuments()) task.documents.push_back(read_document(document));
  return task;
}

PolicyTask read_policy(wire::RankTask::Policy::Reader from, const gpu::UpdateConfig& update) {
  PolicyTask task;
  for (const auto group : from.getGroups()) task.groups.push_back(read_rollouts(group));
  for (const auto part : from.getMeasured())
    task.gap_parts.push_back({part.getVersion(), nullptr, read_rollouts(part.getRollouts())});
  task.config = update;
  task.config.adamw.weight_decay = finite(from.getDecay());
  task.learning_rate = finite(from.getRate());
  task.version = from.getVersion();
  task.staleness_bound = from.getStalenessBound();
  if (from.getHasReference()) task.reference_version = from.getReferenceVersion();
  return task;
}

}  // namespace

void write(const RankTask& task, wire::RankTask::Builder to) {
  std::visit([&](const auto& one) { write_one(one, to); }, task);
}

std::variant<RankTask, RankFarewell> read_task(wire::RankTask::Reader from,
                                               const gpu::UpdateConfig& update) {
  switch (from.which()) {
    case wire::RankTask::BEGIN:
      return RankTask(BeginTask{from.getBegin().getKeepOptimizer()});
    case wire::RankTask::SUPERVISED:
      return RankTask(read_supervised(from.getSupervised(), update));
    case wire::RankTask::POLICY:
      return RankTask(read_policy(from.getPolicy(), update));
    case wire::RankTask::OVER:
      return RankFarewell{from.getOver()};
  }
  KJ_FAIL_REQUIRE("a task that this version does not know");
}

}  // namespace troupe
