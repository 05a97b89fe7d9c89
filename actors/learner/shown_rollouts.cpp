#include "actors/learner/shown_rollouts.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace troupe {
namespace {

std::string hex64(std::uint64_t value) {
  return fmt::format("{:016x}", value);
}

std::string outcome_text(wire::Verdict::Outcome outcome) {
  switch (outcome) {
    case wire::Verdict::Outcome::PASS:
      return "pass";
    case wire::Verdict::Outcome::FAIL:
      return "fail";
    default:
      return "unverifiable";
  }
}

RolloutView view_of(const GradedRollout& graded, const RolloutLog::Terms& terms) {
  const auto rollout = graded.rollout.read();
  const auto verdict = graded.verdict.read();
  RolloutView view;
  view.id = hex64(rollout.getId());
  view.prompt_uid = hex64(rollout.getPromptUid());
  view.ticket = rollout.getTicket();
  view.index = rollout.getIndex();
  view.attempt = rollout.getAttempt();
  view.generator = rollout.getGenerator().cStr();
  view.verifier = verdict.getVerifier().cStr();
  view.outcome = outcome_text(verdict.getOutcome());
  view.reason = verdict.getReason().cStr();
  view.reward = static_cast<double>(verdict.getReward());
  view.accuracy = static_cast<double>(verdict.getAccuracy());
  view.format = static_cast<double>(verdict.getFormat());
  view.truncated = rollout.getTruncated();
  const auto tokens = rollout.getTokens();
  const auto log_probs = rollout.getLogProbs();
  const std::size_t shown = std::min<std::size_t>(tokens.size(), terms.most_tokens);
  view.prompt_tokens = std::min<std::size_t>(rollout.getPromptLength(), shown);
  view.completion_tokens = log_probs.size();
  for (unsigned i = 0; i < shown; ++i) view.pieces.push_back(terms.piece(tokens[i]));
  for (unsigned i = 0; i < shown - view.prompt_tokens; ++i) view.log_probs.push_back(log_probs[i]);
  for (const auto run : rollout.getVersions())
    view.versions.emplace_back(run.getVersion(), run.getCount());
  return view;
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
    RolloutView view = view_of(*graded, log.terms());
    view.stage = update.stage;
    view.update = update.update;
    view.trained_at = batch.version;
    view.update_refused = update.refused;
    const auto own = measured.find(graded->rollout.read().getId());
    if (own != measured.end()) view.learner_log_probs = own->second;
    view.learner_log_probs.resize(std::min(view.learner_log_probs.size(), view.log_probs.size()));
    log.add(std::move(view));
  }
}

}  // namespace troupe
