#include "actors/learner/shown_rollouts.hpp"

#include <algorithm>
#include <cmath>

namespace troupe {
namespace {

/// The first bytes, of whatever somebody elsewhere calls himself.
kj::StringPtr shortened(kj::StringPtr text, std::size_t most, kj::String& kept) {
  if (text.size() <= most) return text;
  return kept = kj::heapString(text.slice(0, most));
}

void write(wire::Verdict::Reader from, wire::Verdict::Builder verdict) {
  kj::String kept;
  verdict.setRollout(from.getRollout());
  verdict.setOutcome(from.getOutcome());
  verdict.setReward(from.getReward());
  verdict.setAccuracy(from.getAccuracy());
  verdict.setFormat(from.getFormat());
  verdict.setReason(shortened(from.getReason(), kMostReasonBytes, kept));
  verdict.setVerifier(shortened(from.getVerifier(), kMostNameBytes, kept));
}

/// As far as they are figures: a learner that has diverged still shows what it was given.
std::size_t finite(const std::vector<float>& own, std::size_t most) {
  const auto end = own.begin() + static_cast<std::ptrdiff_t>(std::min(own.size(), most));
  return static_cast<std::size_t>(
      std::find_if(own.begin(), end, [](float value) { return !std::isfinite(value); }) -
      own.begin());
}

void write(const GradedRollout& graded, const std::vector<float>& own,
           wire::ShownRollout::Builder shown) {
  const auto rollout = graded.rollout.read();
  shown.setId(rollout.getId());
  shown.setPromptUid(rollout.getPromptUid());
  shown.setTicket(rollout.getTicket());
  shown.setIndex(rollout.getIndex());
  shown.setAttempt(rollout.getAttempt());
  const auto tokens = rollout.getTokens();
  const auto log_probs = rollout.getLogProbs();
  const unsigned count = std::min<unsigned>(tokens.size(), kMostShownTokens);
  const unsigned of_prompt = std::min(rollout.getPromptLength(), count);
  auto to = shown.initTokens(count);
  for (unsigned i = 0; i < count; ++i) to.set(i, tokens[i]);
  shown.setPromptTokens(of_prompt);
  shown.setCompletionTokens(log_probs.size());
  auto behaviour = shown.initLogProbs(count - of_prompt);
  for (unsigned i = 0; i < behaviour.size(); ++i) behaviour.set(i, log_probs[i]);
  shown.setLearnerLogProbs(kj::arrayPtr(own.data(), finite(own, behaviour.size())));
  shown.setVersions(rollout.getVersions());
  shown.setTruncated(rollout.getTruncated());
  kj::String kept;
  shown.setGenerator(shortened(rollout.getGenerator(), kMostNameBytes, kept));
  write(graded.verdict.read(), shown.initVerdict());
}

}  // namespace

std::vector<const GradedRollout*> shown_rollouts(const Batch& batch, std::size_t count,
                                                 const MeasuredLogProbs& measured) {
  std::vector<const GradedRollout*> all, shown;
  for (const BatchGroup& group : batch.groups)
    for (const GradedRollout& graded : group.rollouts) all.push_back(&graded);
  if (all.empty()) return {};
  const auto less = [](const GradedRollout* a, const GradedRollout* b) {
    return a->verdict.read().getReward() < b->verdict.read().getReward();
  };
  const auto add = [&](const GradedRollout* one) {
    if (shown.size() < count && std::find(shown.begin(), shown.end(), one) == shown.end())
      shown.push_back(one);
  };
  add(*std::min_element(all.begin(), all.end(), less));
  add(*std::max_element(all.begin(), all.end(), less));
  for (const GradedRollout* one : all)
    if (measured.contains(one->rollout.read().getId())) add(one);
  for (const GradedRollout* one : all) add(one);
  return shown;
}

void show_rollouts(RolloutLog& log, const Batch& batch, const ShownUpdate& update,
                   const MeasuredLogProbs& measured) {
  for (const GradedRollout* graded : shown_rollouts(batch, log.terms().per_update, measured)) {
    const auto own = measured.find(graded->rollout.read().getId());
    log.show(ShownRollout::build([&](wire::ShownRollout::Builder shown) {
      write(*graded, own == measured.end() ? std::vector<float>() : own->second, shown);
      shown.setStage(update.stage);
      shown.setUpdate(update.update);
      shown.setTrainedAt(batch.version);
      shown.setUpdateRefused(update.refused);
    }));
  }
}

}  // namespace troupe
