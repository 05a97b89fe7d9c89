#include "actors/errors.hpp"
#include "actors/link/generator_proxies.hpp"
#include "actors/link/verifier_proxies.hpp"
#include "tests/support/actor_fixture.hpp"
#include "tests/support/rollouts.hpp"

#include <doctest/doctest.h>

#include <deque>
#include <memory>
#include <prometheus/counter.h>
#include <string>
#include <vector>

TEST_SUITE_BEGIN("actors/link");

namespace troupe {
namespace {

using std::chrono::seconds;
using support::ActorFixture;

template <class Call, class T>
struct Open {
  Call call;
  Answer<T> answer;
};
template <class Call, class T>
using Calls = std::deque<Open<Call, T>>;

struct Grant {
  std::uint64_t sequence;
  std::uint32_t count;
};
struct FakeTicketWay final : TicketWay {
  void grant(std::uint64_t sequence, std::uint32_t count, Answer<Tickets> answer) override {
    grants.push_back({{sequence, count}, std::move(answer)});
  }
  void notice(const RolloutNotices& list, Answer<caf::unit_t> answer) override {
    notices.push_back({list, std::move(answer)});
  }
  Calls<Grant, Tickets> grants;
  Calls<RolloutNotices, caf::unit_t> notices;
};
struct FakeWeightWay final : WeightWay {
  void next(std::uint64_t at_least, Answer<Weights> answer) override {
    asked.push_back({at_least, std::move(answer)});
  }
  Calls<std::uint64_t, Weights> asked;
};
struct FakeVerdictWay final : VerdictWay {
  void append(const GradedRollouts& graded, Answer<RolloutIds> answer) override {
    appended.push_back({graded, std::move(answer)});
  }
  Calls<GradedRollouts, RolloutIds> appended;
};
struct FakeRolloutWay final : RolloutWay {
  void take(std::uint32_t count, const RolloutIds& acknowledged, Answer<Rollouts> answer) override {
    taken.push_back({{count, acknowledged}, std::move(answer)});
  }
  Calls<std::pair<std::uint32_t, RolloutIds>, Rollouts> taken;
};

Tickets tickets(std::uint64_t first, std::uint64_t count) {
  Tickets all;
  for (std::uint64_t i = 0; i < count; ++i)
    all.push_back(Ticket::build([&](wire::Ticket::Builder builder) {
      builder.setId(first + i);
      builder.initPromptTokens(1);
      builder.initIndices(1);
      builder.setGroupSize(1);
    }));
  return all;
}

Weights weights(std::uint64_t version) {
  return Weights(version, std::string(32, 'a'), std::shared_ptr<float[]>(new float[1]()), 1);
}

struct BufferProxyFixture : ActorFixture {
  BufferProxyFixture() {
    proxy = keep(system.spawn(buffer_proxy, BufferProxyPlan{way, {}, telemetry(), 1000}));
    settle();
  }
  auto grant(std::uint32_t count = 4) {
    auto asked = ask_later<Tickets>(proxy, grant_atom::value, std::string("far#1"), count);
    settle();
    return asked;
  }
  Open<Grant, Tickets> asked() {
    REQUIRE(way->grants.size() == 1);
    auto one = std::move(way->grants.front());
    way->grants.pop_front();
    return one;
  }
  void give(caf::expected<Tickets> answer) {
    asked().answer.give(std::move(answer));
    settle();
  }
  void tell(std::uint64_t first, std::uint64_t count) {
    RolloutNotices list;
    for (std::uint64_t i = 0; i < count; ++i) list.push_back({first + i, 0, 0, 5});
    caf::anon_send(caf::actor_cast<ReplayBuffer>(proxy), notice_atom::value, list);
    settle();
  }
  RolloutNotices answer_notices(caf::expected<caf::unit_t> answer) {
    REQUIRE(way->notices.size() == 1);
    auto one = std::move(way->notices.front());
    way->notices.pop_front();
    one.answer.give(std::move(answer));
    settle();
    return one.call;
  }
  void attach() {
    caf::anon_send(proxy, attached_atom::value);
    settle();
  }
  std::shared_ptr<FakeTicketWay> way = std::make_shared<FakeTicketWay>();
  caf::actor proxy;
};

struct BroadcasterProxyFixture : ActorFixture {
  BroadcasterProxyFixture() {
    proxy = keep(system.spawn(broadcaster_proxy, way, Deadlines{}));
    settle();
  }
  auto take(std::uint64_t at_least) {
    auto asked = ask_later<Weights>(proxy, take_atom::value, std::string("far"), at_least);
    settle();
    return asked;
  }
  std::uint64_t give(caf::expected<Weights> answer) {
    REQUIRE(way->asked.size() == 1);
    auto one = std::move(way->asked.front());
    way->asked.pop_front();
    one.answer.give(std::move(answer));
    settle();
    return one.call;
  }
  std::shared_ptr<FakeWeightWay> way = std::make_shared<FakeWeightWay>();
  caf::actor proxy;
};

}  // namespace

TEST_CASE_FIXTURE(BufferProxyFixture,
                  "a grant is repeated with its sequence until it is answered") {
  const auto first = grant(4);
  for (const Errc problem : {Errc::link_lost, Errc::link_busy, Errc::link_lost}) {
    CHECK(way->grants.front().call.sequence == 1);
    CHECK(way->grants.front().call.count == 4);
    give(make_error(problem));
    CHECK(way->grants.empty());  // not before something may have changed
    if (problem == Errc::link_busy)
      advance(seconds(1));
    else
      attach();
  }
  CHECK_FALSE(first->answered());
  CHECK(way->grants.front().call.sequence == 1);
  give(tickets(0, 4));
  REQUIRE(first->answered());
  CHECK((*first->answer)->size() == 4);
  const auto second = grant(2);
  CHECK(way->grants.front().call.sequence == 2);
  CHECK(way->grants.front().call.count == 2);
}

TEST_CASE_FIXTURE(BufferProxyFixture, "an answer that is dropped counts as a lost link") {
  const auto first = grant();
  way->grants.clear();
  settle();
  CHECK_FALSE(first->answered());
  attach();
  CHECK(way->grants.front().call.sequence == 1);
}

TEST_CASE_FIXTURE(BufferProxyFixture, "one grant is under way at a time") {
  const auto first = grant();
  attach();
  advance(seconds(3));
  CHECK(way->grants.size() == 1);
}

TEST_CASE_FIXTURE(BufferProxyFixture,
                  "who waits is answered with nothing and the tickets go to the next") {
  const auto first = grant(4);
  advance(seconds(21));  // less than the asker's own deadline
  REQUIRE(first->answered());
  CHECK((*first->answer)->empty());
  give(tickets(0, 4));
  const auto second = grant(1);
  REQUIRE(second->answered());
  CHECK((*second->answer)->size() == 4);  // whatever it asked for: they are its process's
  CHECK(way->grants.empty());
  const auto third = grant(1);
  CHECK_FALSE(third->answered());
  CHECK(way->grants.front().call.sequence == 2);
}

TEST_CASE_FIXTURE(BufferProxyFixture, "a refused grant reaches its asker and is not repeated") {
  const auto first = grant();
  give(make_error(Errc::stage_over));
  REQUIRE(first->answered());
  CHECK(code_of(first->answer->error()) == Errc::stage_over);
  attach();
  CHECK(way->grants.empty());
  const auto second = grant();
  CHECK(way->grants.front().call.sequence == 2);
}

TEST_CASE_FIXTURE(BufferProxyFixture, "notices are sent until they arrive and in order") {
  tell(0, 2);
  tell(2, 1);
  CHECK(way->notices.size() == 1);
  CHECK(answer_notices(make_error(Errc::link_lost)).size() == 2);
  CHECK(way->notices.empty());
  attach();
  const RolloutNotices all = answer_notices(make_error(Errc::link_busy));
  REQUIRE(all.size() == 3);
  for (std::uint64_t i = 0; i < 3; ++i) CHECK(all[i].ticket == i);
  advance(seconds(1));
  CHECK(answer_notices(caf::unit_t{}).size() == 3);
  CHECK(way->notices.empty());
  tell(3, 1);
  CHECK(answer_notices(caf::unit_t{})[0].ticket == 3);
}

TEST_CASE_FIXTURE(BufferProxyFixture, "many notices go in messages of bounded size") {
  tell(0, 3000);
  std::uint64_t next = 0;
  for (int i = 0; i < 3; ++i)
    for (const RolloutNotice& one : answer_notices(caf::unit_t{})) CHECK(one.ticket == next++);
  CHECK(next == 3000);
  CHECK(way->notices.empty());
}

TEST_CASE_FIXTURE(BufferProxyFixture, "what is handed over goes in messages that fit") {
  RolloutNotices list;
  for (const std::uint32_t tokens : {10, 10, 200, 10, 10, 200})  // about 150 bytes and 1650
    list.push_back({list.size(), 0, 0, tokens, false, support::part(0, {{0, tokens}})});
  caf::anon_send(caf::actor_cast<ReplayBuffer>(proxy), notice_atom::value, list);
  settle();
  std::vector<std::size_t> sizes;
  std::uint64_t next = 0;
  while (!way->notices.empty()) {
    const RolloutNotices message = answer_notices(caf::unit_t{});
    sizes.push_back(message.size());
    for (const RolloutNotice& one : message) {
      CHECK(one.ticket == next++);
      CHECK(one.part.read().getTokens().size() == one.tokens);
    }
  }
  CHECK(sizes == std::vector<std::size_t>{2, 1, 2, 1});
}

TEST_CASE_FIXTURE(BufferProxyFixture, "a flush is answered once every notice has arrived") {
  const auto at_once = ask_later<bool>(proxy, flush_atom::value);
  settle();
  CHECK(at_once->answered());
  tell(0, 1500);
  const auto flushed = ask_later<bool>(proxy, flush_atom::value);
  settle();
  answer_notices(caf::unit_t{});
  CHECK_FALSE(flushed->answered());
  answer_notices(make_error(Errc::link_lost));
  CHECK_FALSE(flushed->answered());
  attach();
  answer_notices(caf::unit_t{});
  CHECK(flushed->answered());
}

TEST_CASE_FIXTURE(BufferProxyFixture,
                  "notices that are refused are counted and do not hold up the others") {
  tell(0, 1);
  tell(1, 2);
  const auto& refused =
      telemetry()->metrics().counter("troupe_actor_dropped_messages_total", "notice_refused");
  answer_notices(make_error(Errc::link_failed));
  CHECK(refused.Value() == 1);
  answer_notices(make_error(Errc::link_lost));
  CHECK(refused.Value() == 1);
  attach();
  CHECK(answer_notices(caf::unit_t{})[0].ticket == 1);
  CHECK(refused.Value() == 1);
}

TEST_CASE_FIXTURE(BroadcasterProxyFixture, "weights are asked for again after whatever may pass") {
  const auto asked = take(3);
  for (const Errc problem : {Errc::link_lost, Errc::digest_mismatch, Errc::link_busy}) {
    CHECK(give(make_error(problem)) == 3);
    CHECK(way->asked.empty());
    if (problem == Errc::link_lost)
      caf::anon_send(proxy, attached_atom::value);
    else
      advance(seconds(1));
    settle();
  }
  CHECK_FALSE(asked->answered());
  give(weights(5));
  REQUIRE(asked->answered());
  CHECK((*asked->answer)->version() == 5);
  CHECK(way->asked.empty());
}

TEST_CASE_FIXTURE(BroadcasterProxyFixture, "no weights yet is an answer") {
  const auto asked = take(3);
  give(Weights{});
  REQUIRE(asked->answered());
  CHECK_FALSE(static_cast<bool>(**asked->answer));
}

TEST_CASE_FIXTURE(BroadcasterProxyFixture, "nobody waits beyond patience while the link is away") {
  const auto asked = take(3);
  give(make_error(Errc::link_lost));
  for (int i = 0; i < 19; ++i) {
    advance(seconds(1));
    if (!way->asked.empty()) give(make_error(Errc::link_lost));
  }
  CHECK_FALSE(asked->answered());
  for (int i = 0; i < 3; ++i) {
    advance(seconds(1));
    if (!way->asked.empty()) give(make_error(Errc::link_lost));
  }
  REQUIRE(asked->answered());
  CHECK_FALSE(static_cast<bool>(**asked->answer));
}

TEST_CASE_FIXTURE(BroadcasterProxyFixture,
                  "a version on its way is waited for and goes to whoever asked last") {
  const auto first = take(3);
  advance(seconds(25));
  CHECK_FALSE(first->answered());
  const auto second = take(3);  // the first has given up
  CHECK(way->asked.size() == 1);
  give(weights(3));
  CHECK_FALSE(first->answered());
  REQUIRE(second->answered());
  CHECK((*second->answer)->version() == 3);
}

TEST_CASE_FIXTURE(BroadcasterProxyFixture, "what cannot pass is told") {
  const auto asked = take(3);
  give(make_error(Errc::link_unsupported, "versions differ"));
  REQUIRE(asked->answered());
  CHECK(code_of(asked->answer->error()) == Errc::link_unsupported);
}

TEST_CASE_FIXTURE(ActorFixture, "a verifier's proxies pass on values and errors") {
  const auto verdicts = std::make_shared<FakeVerdictWay>();
  const auto rollouts = std::make_shared<FakeRolloutWay>();
  const caf::actor buffer = keep(system.spawn(verdict_proxy, verdicts));
  const caf::actor generator = keep(system.spawn(rollout_proxy, rollouts));
  const GradedRollout graded = support::graded({.ticket = 2}, 1.0f);
  for (const bool good : {true, false}) {
    const auto acknowledged =
        ask_later<RolloutIds>(buffer, append_atom::value, GradedRollouts{graded});
    const auto taken =
        ask_later<Rollouts>(generator, take_atom::value, std::uint32_t{5}, RolloutIds{7, 8});
    settle();
    REQUIRE(verdicts->appended.size() == 1);
    REQUIRE(rollouts->taken.size() == 1);
    CHECK(verdicts->appended.front().call[0].rollout.read().getTicket() == 2);
    CHECK(rollouts->taken.front().call.first == 5);
    CHECK(rollouts->taken.front().call.second == RolloutIds{7, 8});
    if (good) {
      verdicts->appended.front().answer.give(RolloutIds{42});
      rollouts->taken.front().answer.give(Rollouts{graded.rollout});
    }
    verdicts->appended.clear();  // unanswered: the link is gone
    rollouts->taken.clear();
    settle();
    REQUIRE(acknowledged->answered());
    REQUIRE(taken->answered());
    if (good) {
      CHECK(**acknowledged->answer == RolloutIds{42});
      CHECK((*taken->answer)->size() == 1);
    } else {
      CHECK(code_of(acknowledged->answer->error()) == Errc::link_lost);
      CHECK(code_of(taken->answer->error()) == Errc::link_lost);
    }
  }
}

}  // namespace troupe
