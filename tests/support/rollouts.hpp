#pragma once
// Builders of messages, each with the arguments that matter to a test.
#include "messages/rollout.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace troupe::support {

struct RolloutParts {
  std::uint64_t ticket = 0;
  std::uint32_t index = 0, attempt = 0;
  std::vector<std::int32_t> prompt = {1, 7};
  std::vector<std::int32_t> completion = {8, 9, 2};
  std::vector<std::pair<std::uint64_t, std::uint32_t>> versions;  // empty: all of version 0
};

inline Rollout rollout(const RolloutParts& parts) {
  return Rollout::build([&](wire::Rollout::Builder builder) {
    std::vector<std::int32_t> tokens = parts.prompt;
    tokens.insert(tokens.end(), parts.completion.begin(), parts.completion.end());
    const std::vector<float> log_probs(parts.completion.size(), -0.5f);
    builder.setId(rollout_id(42, parts.ticket, parts.index));
    builder.setTicket(parts.ticket);
    builder.setIndex(parts.index);
    builder.setAttempt(parts.attempt);
    builder.setPromptUid(42);
    builder.setTokens(kj::arrayPtr(tokens.data(), tokens.size()));
    builder.setPromptLength(static_cast<std::uint32_t>(parts.prompt.size()));
    builder.setLogProbs(kj::arrayPtr(log_probs.data(), log_probs.size()));
    auto versions = parts.versions;
    if (versions.empty()) versions = {{0, static_cast<std::uint32_t>(parts.completion.size())}};
    auto runs = builder.initVersions(static_cast<unsigned>(versions.size()));
    for (unsigned i = 0; i < runs.size(); ++i) {
      runs[i].setVersion(versions[i].first);
      runs[i].setCount(versions[i].second);
    }
    builder.setGenerator("generator-0");
  });
}

using VersionRuns = std::vector<std::pair<std::uint64_t, std::uint32_t>>;

/// The first tokens of rollout `index` of a group: as many as the versions cover.
inline void write_part(wire::PartialRollout::Builder builder, std::uint32_t index,
                       const VersionRuns& versions, std::int32_t token = 8) {
  builder.setIndex(index);
  std::uint32_t count = 0;
  for (const auto& run : versions) count += run.second;
  const std::vector<std::int32_t> tokens(count, token);
  const std::vector<float> log_probs(count, -0.5f);
  builder.setTokens(kj::arrayPtr(tokens.data(), tokens.size()));
  builder.setLogProbs(kj::arrayPtr(log_probs.data(), log_probs.size()));
  auto runs = builder.initVersions(static_cast<unsigned>(versions.size()));
  for (unsigned i = 0; i < runs.size(); ++i) {
    runs[i].setVersion(versions[i].first);
    runs[i].setCount(versions[i].second);
  }
}

inline PartialRollout part(std::uint32_t index, const VersionRuns& versions,
                           std::int32_t token = 8) {
  return PartialRollout::build(
      [&](wire::PartialRollout::Builder builder) { write_part(builder, index, versions, token); });
}

inline Verdict verdict(const Rollout& graded, float reward,
                       wire::Verdict::Outcome outcome = wire::Verdict::Outcome::PASS) {
  return Verdict::build([&](wire::Verdict::Builder builder) {
    builder.setRollout(graded.read().getId());
    builder.setOutcome(outcome);
    builder.setReward(reward);
    builder.setAccuracy(reward > 0.5f ? 1.0f : 0.0f);
    builder.setFormat(1.0f);
    builder.setVerifier("verifier-0");
  });
}

inline GradedRollout graded(const RolloutParts& parts, float reward) {
  const Rollout one = rollout(parts);
  return {one, verdict(one, reward)};
}

}  // namespace troupe::support
