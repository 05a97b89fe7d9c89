#pragma once
// Builders of shown rollouts, with the arguments that matter to a test.
#include "messages/shown_rollout.hpp"

#include <cstdint>
#include <vector>

namespace troupe::support {

struct ShownParts {
  std::uint64_t id = 5;
  std::int32_t stage = 1, update = 3;
  std::vector<std::int32_t> tokens = {1, 7, 8, 9, 2};  // the first two are of the prompt
  float reward = 0.25f;
};

inline void fill(wire::ShownRollout::Builder builder, const ShownParts& parts) {
  const auto completion = static_cast<unsigned>(parts.tokens.size()) - 2;
  const std::vector<float> log_probs(completion, -0.5f), own(completion, -0.25f);
  builder.setId(parts.id);
  builder.setPromptUid(42);
  builder.setTicket(6);
  builder.setIndex(2);
  builder.setAttempt(1);
  builder.setStage(parts.stage);
  builder.setUpdate(parts.update);
  builder.setTrainedAt(9);
  builder.setTokens(kj::arrayPtr(parts.tokens.data(), parts.tokens.size()));
  builder.setPromptTokens(2);
  builder.setCompletionTokens(completion);
  builder.setLogProbs(kj::arrayPtr(log_probs.data(), log_probs.size()));
  builder.setLearnerLogProbs(kj::arrayPtr(own.data(), own.size()));
  auto run = builder.initVersions(1)[0];
  run.setVersion(7);
  run.setCount(completion);
  builder.setGenerator("generator-0");
  auto verdict = builder.initVerdict();
  verdict.setRollout(parts.id);
  verdict.setOutcome(wire::Verdict::Outcome::FAIL);
  verdict.setReward(parts.reward);
  verdict.setReason("no answer");
  verdict.setVerifier("verifier-0");
}

inline ShownRollout shown(const ShownParts& parts = {}) {
  return ShownRollout::build([&](wire::ShownRollout::Builder builder) { fill(builder, parts); });
}

}  // namespace troupe::support
