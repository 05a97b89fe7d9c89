#include "actors/generator/assignments.hpp"

#include <doctest/doctest.h>

TEST_SUITE_BEGIN("actors/generator");

namespace troupe {
namespace {

Ticket ticket(std::vector<std::uint32_t> indices, std::uint32_t attempt = 0) {
  return Ticket::build([&](wire::Ticket::Builder t) {
    const std::vector<std::int32_t> prompt = {1, 9};
    t.setId(6);
    t.setAttempt(attempt);
    t.setPromptUid(77);
    t.setPromptTokens(kj::arrayPtr(prompt.data(), prompt.size()));
    t.setIndices(kj::arrayPtr(indices.data(), indices.size()));
    t.setGroupSize(4);
    t.setMinVersion(3);
  });
}

}  // namespace

TEST_CASE("a ticket becomes one request per rollout with its ids and version") {
  Assignments assignments("generator-1");
  const auto requests = assignments.accept(ticket({0, 2}, 1));
  REQUIRE(requests.size() == 2);
  CHECK(requests[1].rollout == rollout_id(77, 6, 2));
  CHECK(requests[1].group == 6);
  CHECK(requests[1].prompt == std::vector<std::int32_t>{1, 9});
  CHECK(requests[1].min_version == 3);
  CHECK(assignments.accept(ticket({2})).empty());  // under way already
}

TEST_CASE("a completion becomes the rollout that was asked for") {
  Assignments assignments("generator-1");
  assignments.accept(ticket({2}, 1));
  const gpu::Completion completion{
      rollout_id(77, 6, 2), {5, 2}, {-0.1f, -0.2f}, {{3, 1}, {4, 1}}, gpu::FinishReason::length};
  const auto rollout = assignments.complete(completion);
  REQUIRE(rollout);
  const auto read = rollout->read();
  CHECK(read.getTicket() == 6);
  CHECK(read.getIndex() == 2);
  CHECK(read.getAttempt() == 1);
  CHECK(read.getPromptUid() == 77);
  CHECK(tokens_of(read.getTokens()) == std::vector<std::int32_t>{1, 9, 5, 2});
  CHECK(read.getLogProbs()[1] == -0.2f);
  CHECK(read.getVersions()[1].getVersion() == 4);
  CHECK(read.getTruncated());
  CHECK(std::string(read.getGenerator().cStr()) == "generator-1");
  CHECK(assignments.under_way() == 0);
  CHECK_FALSE(assignments.complete(completion));
  const RolloutNotice notice = Assignments::finished(*rollout);
  CHECK(notice.tokens == 2);
  CHECK_FALSE(notice.abandoned);
}

TEST_CASE("an abandoned rollout is reported with the tokens it had") {
  Assignments assignments("g");
  assignments.accept(ticket({1}));
  const auto notice =
      assignments.abandon({rollout_id(77, 6, 1), {5, 6, 7}, {}, {}, gpu::FinishReason::length});
  REQUIRE(notice);
  CHECK(notice->tokens == 3);
  CHECK(notice->index == 1);
  CHECK(notice->abandoned);
}

}  // namespace troupe
