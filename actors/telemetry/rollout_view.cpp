// How a rollout that is shown is read.
#include "actors/telemetry/rollout_log.hpp"

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

void read_verdict(wire::Verdict::Reader verdict, RolloutView& view) {
  view.verifier = verdict.getVerifier().cStr();
  view.outcome = outcome_text(verdict.getOutcome());
  view.reason = verdict.getReason().cStr();
  view.reward = static_cast<double>(verdict.getReward());
  view.accuracy = static_cast<double>(verdict.getAccuracy());
  view.format = static_cast<double>(verdict.getFormat());
}

}  // namespace

std::optional<RolloutView> view_of(wire::ShownRollout::Reader rollout,
                                   const std::function<std::string(std::int32_t)>& piece) {
  RolloutView view;
  for (const std::int32_t token : rollout.getTokens()) {
    view.pieces.push_back(piece(token));
    if (view.pieces.back().empty()) return std::nullopt;
  }
  view.id = hex64(rollout.getId());
  view.prompt_uid = hex64(rollout.getPromptUid());
  view.ticket = rollout.getTicket();
  view.index = rollout.getIndex();
  view.attempt = rollout.getAttempt();
  view.stage = rollout.getStage();
  view.update = rollout.getUpdate();
  view.trained_at = rollout.getTrainedAt();
  view.update_refused = rollout.getUpdateRefused();
  view.generator = rollout.getGenerator().cStr();
  read_verdict(rollout.getVerdict(), view);
  view.truncated = rollout.getTruncated();
  view.prompt_tokens = rollout.getPromptTokens();
  view.completion_tokens = rollout.getCompletionTokens();
  for (const float log_prob : rollout.getLogProbs()) view.log_probs.push_back(log_prob);
  for (const float own : rollout.getLearnerLogProbs()) view.learner_log_probs.push_back(own);
  for (const auto run : rollout.getVersions())
    view.versions.emplace_back(run.getVersion(), run.getCount());
  return view;
}

}  // namespace troupe
