#include "messages/shown_rollout.hpp"

#include "messages/rollout.hpp"
#include "messages/rollout_checks.hpp"

namespace troupe::wire {

void validate(ShownRollout::Reader rollout) {
  KJ_REQUIRE(rollout.getStage() >= 0 && rollout.getUpdate() >= 0, "a negative count");
  const auto tokens = rollout.getTokens();
  KJ_REQUIRE(tokens.size() > 0 && tokens.size() <= kMostShownTokens, "too few tokens or too many",
             tokens.size());
  require_tokens(tokens);
  KJ_REQUIRE(rollout.getPromptTokens() <= tokens.size(), "more of the prompt than tokens");
  const auto log_probs = rollout.getLogProbs();
  require_log_probs(log_probs, tokens.size() - rollout.getPromptTokens());
  KJ_REQUIRE(rollout.getCompletionTokens() >= log_probs.size(), "more shown than there was");
  const auto own = rollout.getLearnerLogProbs();
  KJ_REQUIRE(own.size() <= log_probs.size(), "more log-probs of the learner than tokens");
  for (const float log_prob : own) KJ_REQUIRE(std::isfinite(log_prob), "not a log-prob", log_prob);
  require_versions(rollout.getVersions(), rollout.getCompletionTokens());
  KJ_REQUIRE(rollout.getGenerator().size() <= kMostNameBytes, "a long name");
  const auto verdict = rollout.getVerdict();
  validate(verdict);
  KJ_REQUIRE(verdict.getRollout() == rollout.getId(), "a verdict on another rollout");
  KJ_REQUIRE(verdict.getVerifier().size() <= kMostNameBytes &&
                 verdict.getReason().size() <= kMostReasonBytes,
             "a long name or reason");
}

}  // namespace troupe::wire
