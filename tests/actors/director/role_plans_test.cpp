#include "actors/director/role_plans.hpp"

#include "messages/rollout.hpp"

#include <doctest/doctest.h>

#include <cstdint>

TEST_SUITE_BEGIN("actors/director");

namespace troupe {
namespace {

/// As many bytes as a ticket can have: each token of each part in a run of versions of its own.
std::uint64_t largest_ticket(const Config& config, const Materials& materials) {
  const auto group = static_cast<unsigned>(config.replay_buffer.group_size);
  const auto tokens = static_cast<unsigned>(config.generator.max_new_tokens - 1);
  const Ticket ticket = Ticket::build([&](wire::Ticket::Builder builder) {
    builder.initPromptTokens(static_cast<unsigned>(materials.longest_prompt));
    builder.setGroupSize(group);
    auto indices = builder.initIndices(group);
    for (unsigned i = 0; i < group; ++i) indices.set(i, i);
    auto parts = builder.initParts(parts_per_ticket(config, materials));
    for (unsigned i = 0; i < parts.size(); ++i) {
      parts[i].setIndex(i);
      parts[i].initTokens(tokens);
      parts[i].initLogProbs(tokens);
      auto runs = parts[i].initVersions(tokens);
      for (unsigned t = 0; t < tokens; ++t) {
        runs[t].setVersion(t);
        runs[t].setCount(1);
      }
    }
  });
  return ticket.bytes();
}

}  // namespace

TEST_CASE("tickets fit a message however much is begun of them") {
  Config config;
  Materials materials;
  struct Case {
    std::int32_t new_tokens, group;
    std::size_t prompt;
    std::uint32_t parts;
    bool many;  // tickets in a message
  };
  for (const Case& one :
       {Case{64, 8, 20, 8, true}, Case{2, 1, 1, 1, true}, Case{32768, 8, 1000, 8, false},
        Case{32768, 64, 1000, 10, false}, Case{300000, 16, 9, 1, false}}) {
    CAPTURE(one.new_tokens);
    CAPTURE(one.group);
    config.generator.max_new_tokens = one.new_tokens;
    config.replay_buffer.group_size = one.group;
    materials.longest_prompt = one.prompt;
    CHECK(parts_per_ticket(config, materials) == one.parts);
    const std::uint64_t tickets = tickets_per_message(config, materials);
    CHECK((tickets > 1) == one.many);
    CHECK(tickets * largest_ticket(config, materials) <= config.network.limits.frame_bytes);
    CHECK_NOTHROW(require_fitting_rollouts(config, materials));
  }
}

}  // namespace troupe
