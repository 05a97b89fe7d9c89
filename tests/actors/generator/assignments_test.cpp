#include "actors/generator/assignments.hpp"

#include "tests/support/rollouts.hpp"

#include <doctest/doctest.h>

TEST_SUITE_BEGIN("actors/generator");

namespace troupe {
namespace {

/// `begun`: of which there is something already.
Ticket ticket(std::vector<std::uint32_t> indices, std::uint32_t attempt = 0,
              std::vector<std::uint32_t> begun = {}) {
  return Ticket::build([&](wire::Ticket::Builder t) {
    const std::vector<std::int32_t> prompt = {1, 9};
    t.setId(6);
    t.setAttempt(attempt);
    t.setPromptUid(77);
    t.setPromptTokens(kj::arrayPtr(prompt.data(), prompt.size()));
    t.setIndices(kj::arrayPtr(indices.data(), indices.size()));
    t.setGroupSize(4);
    t.setMinVersion(3);
    auto parts = t.initParts(static_cast<unsigned>(begun.size()));
    for (unsigned i = 0; i < parts.size(); ++i)
      support::write_part(parts[i], begun[i], {{3, 1}, {5, 2}}, 20 + static_cast<int>(begun[i]));
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

TEST_CASE("what is begun of a rollout is requested with it") {
  Assignments assignments("g");
  const auto requests = assignments.accept(ticket({0, 1, 3}, 1, {1, 3}));
  REQUIRE(requests.size() == 3);
  CHECK(requests[0].begun.tokens.empty());
  CHECK(requests[1].begun.tokens == std::vector<std::int32_t>{21, 21, 21});
  CHECK(requests[2].begun.tokens == std::vector<std::int32_t>{23, 23, 23});
  CHECK(requests[1].begun.log_probs == std::vector<float>{-0.5f, -0.5f, -0.5f});
  CHECK(requests[1].begun.versions == std::vector<gpu::VersionRun>{{3, 1}, {5, 2}});
}

TEST_CASE("a rollout that is handed over is reported with what there is of it") {
  Assignments assignments("g");
  assignments.accept(ticket({1, 2}, 4));
  const auto notice = assignments.hand_over({rollout_id(77, 6, 1),
                                             {5, 6, 7},
                                             {-1.0f, -2.0f, -3.0f},
                                             {{3, 1}, {4, 2}},
                                             gpu::FinishReason::length});
  REQUIRE(notice);
  CHECK(notice->ticket == 6);
  CHECK(notice->index == 1);
  CHECK(notice->attempt == 4);
  CHECK(notice->tokens == 3);
  CHECK_FALSE(notice->abandoned);
  REQUIRE(notice->part);
  const auto part = notice->part.read();
  CHECK(part.getIndex() == 1);
  CHECK(tokens_of(part.getTokens()) == std::vector<std::int32_t>{5, 6, 7});
  CHECK(part.getLogProbs()[2] == -3.0f);
  CHECK(part.getVersions()[1].getCount() == 2);
  CHECK(assignments.under_way() == 1);
  const auto waiting =
      assignments.hand_over({rollout_id(77, 6, 2), {}, {}, {}, gpu::FinishReason::length});
  REQUIRE(waiting);
  CHECK(waiting->part.read().getTokens().size() == 0);
  CHECK_FALSE(assignments.hand_over({1, {}, {}, {}, gpu::FinishReason::length}));
}

}  // namespace troupe
