#include "messages/rollout.hpp"

#include "messages/rollout_checks.hpp"

#include <cmath>
#include <kj/debug.h>

namespace troupe {
namespace {

/// SplitMix64's finaliser: every input bit reaches every output bit.
std::uint64_t mix(std::uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9ull;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

void require_share(float value) {
  KJ_REQUIRE(std::isfinite(value) && value >= 0.0f && value <= 1.0f, "a share outside 0 .. 1",
             value);
}

void require_parts(wire::Ticket::Reader ticket) {
  const auto indices = ticket.getIndices();
  unsigned at = 0;
  for (const auto part : ticket.getParts()) {
    while (at < indices.size() && indices[at] != part.getIndex()) ++at;
    KJ_REQUIRE(at++ < indices.size(), "a part of a rollout that is not asked for", ticket.getId(),
               part.getIndex());
    validate(part);
    KJ_REQUIRE(part.getVersions().size() > 0, "a part without tokens", ticket.getId());
  }
}

}  // namespace

std::vector<std::int32_t> tokens_of(capnp::List<std::int32_t>::Reader tokens) {
  std::vector<std::int32_t> ids;
  ids.reserve(tokens.size());
  for (const std::int32_t token : tokens) ids.push_back(token);
  return ids;
}

std::uint64_t rollout_id(std::uint64_t prompt_uid, std::uint64_t ticket, std::uint32_t index) {
  constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15ull;
  return mix(mix(mix(prompt_uid + kGolden) + ticket + kGolden) + index + kGolden);
}

namespace wire {

// Each list is looked up once: every look counts against the reader's limit.

void validate(PartialRollout::Reader part) {
  const auto tokens = part.getTokens();
  require_tokens(tokens);
  require_log_probs(part.getLogProbs(), tokens.size());
  require_versions(part.getVersions(), tokens.size());
}

void validate(Ticket::Reader ticket) {
  const auto prompt = ticket.getPromptTokens();
  KJ_REQUIRE(prompt.size() > 0, "a ticket without a prompt", ticket.getId());
  require_tokens(prompt);
  const auto indices = ticket.getIndices();
  KJ_REQUIRE(indices.size() > 0, "a ticket for no rollout", ticket.getId());
  std::int64_t previous = -1;
  for (const std::uint32_t index : indices) {
    KJ_REQUIRE(static_cast<std::int64_t>(index) > previous && index < ticket.getGroupSize(),
               "rollout indices must ascend within the group", ticket.getId(), index);
    previous = index;
  }
  require_parts(ticket);
}

void validate(Rollout::Reader rollout) {
  const auto tokens = rollout.getTokens();
  const std::uint64_t prompt_length = rollout.getPromptLength();  // 64 bits: a peer chose it
  KJ_REQUIRE(prompt_length > 0 && prompt_length < tokens.size(), "prompt length outside the tokens",
             prompt_length, tokens.size());
  require_tokens(tokens);
  const std::uint64_t completion = tokens.size() - prompt_length;
  require_log_probs(rollout.getLogProbs(), completion);
  require_versions(rollout.getVersions(), completion);
  rollout.getGenerator();
}

void validate(Verdict::Reader verdict) {
  KJ_REQUIRE(static_cast<std::uint16_t>(verdict.getOutcome()) <=
                 static_cast<std::uint16_t>(Verdict::Outcome::UNVERIFIABLE),
             "unknown outcome");
  KJ_REQUIRE(std::isfinite(verdict.getReward()), "reward is not a number");
  require_share(verdict.getAccuracy());
  require_share(verdict.getFormat());
  verdict.getReason();
  verdict.getVerifier();
}

}  // namespace wire

std::uint64_t delivery_id(wire::Rollout::Reader rollout) {
  constexpr std::uint64_t kOdd = 0x9e3779b97f4a7c15;  // spreads the attempts over all 64 bits
  return rollout.getId() + kOdd * rollout.getAttempt();
}

}  // namespace troupe
