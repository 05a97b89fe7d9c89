#include "actors/link/codec.hpp"

#include "actors/link/bridge.hpp"
#include "tests/support/link.hpp"
#include "tests/support/rollouts.hpp"

#include <doctest/doctest.h>

#include <caf/sec.hpp>
#include <capnp/message.h>
#include <cstdint>
#include <functional>
#include <limits>
#include <random>
#include <string>

TEST_SUITE_BEGIN("actors/link");

namespace troupe {
namespace {

using support::problem_of;
using Dice = std::mt19937_64;

std::uint32_t below(Dice& dice, std::uint32_t limit) {
  return static_cast<std::uint32_t>(dice() % limit);
}

support::VersionRuns random_versions(Dice& dice) {
  support::VersionRuns versions;
  std::uint64_t version = dice() >> 8;
  for (std::uint32_t run = 1 + below(dice, 3); run > 0; --run)
    versions.emplace_back(version++, 1 + below(dice, 30));
  return versions;
}

Ticket random_ticket(Dice& dice) {
  return Ticket::build([&](wire::Ticket::Builder builder) {
    builder.setId(dice());
    builder.setAttempt(below(dice, 5));
    builder.setPromptUid(dice());
    auto tokens = builder.initPromptTokens(1 + below(dice, 40));
    for (unsigned i = 0; i < tokens.size(); ++i)
      tokens.set(i, static_cast<std::int32_t>(below(dice, 50000)));
    const std::uint32_t group = 1 + below(dice, 16);
    const std::uint32_t first = below(dice, group);
    auto indices = builder.initIndices(group - first);
    for (unsigned i = 0; i < indices.size(); ++i) indices.set(i, first + i);
    builder.setGroupSize(group);
    builder.setMinVersion(dice());
    auto parts = builder.initParts(below(dice, indices.size() + 1));
    for (unsigned i = 0; i < parts.size(); ++i)
      support::write_part(parts[i], first + i, random_versions(dice));
  });
}

Rollout random_rollout(Dice& dice) {
  support::RolloutParts parts;
  parts.ticket = dice();
  parts.index = below(dice, 16);
  parts.attempt = below(dice, 4);
  parts.completion.clear();
  std::uint64_t version = dice() >> 8;
  for (std::uint32_t run = 1 + below(dice, 3); run > 0; --run) {
    const std::uint32_t count = 1 + below(dice, 30);
    for (std::uint32_t i = 0; i < count; ++i)
      parts.completion.push_back(static_cast<std::int32_t>(below(dice, 50000)));
    parts.versions.emplace_back(version++, count);
  }
  return support::rollout(parts);
}

template <class M>
bool same(const M& a, const M& b) {
  return a.words().asBytes() == b.words().asBytes();
}

/// What the other side reads, in a message that was packed with others and sent.
template <class Wire, class Values, class Read>
Values sent(const Values& values, Read read) {
  capnp::MallocMessageBuilder message;
  auto list = message.initRoot<capnp::AnyPointer>().initAs<capnp::List<Wire>>(
      static_cast<unsigned>(values.size()));
  write(values, list);
  const auto words = capnp::messageToFlatArray(message);
  capnp::FlatArrayMessageReader reader(words);
  return read(reader.getRoot<capnp::AnyPointer>().getAs<capnp::List<Wire>>());
}

/// What happens to a graded rollout that `spoil` has changed on its way.
std::string problem_with(const std::function<void(wire::GradedRollout::Builder)>& spoil) {
  capnp::MallocMessageBuilder message;
  auto list = message.initRoot<capnp::AnyPointer>().initAs<capnp::List<wire::GradedRollout>>(2);
  const GradedRollout good = support::graded({.ticket = 3}, 1.0f);
  write(GradedRollouts{good, good}, list);
  spoil(list[1]);
  const std::string graded = problem_of([&] { read_graded(list.asReader()); });
  capnp::MallocMessageBuilder other;
  auto rollouts = other.initRoot<capnp::AnyPointer>().initAs<capnp::List<wire::Rollout>>(1);
  rollouts.setWithCaveats(0, list[1].getRollout().asReader());
  if (!problem_of([&] { read_rollouts(rollouts.asReader()); }).empty())
    CHECK_FALSE(graded.empty());  // bad alone is bad with its verdict too
  return graded;
}

}  // namespace

TEST_CASE("tickets and rollouts and verdicts arrive as they were sent") {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    CAPTURE(seed);
    Dice dice(seed);
    Tickets tickets;
    Rollouts rollouts;
    GradedRollouts graded;
    for (std::uint32_t i = below(dice, 6); i > 0; --i) {
      tickets.push_back(random_ticket(dice));
      rollouts.push_back(random_rollout(dice));
      graded.push_back({rollouts.back(), support::verdict(rollouts.back(), 0.25f)});
    }
    const Tickets got = sent<wire::Ticket>(tickets, read_tickets);
    const Rollouts came = sent<wire::Rollout>(rollouts, read_rollouts);
    const GradedRollouts judged = sent<wire::GradedRollout>(graded, read_graded);
    REQUIRE(got.size() == tickets.size());
    REQUIRE(came.size() == rollouts.size());
    REQUIRE(judged.size() == graded.size());
    for (std::size_t i = 0; i < tickets.size(); ++i) {
      CHECK(same(got[i], tickets[i]));
      CHECK(same(came[i], rollouts[i]));
      CHECK(same(judged[i].rollout, graded[i].rollout));
      CHECK(same(judged[i].verdict, graded[i].verdict));
    }
  }
}

TEST_CASE("notices and ids arrive as they were sent") {
  Dice dice(1);
  RolloutNotices notices;
  RolloutIds ids;
  for (int i = 0; i < 100; ++i) {
    notices.push_back({dice(), below(dice, 99), below(dice, 9), dice(), dice() % 2 == 0});
    if (i % 3 == 0) {
      RolloutNotice& one = notices.back();
      one.part =
          support::part(one.index, i % 2 == 0 ? random_versions(dice) : support::VersionRuns{});
      one.tokens = one.part.read().getTokens().size();
      one.abandoned = false;
    }
    ids.push_back(dice());
  }
  CHECK(sent<std::uint64_t>(ids, read_ids) == ids);
  const RolloutNotices came = sent<wire::RolloutNotice>(notices, read_notices);
  REQUIRE(came.size() == notices.size());
  for (std::size_t i = 0; i < came.size(); ++i) {
    CHECK(came[i].ticket == notices[i].ticket);
    CHECK(came[i].index == notices[i].index);
    CHECK(came[i].attempt == notices[i].attempt);
    CHECK(came[i].tokens == notices[i].tokens);
    CHECK(came[i].abandoned == notices[i].abandoned);
    REQUIRE(static_cast<bool>(came[i].part) == static_cast<bool>(notices[i].part));
    if (came[i].part) CHECK(same(came[i].part, notices[i].part));
  }
}

TEST_CASE("a good rollout with its verdict is let in") {
  CHECK(problem_with([](wire::GradedRollout::Builder) {}).empty());
}

TEST_CASE("a rollout whose lengths disagree is refused") {
  using Builder = wire::GradedRollout::Builder;
  CHECK_FALSE(problem_with([](Builder b) { b.getRollout().initLogProbs(2); }).empty());
  CHECK_FALSE(problem_with([](Builder b) { b.getRollout().initLogProbs(0); }).empty());
  CHECK_FALSE(problem_with([](Builder b) { b.getRollout().setPromptLength(5); }).empty());
  CHECK_FALSE(problem_with([](Builder b) { b.getRollout().setPromptLength(~0u); }).empty());
  CHECK_FALSE(problem_with([](Builder b) { b.getRollout().setPromptLength(0); }).empty());
  CHECK_FALSE(problem_with([](Builder b) { b.getRollout().initVersions(0); }).empty());
  CHECK_FALSE(problem_with([](Builder b) { b.getRollout().getVersions()[0].setCount(2); }).empty());
  CHECK_FALSE(
      problem_with([](Builder b) { b.getRollout().getVersions()[0].setCount(~0u); }).empty());
  CHECK_FALSE(problem_with([](Builder b) { b.getRollout().initTokens(0); }).empty());
  CHECK_FALSE(problem_with([](Builder b) { b.getRollout().getTokens().set(0, -1); }).empty());
}

TEST_CASE("figures that are no log-probs or rewards are refused") {
  using Limits = std::numeric_limits<float>;
  for (const float value : {Limits::quiet_NaN(), Limits::infinity(), -Limits::infinity(), 0.5f}) {
    CAPTURE(value);
    CHECK_FALSE(problem_with([&](auto b) { b.getRollout().getLogProbs().set(1, value); }).empty());
    if (value == 0.5f) continue;  // a fine reward
    CHECK_FALSE(problem_with([&](auto b) { b.getVerdict().setReward(value); }).empty());
    CHECK_FALSE(problem_with([&](auto b) { b.getVerdict().setFormat(value); }).empty());
  }
}

TEST_CASE("a verdict of another rollout is refused") {
  const std::string problem =
      problem_with([](auto b) { b.getVerdict().setRollout(b.getRollout().getId() + 1); });
  CHECK(problem.find("another rollout") != std::string::npos);
}

TEST_CASE("a ticket for nothing or outside of its group is refused") {
  Dice dice(5);
  for (int kind = 0; kind < 3; ++kind) {
    capnp::MallocMessageBuilder message;
    auto list = message.initRoot<capnp::AnyPointer>().initAs<capnp::List<wire::Ticket>>(1);
    write(Tickets{random_ticket(dice)}, list);
    CHECK(problem_of([&] { read_tickets(list.asReader()); }).empty());
    if (kind == 0) list[0].initIndices(0);
    if (kind == 1) list[0].setGroupSize(0);
    if (kind == 2) list[0].initPromptTokens(0);
    CHECK_FALSE(problem_of([&] { read_tickets(list.asReader()); }).empty());
  }
}

TEST_CASE("a part that is not what its notice says is refused") {
  using Builder = wire::RolloutNotice::Builder;
  const auto problem = [](const std::function<void(Builder)>& spoil) {
    capnp::MallocMessageBuilder message;
    auto list = message.initRoot<capnp::AnyPointer>().initAs<capnp::List<wire::RolloutNotice>>(2);
    const RolloutNotice good{7, 1, 0, 3, false, support::part(1, {{4, 2}, {5, 1}})};
    write(RolloutNotices{good, good}, list);
    spoil(list[1]);
    return problem_of([&] { read_notices(list.asReader()); });
  };
  CHECK(problem([](Builder) {}).empty());
  CHECK_FALSE(problem([](Builder n) { n.setIndex(0); }).empty());
  CHECK_FALSE(problem([](Builder n) { n.setTokens(2); }).empty());
  CHECK_FALSE(problem([](Builder n) { n.setAbandoned(true); }).empty());
  CHECK_FALSE(problem([](Builder n) { n.getPart().initLogProbs(2); }).empty());
  CHECK_FALSE(problem([](Builder n) { n.getPart().getLogProbs().set(0, 1.0f); }).empty());
  CHECK_FALSE(problem([](Builder n) { n.getPart().getTokens().set(0, -2); }).empty());
  CHECK_FALSE(problem([](Builder n) { n.getPart().getVersions()[1].setVersion(3); }).empty());
  CHECK_FALSE(problem([](Builder n) { n.getPart().getVersions()[1].setCount(~0u); }).empty());
}

TEST_CASE("an error keeps its code over one link and over two") {
  const auto crosses = [](const caf::error& error, int links) {
    const kj::Exception exception = to_exception(error);
    std::string text = exception.getDescription().cStr();
    for (int i = 0; i < links; ++i) text = "remote exception: " + text;
    return to_error(kj::Exception(exception.getType(), "link", 0, kj::str(text.c_str())));
  };
  for (const int links : {1, 2}) {
    for (const Errc code : {Errc::stage_over, Errc::already_waiting, Errc::digest_mismatch,
                            Errc::version_not_newer, Errc::actor_failed, Errc::link_lost}) {
      const caf::error there = crosses(make_error(code, "why"), links);
      CHECK(code_of(there) == code);
      CHECK(describe(there) == describe(make_error(code, "why")));
    }
    CHECK(code_of(crosses(caf::make_error(caf::sec::request_timeout), links)) == Errc::link_busy);
    CHECK(code_of(crosses(caf::make_error(caf::sec::request_receiver_down), links)) ==
          Errc::link_lost);
    CHECK(code_of(crosses(caf::make_error(caf::sec::runtime_error), links)) == Errc::link_failed);
  }
  CHECK(code_of(to_error(KJ_EXCEPTION(UNIMPLEMENTED, "no"))) == Errc::link_unsupported);
}

}  // namespace troupe
